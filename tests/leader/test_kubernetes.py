"""The engine KUBERNETES: what it writes into the Lease, and what it says when it cannot."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import trustme
from api_server import TOKEN, ApiServer, Refusal
from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.actors import SystemClock
from ocean_actors.errors import UsageError
from ocean_actors.leader import kubernetes as engine
from ocean_actors.leader.kubernetes import KubernetesElection
from ocean_actors.leader.kubernetes_lock import Sighting
from ocean_actors.leader.lease import SHARE
from ocean_actors.leader.spec import ElectionError, Seat
from ocean_actors.settings import KubernetesLeaderSettings, Settings, SettingsError
from ocean_actors.testing import ManualClock

pytestmark = pytest.mark.xdist_group("kubernetes")  # importing the client takes seconds

SEAT = Seat("org", "mine")
LONG = 60.0
Make = Callable[..., KubernetesElection]


@pytest.fixture
def server() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.hangs.clear()
    server.stop()


@pytest.fixture
def make(server: ApiServer, tmp_path: Path, clock: SystemClock) -> Iterator[Make]:
    """Makes the part of one more instance, whose settings may differ."""
    made: list[KubernetesElection] = []

    def make(clock: Any = clock, **settings: Any) -> KubernetesElection:
        kubeconfig = tmp_path / "config"
        kubeconfig.write_text(server.kubeconfig())
        section = {
            "namespace": "default", "name": "lease", "ttl": LONG, "kubeconfig": str(kubeconfig),
            **settings,
        }  # fmt: skip
        made.append(KubernetesElection(KubernetesLeaderSettings.model_validate(section), clock))
        return made[-1]

    yield make
    server.stop()
    for election in made:
        election.resign()


def spec_of(server: ApiServer) -> dict[str, Any]:
    spec: dict[str, Any] = server.leases.find("default", "lease")["spec"]
    return spec


def problem_of(election: KubernetesElection) -> str:
    with pytest.raises(ElectionError) as caught:
        election.campaign(SEAT, 0.0)
    text = str(caught.value)
    assert "\n" not in text
    assert TOKEN not in text
    return text


# --- the Lease ------------------------------------------------------------------------------------


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


# --- what fails -----------------------------------------------------------------------------------


def test_a_namespace_without_permission_is_told_with_the_rights_that_are_needed(
    make: Make, server: ApiServer
) -> None:
    server.leases.forbidden = {"get"}
    problem = problem_of(make())
    assert 'system:serviceaccount:default:ocean" cannot get resource "leases"' in problem
    assert "get, create and update" in problem
    server.leases.forbidden = {"create"}
    assert "cannot create" in problem_of(make())
    server.leases.forbidden = {"update"}
    make().campaign(SEAT, 0.0)
    server.leases.release_all()
    assert "cannot update" in problem_of(make())


def test_a_namespace_that_is_missing_is_told(make: Make) -> None:
    assert 'namespaces "nowhere" not found' in problem_of(make(namespace="nowhere"))


def test_credentials_that_are_refused_are_told_with_their_source(
    make: Make, server: ApiServer, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text(server.kubeconfig(token="hidden"))
    problem = problem_of(make(kubeconfig=str(wrong)))
    assert str(wrong) in problem
    assert "credentials" in problem
    assert "hidden" not in problem


def test_an_answer_that_does_not_come_from_kubernetes_is_told(
    make: Make, server: ApiServer
) -> None:
    election = make()
    server.body = b"<html>log in</html>"
    server.fail_with = Refusal(404, "", "")  # a page, which is no proof that the Lease is missing
    assert "answered 404" in problem_of(election)
    assert not any(call.startswith("POST") for call in server.calls)
    server.fail_with = None
    assert server.url in problem_of(election)


def test_an_overloaded_server_is_told_and_asked_again_later(make: Make, server: ApiServer) -> None:
    election = make()
    server.fail_with = Refusal(429, "TooManyRequests", "the server has received too many requests")
    assert "answered 429: the server has received too many requests" in problem_of(election)
    server.fail_with = None
    assert election.campaign(SEAT, 0.0) is not None


def test_a_call_that_is_not_answered_can_be_interrupted(make: Make, server: ApiServer) -> None:
    election = make()
    server.hangs.set()
    with ThreadPoolExecutor(1) as pool:
        problem = pool.submit(problem_of, election)
        waited = threading.Event()
        while not problem.done():
            election.interrupt()  # again, as it has no effect before the call
            waited.wait(0.01)
        assert "no answer from the API server" in problem.result()


def test_a_call_that_is_not_answered_ends_by_itself(make: Make, server: ApiServer) -> None:
    election = make(ttl=1.0)
    server.hangs.set()
    assert "no answer from the API server" in problem_of(election)


def test_a_lease_that_was_taken_without_an_answer_is_released_too(
    make: Make, server: ApiServer
) -> None:
    election = make()
    assert election.campaign(SEAT, 0.0) is not None
    server.leases.release_all()
    versions = [server.leases.find("default", "lease")["metadata"]["resourceVersion"]]
    server.hang_on = "PUT"
    with ThreadPoolExecutor(1) as pool:
        problem = pool.submit(problem_of, election)
        waited = threading.Event()
        while not problem.done():
            found = server.leases.find("default", "lease")["metadata"]["resourceVersion"]
            if found not in versions:
                election.interrupt()
            waited.wait(0.01)
    server.hang_on = None
    assert spec_of(server)["holderIdentity"] != ""
    election.resign()
    assert spec_of(server)["holderIdentity"] == ""


def test_resigning_does_not_wait_for_a_server_that_hangs(make: Make, server: ApiServer) -> None:
    election = make()
    assert election.campaign(SEAT, 0.0) is not None
    server.hangs.set()
    election.resign()
    server.hangs.clear()


@pytest.mark.parametrize("name", ["Mine", "a_b", "-a", "a/../b", "a" * 254])
def test_a_name_that_no_lease_can_have_is_refused_in_the_settings(name: str) -> None:
    leader = {"type": "KUBERNETES", "namespace": "default", "name": name}
    port = {"clientId": "id", "clientSecret": "secret"}
    with pytest.raises(SettingsError, match=r"leader\.name: expected a name of lower-case letters"):
        Settings.from_dict(
            {"port": port, "integration": {"identifier": "mine"}, "leader": leader}, {}
        )


# --- where the cluster is -------------------------------------------------------------------------


def in_a_pod(monkeypatch: pytest.MonkeyPatch, server: ApiServer, folder: Path) -> Path:
    """Set what Kubernetes sets in a pod; returns the file of the token."""
    import kubernetes.config.incluster_config as pod

    token = folder / "token"
    token.write_text(TOKEN)
    monkeypatch.setattr(pod, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(pod, "SERVICE_CERT_FILENAME", str(folder / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return token


def test_in_a_pod_its_service_account_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make: Make
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = ApiServer(context)
    try:
        token = in_a_pod(monkeypatch, server, tmp_path)
        election = make(kubeconfig=None)
        assert election.campaign(SEAT, 0.0) is not None
        assert spec_of(server)["holderIdentity"] != ""
        election.resign()
        assert spec_of(server)["holderIdentity"] == ""
        trustme.CA().cert_pem.write_to_path(tmp_path / "ca.crt")
        assert "certificate verify failed" in problem_of(make(kubeconfig=None))
        token.unlink()
        problem = problem_of(make(kubeconfig=None))
        assert "the pod's service account" in problem
        assert "Service token file does not exist" in problem
    finally:
        server.stop()


def test_without_any_cluster_it_does_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make: Make
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError, match=r"not a pod .* set leader\.kubeconfig or KUBECONFIG"):
        make(kubeconfig=None)


def test_without_the_client_it_does_not_start(monkeypatch: pytest.MonkeyPatch, make: Make) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"pip install 'ocean-actors\[kubernetes\]'"):
        make()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("users: [{token: hidden", "expected a kubeconfig in YAML"),
        ("[]", "config"),
        (json.dumps({"current-context": "c", "contexts": []}), "context"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_told_without_what_is_in_it(
    make: Make, tmp_path: Path, text: str, told: str
) -> None:
    path = tmp_path / "unusable"
    path.write_text(text)
    problem = problem_of(make(kubeconfig=str(path)))
    assert str(path) in problem
    assert told in problem
    assert "hidden" not in problem


def test_a_kubeconfig_that_is_missing_is_told(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    assert str(tmp_path / "missing") in problem_of(make(kubeconfig=None))
