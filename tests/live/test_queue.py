"""The pure queue: order within a key, concurrency across keys, attempts."""

from __future__ import annotations

from collections import defaultdict
from itertools import count

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ocean_actors.actors import Backoff
from ocean_actors.live.queue import GiveUp, LiveQueue, QueuedEvent, QueueLimits, RetryIn
from ocean_actors.live.room import Room

LIMITS = QueueLimits(workers=2, attempts=3, backoff=Backoff(1.0, 8.0, jitter=0.5))


def queue() -> LiveQueue[str]:
    return LiveQueue(LIMITS, count(1))


def started(events: LiveQueue[str]) -> QueuedEvent[str]:
    event = events.start()
    assert event is not None
    return event


def test_the_second_event_of_a_key_waits_for_the_first() -> None:
    events = queue()
    for item in ("first", "second"):
        events.add("A", item)
    first = started(events)
    assert events.start() is None
    events.succeeded(first.number)
    assert started(events).item == "second"


def test_an_event_that_failed_keeps_its_place() -> None:
    events = queue()
    for item in ("first", "second"):
        events.add("A", item)
    event = started(events)
    assert events.failed(event.number, 0.0) == RetryIn(1.0)
    assert events.start() is None
    events.due(event.number)
    again = started(events)
    assert (again.item, again.attempt) == ("first", 2)
    assert events.failed(again.number, 0.5) == RetryIn(1.5)


def test_an_event_is_given_up_after_its_attempts() -> None:
    events = queue()
    events.add("A", "first")
    for _ in range(LIMITS.attempts - 1):
        event = started(events)
        assert isinstance(events.failed(event.number, 0.0), RetryIn)
        events.due(event.number)
    assert events.failed(started(events).number, 0.0) == GiveUp()
    assert len(events) == 0


def test_a_lasting_failure_is_given_up_at_once_and_a_handler_may_say_when_to_retry() -> None:
    events = queue()
    events.add("A", "first")
    assert events.failed(started(events).number, 0.0, lasting=True) == GiveUp()
    events.add("A", "second")
    assert events.failed(started(events).number, 0.9, after=7.0) == RetryIn(7.0)


def test_a_room_is_full_by_number_and_by_size() -> None:
    room = Room(3, 100)
    assert [room.add(size) for size in (60, 50, 40, 0, 0)] == [True, False, True, True, False]
    assert (room.count, room.accepted, room.refused) == (3, 3, 2)
    room.remove(60)
    assert room.add(60)


def test_one_event_larger_than_all_may_be_is_taken_alone() -> None:
    room = Room(3, 100)
    assert room.add(1000)
    assert not room.add(1)
    room.remove(1000)
    assert room.add(1)


def test_little_time_ends_all_pauses_and_a_held_queue_starts_nothing() -> None:
    events = queue()
    events.add("A", "first")
    event = started(events)
    events.failed(event.number, 0.0)
    events.hurry()
    events.due(event.number)  # the timer of that pause comes late
    again = started(events)
    assert events.start() is None
    events.failed(again.number, 0.0)
    events.hold()
    events.hurry()
    assert events.start() is None
    assert len(events) == 1


class QueueMachine(RuleBasedStateMachine):
    """Compares the queue with what an observer of its inputs and outputs expects."""

    def __init__(self) -> None:
        super().__init__()
        self.events = queue()
        self.lines: dict[str, list[str]] = defaultdict(list)  # accepted and not over, by key
        self.working: dict[int, QueuedEvent[str]] = {}
        self.paused: dict[int, QueuedEvent[str]] = {}
        self.count = 0

    @rule(key=st.sampled_from("ABC"))
    def add(self, key: str) -> None:
        self.count += 1
        item = f"{key}{self.count}"
        self.events.add(key, item)
        self.lines[key].append(item)

    @rule()
    def start(self) -> None:
        event = self.events.start()
        busy = {each.key for each in (*self.working.values(), *self.paused.values())}
        free = [key for key, line in self.lines.items() if line and key not in busy]
        if len(self.working) >= LIMITS.workers or not free:
            assert event is None
            return
        assert event is not None
        assert event.key in free
        assert event.item == self.lines[event.key][0]
        self.working[event.number] = event

    @precondition(lambda self: self.working)
    @rule(data=st.data(), outcome=st.sampled_from(["ok", "failed", "lasting"]))
    def finish(self, data: st.DataObject, outcome: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.working)))
        event = self.working.pop(number)
        if outcome == "ok":
            self.events.succeeded(number)
        else:
            decision = self.events.failed(number, 0.0, lasting=outcome == "lasting")
            if outcome == "failed" and event.attempt < LIMITS.attempts:
                assert decision == RetryIn(2.0 ** (event.attempt - 1))
                self.paused[number] = event
                return
            assert decision == GiveUp()
        self.lines[event.key].pop(0)

    @precondition(lambda self: self.paused)
    @rule(data=st.data())
    def due(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.paused)))
        del self.paused[number]
        self.events.due(number)

    @invariant()
    def counts_fit(self) -> None:
        waiting = [item for line in self.lines.values() for item in line]
        assert len(self.events) == len(waiting)
        assert sorted(self.events.items()) == sorted(waiting)
        assert self.events.working == len(self.working)


TestQueueAtRandom = QueueMachine.TestCase
TestQueueAtRandom.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
