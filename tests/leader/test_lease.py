"""The lease: an instance gives the role up before the engine can give it to another one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocean_actors.leader.lease import TimedLease
from ocean_actors.testing import ManualClock

SESSION = 9.0
LASTS = 6.0  # two thirds of it


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def lease(clock: ManualClock) -> TimedLease:
    return TimedLease(clock, clock.monotonic(), SESSION)


def test_it_is_valid_while_heartbeats_are_answered(lease: TimedLease, clock: ManualClock) -> None:
    for _ in range(20):
        clock.advance(1.0)
        lease.renew(clock.monotonic())
        assert lease.valid()


def test_it_runs_out_if_no_heartbeat_is_answered(lease: TimedLease, clock: ManualClock) -> None:
    clock.advance(LASTS - 0.1)
    assert lease.valid()
    assert lease.remaining() == pytest.approx(0.1)
    clock.advance(0.1)
    assert not lease.valid()
    assert lease.remaining() == 0.0


def test_the_time_at_which_the_heartbeat_was_sent_counts_not_that_of_its_answer(
    lease: TimedLease, clock: ManualClock
) -> None:
    sent_at = clock.monotonic()
    clock.advance(5.0)
    lease.renew(sent_at)  # its answer took five seconds
    assert lease.remaining() == pytest.approx(1.0)


def test_a_late_answer_does_not_shorten_it(lease: TimedLease, clock: ManualClock) -> None:
    sent_at = clock.monotonic()
    clock.advance(2.0)
    lease.renew(clock.monotonic())
    lease.renew(sent_at)
    assert lease.remaining() == pytest.approx(LASTS)


def test_a_process_that_slept_through_it_has_lost_it_for_good(
    lease: TimedLease, clock: ManualClock
) -> None:
    clock.advance(100.0)
    assert not lease.valid()  # whichever thread wakes first
    lease.renew(clock.monotonic())
    assert not lease.valid()


def test_a_confirmation_that_is_too_old_begins_no_lease(clock: ManualClock) -> None:
    sent_at = clock.monotonic()
    clock.advance(LASTS)
    assert not TimedLease(clock, sent_at, SESSION).valid()
    assert not TimedLease(clock, float("-inf"), SESSION).valid()


def test_once_ended_it_is_never_valid_again(lease: TimedLease, clock: ManualClock) -> None:
    lease.end()
    lease.renew(clock.monotonic() + 1)
    assert not lease.valid()
    assert lease.remaining() == 0.0


steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(0, 12)),
        st.tuples(st.just("send"), st.just(0.0)),
        st.tuples(st.just("answer"), st.just(0.0)),
        st.tuples(st.just("lose"), st.just(0.0)),
    ),
    max_size=80,
)


@given(steps)
def test_it_always_ends_before_another_instance_can_have_taken_over(steps: Any) -> None:
    """The model: the broker's session timer starts anew when a heartbeat *arrives*.

    A heartbeat arrives at some time between its sending and its answer; the worst case is that
    it arrived as soon as it was sent. A heartbeat that was not answered may not have arrived.
    """
    clock = ManualClock()
    taken_over_at = clock.monotonic() + SESSION
    lease, sent_at, was_valid = TimedLease(clock, clock.monotonic(), SESSION), None, True
    for step, seconds in steps:
        if step == "wait":
            clock.advance(seconds)
        elif step == "send":
            sent_at = clock.monotonic() if sent_at is None else sent_at
        elif step == "answer" and sent_at is not None:
            if sent_at < taken_over_at:  # else the broker answers that it does not know us
                taken_over_at = max(taken_over_at, sent_at + SESSION)
                lease.renew(sent_at)
            sent_at = None
        else:
            sent_at = None
        margin = SESSION - LASTS
        assert not lease.valid() or clock.monotonic() < taken_over_at - margin + 1e-6
        assert was_valid or not lease.valid()
        was_valid = lease.valid()


SLOWEST, FASTEST = 0.7, 3.0  # clocks of instances, in seconds of the engine's clock


class Instance:
    """An instance whose clock has its own speed, and whose questions travel for any time."""

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self.clock = ManualClock()
        self.lease: TimedLease | None = None
        self.sent_at: float | None = None
        self.answer: bool | None = None  # the engine's, on its way

    @property
    def leads(self) -> bool:
        return self.lease is not None and self.lease.valid()

    def send(self) -> None:
        if self.sent_at is None:
            self.sent_at, self.answer = self.clock.monotonic(), None

    def receive(self) -> None:
        """Do what `Campaign` does with an answer."""
        if self.sent_at is None or self.answer is None:
            return
        if not self.answer:
            self.lease = None
        elif self.lease is not None and self.lease.valid():
            self.lease.renew(self.sent_at)
        else:
            self.lease = TimedLease(self.clock, self.sent_at, SESSION)
        self.sent_at = None


moves = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(0, 12)),
        st.tuples(st.sampled_from(["ask", "send", "arrive", "receive"]), st.integers(0, 2)),
    ),
    min_size=10,
    max_size=40,
)
speeds_of_clocks = st.sampled_from([SLOWEST, 1.0]) | st.floats(SLOWEST, FASTEST)


@settings(max_examples=50)
@given(st.tuples(*[speeds_of_clocks] * 3), moves)
def test_no_two_leases_are_valid_at_a_time_however_fast_the_clocks_run(
    speeds: tuple[float, ...], moves: list[tuple[str, Any]]
) -> None:
    """An instance that does not move for long is one that is frozen, or cut off."""
    instances = [Instance(speed) for speed in speeds]
    now, holder, until = 0.0, -1, 0.0  # by the engine's clock
    for move, given_value in moves:
        if move == "wait":
            now += given_value
            for each in instances:
                each.clock.advance(given_value * each.speed)
        else:
            asking = instances[given_value]
            if move in ("ask", "send"):
                asking.send()
            if move in ("ask", "arrive") and asking.sent_at is not None and asking.answer is None:
                asking.answer = holder == given_value or now >= until
                if asking.answer:
                    holder, until = given_value, now + SESSION
            if move in ("ask", "receive"):
                asking.receive()
        assert sum(each.leads for each in instances) <= 1
