"""The tracker of Kafka offsets: a request's is held back until it has settled."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.listeners.kafka.offsets import MAX_UNSETTLED, OffsetTracker

ONE = ("topic", 0)
TWO = ("topic", 1)


def tracker_of(*partitions: Any, **options: Any) -> Any:
    tracker = OffsetTracker(**options)
    for partition in partitions or (ONE,):
        tracker.assign(partition)
    return tracker


def test_nothing_is_committed_before_anything_was_read() -> None:
    assert tracker_of().take_committable(0.0) == {}


def test_noise_is_committed_in_batches() -> None:
    tracker = tracker_of(messages=100, seconds=5.0)
    tracker.read(ONE, 1)
    assert tracker.take_due(0.0) == {ONE: 1}
    tracker.read(ONE, 50)
    assert tracker.take_due(4.9) == {}
    assert tracker.take_due(5.0) == {ONE: 50}
    tracker.read(ONE, 150)
    assert tracker.take_due(5.1) == {ONE: 150}


def test_an_offset_is_not_committed_twice() -> None:
    tracker = tracker_of()
    tracker.read(ONE, 7)
    assert tracker.take_committable(0.0) == {ONE: 7}
    assert tracker.take_committable(1.0) == {}


def test_the_oldest_request_holds_the_offset_back_until_it_settles() -> None:
    tracker = tracker_of()
    tracker.track(ONE, 10, 1)
    tracker.track(ONE, 20, 2)
    tracker.read(ONE, 30)
    assert tracker.take_committable(0.0) == {ONE: 10}
    tracker.ack_through(1)
    assert tracker.take_due(0.1) == {ONE: 20}
    tracker.ack_through(2)
    assert tracker.take_due(0.2) == {ONE: 30}


def test_a_request_settles_the_earlier_ones_in_every_partition() -> None:
    tracker = tracker_of(ONE, TWO)
    tracker.track(ONE, 10, 1)
    tracker.track(TWO, 5, 2)
    tracker.read(ONE, 11)
    tracker.read(TWO, 6)
    tracker.ack_through(2)
    assert tracker.take_due(0.0) == {ONE: 11, TWO: 6}


def test_an_ignored_request_settles_alone() -> None:
    tracker = tracker_of()
    tracker.track(ONE, 10, 1)
    tracker.track(ONE, 20, 2)
    tracker.read(ONE, 21)
    tracker.ack(2)
    assert tracker.take_committable(0.0) == {ONE: 10}
    tracker.ack_through(1)
    assert tracker.take_committable(0.0) == {ONE: 21}


def test_nothing_is_committed_for_a_lost_partition() -> None:
    tracker = tracker_of(ONE, TWO)
    tracker.read(ONE, 10)
    tracker.read(TWO, 10)
    tracker.revoke(ONE)
    tracker.read(ONE, 11)
    tracker.track(ONE, 11, 1)
    assert tracker.take_committable(0.0) == {TWO: 10}
    assert tracker.unsettled == 0


def test_what_a_partition_owed_before_it_was_lost_settles_nothing_after_it_came_back() -> None:
    tracker = tracker_of()
    tracker.track(ONE, 10, 1)
    tracker.revoke(ONE)
    tracker.assign(ONE)
    tracker.track(ONE, 10, 2)
    tracker.read(ONE, 11)
    tracker.ack_through(1)
    assert tracker.take_committable(0.0) == {ONE: 10}
    tracker.ack_through(2)
    assert tracker.take_committable(0.0) == {ONE: 11}


def test_where_reading_begins_is_committed_at_once() -> None:
    tracker = tracker_of(seconds=1_000.0)
    tracker.take_committable(0.0)
    tracker.begin(ONE, 42)
    assert tracker.take_due(0.1) == {ONE: 42}


def test_a_failed_commit_is_due_again() -> None:
    tracker = tracker_of(seconds=1_000.0)
    tracker.read(ONE, 5)
    tracker.take_committable(0.0)
    tracker.failed((ONE, TWO))
    assert tracker.take_due(0.1) == {ONE: 5}


def test_a_flood_of_requests_costs_bounded_memory_and_loses_none() -> None:
    tracker = tracker_of()
    for number in range(10 * MAX_UNSETTLED):
        tracker.track(ONE, number, number + 1)
    tracker.read(ONE, 10 * MAX_UNSETTLED)
    assert tracker.unsettled == MAX_UNSETTLED
    tracker.ack_through(2 * MAX_UNSETTLED)
    # Earlier than need be, never later.
    assert tracker.take_committable(0.0) == {ONE: MAX_UNSETTLED - 1}
    tracker.ack_through(10 * MAX_UNSETTLED)
    assert tracker.take_committable(0.0) == {ONE: 10 * MAX_UNSETTLED}


steps = st.lists(
    st.one_of(
        st.tuples(st.just("noise"), st.integers(1, 5)),
        st.tuples(st.just("request"), st.just(0)),
        st.tuples(st.just("settle"), st.integers(0, 200)),
        st.tuples(st.just("alone"), st.integers(0, 200)),
        st.tuples(st.just("lose"), st.just(0)),
    ),
    max_size=200,
)


@given(steps)
def test_no_offset_behind_an_unsettled_request_is_ever_committed(steps: Any) -> None:
    """A plain model: the broker's committed offset, and the requests that have not settled."""
    tracker, committed, position, delivery_tag = tracker_of(), 0, 0, 0
    unsettled = {}
    for step, number in steps:
        if step == "noise":
            position += number
        elif step == "request":
            delivery_tag += 1
            unsettled[delivery_tag] = position
            tracker.track(ONE, position, delivery_tag)
            position += 1
        elif step == "settle":
            tracker.ack_through(number)
            unsettled = {key: each for key, each in unsettled.items() if key > number}
        elif step == "alone":
            tracker.ack(number)
            unsettled.pop(number, None)
        else:
            tracker.revoke(ONE)
            tracker.assign(ONE)
            unsettled, position = {}, committed  # read again from there
        tracker.read(ONE, position)
        committed = tracker.take_committable(0.0).get(ONE, committed)
        assert committed <= min([position, *unsettled.values()])
