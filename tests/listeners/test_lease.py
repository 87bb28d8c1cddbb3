"""The lease: this instance gives the role up before the broker can give it to another one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.leader.lease import Lease
from ocean_actors.testing import ManualClock

SESSION = 9.0
LASTS = 6.0  # two thirds of it


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def lease(clock: ManualClock) -> Lease:
    return Lease(clock, clock.monotonic(), SESSION)


def test_it_is_valid_while_heartbeats_are_answered(lease: Lease, clock: ManualClock) -> None:
    for _ in range(20):
        clock.advance(1.0)
        lease.renew(clock.monotonic())
        assert lease.valid()


def test_it_runs_out_if_no_heartbeat_is_answered(lease: Lease, clock: ManualClock) -> None:
    clock.advance(LASTS - 0.1)
    assert lease.valid()
    assert lease.remaining() == pytest.approx(0.1)
    clock.advance(0.1)
    assert not lease.valid()
    assert lease.remaining() == 0.0


def test_the_time_at_which_the_heartbeat_was_sent_counts_not_that_of_its_answer(
    lease: Lease, clock: ManualClock
) -> None:
    sent_at = clock.monotonic()
    clock.advance(5.0)
    lease.renew(sent_at)  # its answer took five seconds
    assert lease.remaining() == pytest.approx(1.0)


def test_a_late_answer_does_not_shorten_it(lease: Lease, clock: ManualClock) -> None:
    sent_at = clock.monotonic()
    clock.advance(2.0)
    lease.renew(clock.monotonic())
    lease.renew(sent_at)
    assert lease.remaining() == pytest.approx(LASTS)


def test_a_process_that_slept_through_it_has_lost_it_for_good(
    lease: Lease, clock: ManualClock
) -> None:
    clock.advance(100.0)
    assert not lease.valid()  # whichever thread wakes first
    lease.renew(clock.monotonic())
    assert not lease.valid()


def test_a_confirmation_that_is_too_old_begins_no_lease(clock: ManualClock) -> None:
    sent_at = clock.monotonic()
    clock.advance(LASTS)
    assert not Lease(clock, sent_at, SESSION).valid()
    assert not Lease(clock, float("-inf"), SESSION).valid()


def test_once_ended_it_is_never_valid_again(lease: Lease, clock: ManualClock) -> None:
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
    lease, sent_at, was_valid = Lease(clock, clock.monotonic(), SESSION), None, True
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
