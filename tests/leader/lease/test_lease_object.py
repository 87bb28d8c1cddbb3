"""The Lease in which instances see who leads, and when they may take it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import pytest
from api_server import ApiServer
from hypothesis import given
from hypothesis import strategies as st
from kubernetes_rig import LONG, SEAT, Make, spec_of

from ocean_actors.leader.kubernetes import KubernetesElection
from ocean_actors.leader.kubernetes_lock import Sighting
from ocean_actors.leader.lease import SHARE
from ocean_actors.leader.spec import ElectionError, Seat
from ocean_actors.testing import ManualClock

pytestmark = pytest.mark.xdist_group("kubernetes")  # importing the client takes seconds


def test_the_lease_says_who_leads_since_when_and_how_often_that_changed(
    make: Make, server: ApiServer
) -> None:
    first, second = make(), make()
    assert first.campaign(SEAT, 0.0) is not None
    taken = spec_of(server)
    assert first.campaign(SEAT, 0.0) is not None
    renewed = spec_of(server)
    assert renewed["holderIdentity"] == taken["holderIdentity"] != ""
    assert renewed["acquireTime"] == taken["acquireTime"]
    assert renewed["renewTime"] > taken["renewTime"]
    assert renewed["leaseDurationSeconds"] == LONG
    first.resign()
    assert spec_of(server)["holderIdentity"] == ""
    assert second.campaign(SEAT, 0.0) is not None
    passed = spec_of(server)
    assert passed["holderIdentity"] not in ("", taken["holderIdentity"])
    assert passed["acquireTime"] > renewed["renewTime"]
    assert passed["leaseTransitions"] == 1


def test_a_time_without_microseconds_is_not_sent_as_the_server_refuses_it(
    make: Make, server: ApiServer
) -> None:
    clock = ManualClock(start=datetime(2026, 1, 1, tzinfo=timezone.utc))
    assert make(clock=clock).campaign(SEAT, 0.0) is not None
    assert spec_of(server)["renewTime"] == "2026-01-01T00:00:00.000001+00:00"


def test_what_others_have_written_into_the_lease_stays(make: Make, server: ApiServer) -> None:
    labels = {"labels": {"team": "platform"}, "name": "lease"}
    server.leases.answer("POST", "default", None, {"metadata": labels})
    assert make().campaign(SEAT, 0.0) is not None
    assert server.leases.find("default", "lease")["metadata"]["labels"] == {"team": "platform"}


def test_of_many_instances_that_find_the_lease_free_one_leads(
    make: Make, server: ApiServer
) -> None:
    instances = [make() for _ in range(6)]
    with ThreadPoolExecutor(len(instances)) as pool:
        for _ in range(5):
            start = threading.Barrier(len(instances))

            def campaign(
                election: KubernetesElection, start: threading.Barrier = start
            ) -> float | None:
                start.wait(30.0)
                return election.campaign(SEAT, 0.0)

            answers = list(pool.map(campaign, instances))
            leaders = [
                each for each, asked in zip(instances, answers, strict=True) if asked is not None
            ]
            assert len(leaders) == 1
            leaders[0].resign()


def test_the_clock_on_the_wall_does_not_matter(
    make: Make, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client's election compares `time.time()`, which an administrator may set."""
    clock = ManualClock()
    first, second = make(clock=clock), make(clock=clock)
    assert first.campaign(SEAT, 0.0) is not None
    assert second.campaign(SEAT, 0.0) is None
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 10 * LONG)
    assert second.campaign(SEAT, 0.0) is None
    monkeypatch.setattr(time, "time", lambda: real() - 10 * LONG)
    clock.advance(LONG)
    assert second.campaign(SEAT, 0.0) is not None


def test_the_longer_time_to_live_counts_while_a_change_of_it_is_rolled_out(make: Make) -> None:
    clock = ManualClock()
    old, new = make(clock=clock, ttl=LONG), make(clock=clock, ttl=10.0)
    assert old.campaign(SEAT, 0.0) is not None
    assert new.campaign(SEAT, 0.0) is None
    clock.advance(LONG - 1.0)
    assert new.campaign(SEAT, 0.0) is None
    clock.advance(1.0)
    assert new.campaign(SEAT, 0.0) is not None


def test_a_lease_that_another_integration_uses_is_not_waited_for(make: Make) -> None:
    first, second = make(), make()
    assert first.campaign(SEAT, 0.0) is not None
    with pytest.raises(ElectionError, match=r"default/lease is in use by another .* leader\.name"):
        second.campaign(Seat("org", "other"), 0.0)
    first.resign()
    assert second.campaign(Seat("org", "other"), 0.0) is not None


def test_a_lease_that_is_deleted_is_given_to_nobody_while_its_holder_may_lead(
    make: Make, server: ApiServer
) -> None:
    clock = ManualClock()
    first, second = make(clock=clock), make(clock=clock)
    assert first.campaign(SEAT, 0.0) is not None
    assert second.campaign(SEAT, 0.0) is None
    server.leases.answer("DELETE", "default", "lease", {})
    assert second.campaign(SEAT, 0.0) is None
    assert first.campaign(SEAT, 0.0) is not None
    server.leases.answer("DELETE", "default", "lease", {})
    clock.advance(LONG)
    assert second.campaign(SEAT, 0.0) is not None


@pytest.mark.parametrize("change", ["edited", "deleted"])
def test_a_lease_that_others_change_right_before_it_is_renewed_is_not_lost(
    make: Make, server: ApiServer, change: str
) -> None:
    def interfere(method: str) -> None:
        if method != "PUT":
            return
        server.before = lambda _method: None
        if change == "edited":
            server.leases.edit_all()
        else:
            server.leases.answer("DELETE", "default", "lease", {})

    election = make()
    assert election.campaign(SEAT, 0.0) is not None
    server.before = interfere
    assert election.campaign(SEAT, 0.0) is not None
    assert server.before is not interfere


def test_a_holder_that_is_removed_by_hand_is_not_replaced_while_it_may_lead(
    make: Make, server: ApiServer
) -> None:
    clock = ManualClock()
    first, second = make(clock=clock), make(clock=clock)
    assert first.campaign(SEAT, 0.0) is not None
    server.leases.edit_all(holderIdentity="")
    assert second.campaign(SEAT, 0.0) is None
    clock.advance(LONG)
    assert second.campaign(SEAT, 0.0) is not None
    assert first.campaign(SEAT, 0.0) is None


@given(
    ttl=st.floats(1.0, 3600.0),
    holders=st.floats(0.7, 1.4),
    faster=st.floats(0.5, 1.5),
    offset=st.floats(0.0, 1e6),
    delays=st.tuples(st.floats(0.0, 0.5), st.floats(0.0, 0.5)),
)
def test_the_lease_ends_before_another_instance_may_take_it(
    ttl: float, holders: float, faster: float, offset: float, delays: tuple[float, float]
) -> None:
    """The other one's clock may run faster than the holder's by half."""
    others = holders * faster  # speeds of the two clocks
    asked_at = 1000.0  # in real seconds
    ends_at = asked_at + ttl * SHARE / holders  # by the holder's clock
    seen_at = asked_at + ttl * sum(delays)  # the server writes, then the other one reads
    sighting = Sighting("1", "holder", ttl, offset + seen_at * others)
    just_before = offset + (ends_at - 1e-3) * others
    assert not sighting.is_free("other", just_before, ttl)
    assert sighting.is_free("other", offset + (seen_at + ttl / others + 1e-3) * others, ttl)
