"""What every engine of leader election has to do: see `ocean_actors.leader.spec.Election`."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from ocean_actors.actors import SystemClock
from ocean_actors.leader.spec import Election, ElectionError, Seat

if TYPE_CHECKING:
    from tests.leader.conftest import EngineUnderTest

WITHIN = 30.0
BRIEF = 0.05  # seconds to wait for the lead
SHORT, LONG = 1.0, 60.0  # times to live: to be waited for, and longer than any hold-up


class Instances:
    """The instances that compete for one seat. Each yes is compared with what was promised."""

    def __init__(self, engine: EngineUnderTest, clock: SystemClock) -> None:
        self._engine = engine
        self._clock = clock
        self.seat = Seat("org", uuid.uuid4().hex)
        self.ttl = SHORT
        self._promised: dict[int, float] = {}  # until when, by the id of the election
        self.all: list[Election] = []

    def add(self, seat: Seat | None = None) -> Election:
        self.all.append(self._engine.election(self._clock, self.ttl, seat or self.seat))
        return self.all[-1]

    def campaign(self, election: Election, seconds: float = BRIEF) -> float | None:
        asked_at = election.campaign(self.seat, seconds)
        if asked_at is not None:
            others = [until for each, until in self._promised.items() if each != id(election)]
            assert asked_at >= max(others, default=-math.inf), "two lead at the same time"
            self._promised[id(election)] = asked_at + self.ttl
        return asked_at

    def lead(self, election: Election) -> float:
        """Campaign until the election is won, as `Campaign` does; returns the time of the yes."""
        until = time.monotonic() + WITHIN
        while time.monotonic() < until:
            try:
                asked_at = self.campaign(election)
            except ElectionError:
                continue  # its session ended: the next attempt begins anew
            if asked_at is not None:
                return asked_at
        raise AssertionError("not elected in time")

    def resign(self, election: Election) -> None:
        election.resign()
        self._promised.pop(id(election), None)


@pytest.fixture
def instances(engine: EngineUnderTest, clock: SystemClock) -> Iterator[Instances]:
    instances = Instances(engine, clock)
    yield instances
    for election in instances.all:
        election.resign()


def test_the_leader_stays_the_leader_while_it_campaigns(instances: Instances) -> None:
    first, second = instances.add(), instances.add()
    began = last = instances.lead(first)
    while last < began + 1.5 * instances.ttl:
        instances.campaign(second, 0.0)
        asked_at = instances.campaign(first)
        if asked_at is None:  # only if the machine held us up for the time to live
            assert instances._clock.monotonic() >= last + instances.ttl
            began = asked_at = instances.lead(first)
        last = asked_at


def test_the_time_of_a_yes_is_when_it_was_asked_for(
    instances: Instances, clock: SystemClock
) -> None:
    instances.ttl = LONG
    election = instances.add()
    instances.lead(election)
    before = clock.monotonic()
    asked_at = instances.campaign(election)
    assert asked_at is not None
    assert before <= asked_at <= clock.monotonic()


def test_a_leader_that_resigns_gives_way_at_once(instances: Instances) -> None:
    instances.ttl = LONG
    first, second = instances.add(), instances.add()
    instances.lead(first)
    assert instances.campaign(second) is None
    instances.resign(first)
    instances.lead(second)
    assert instances.campaign(first) is None


def test_a_silent_leader_is_replaced_and_learns_of_it(instances: Instances) -> None:
    first, second = instances.add(), instances.add()
    instances.lead(first)
    instances.lead(second)
    try:
        instances.campaign(first)  # must not be a yes yet, which `instances` checks
    except ElectionError:
        instances.campaign(first)


def test_seats_of_other_integrations_and_organisations_are_independent(
    instances: Instances,
) -> None:
    instances.ttl = LONG
    own, others = (
        instances.seat,
        (Seat("org", "another"), Seat("other", instances.seat.integration)),
    )
    first = instances.add()
    instances.lead(first)
    for seat in others:
        election = instances.add(seat)
        assert election.campaign(seat, BRIEF) is not None
    assert first.campaign(own, 0.0) is not None


def test_who_waits_for_the_lead_can_be_interrupted(instances: Instances) -> None:
    instances.ttl = LONG
    first, second = instances.add(), instances.add()
    instances.lead(first)
    assert instances.campaign(second, 0.0) is None
    done = threading.Event()

    def wait() -> None:
        try:
            second.campaign(instances.seat, LONG)
        except ElectionError:
            pass
        finally:
            done.set()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    until = time.monotonic() + WITHIN
    while not done.wait(BRIEF) and time.monotonic() < until:
        second.interrupt()  # again, as it has no effect before the wait began
    assert done.is_set()
    thread.join(WITHIN)
    instances.resign(first)


def test_resigning_without_a_lead_or_a_connection_does_no_harm(instances: Instances) -> None:
    election = instances.add()
    election.resign()
    election.interrupt()
    instances.lead(election)
    election.resign()
    election.resign()


def test_a_wrong_address_is_told_in_one_line_without_the_password(
    engine: EngineUnderTest, clock: SystemClock
) -> None:
    with pytest.raises(ElectionError) as caught:
        engine.misplaced(clock).campaign(Seat("org", "mine"), 0.0)
    assert "\n" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_after_a_restart_of_the_engine_nobody_else_leads_while_the_lease_may_be_valid(
    instances: Instances, engine: EngineUnderTest
) -> None:
    first, second = instances.add(), instances.add()
    instances.lead(first)
    instances.campaign(second)
    engine.stop()
    try:
        with pytest.raises(ElectionError):
            instances.campaign(second)
    finally:
        engine.start()
    instances.lead(second)  # `instances` checks when


def test_a_restart_of_the_engine_need_not_cost_the_lead(
    instances: Instances, engine: EngineUnderTest
) -> None:
    instances.ttl = LONG
    first, second = instances.add(), instances.add()
    instances.lead(first)
    engine.stop()
    try:
        with pytest.raises(ElectionError):
            instances.campaign(first, 0.0)
    finally:
        engine.start()
    instances.lead(first)
    assert instances.campaign(second) is None
