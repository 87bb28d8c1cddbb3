"""The kit that users test their own actors with."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ocean_actors.actors import Actor, ActorSystem, CancelToken, Message, Ref, handles
from ocean_actors.actors.quiescence import Quiescence
from ocean_actors.testing import ManualClock, Probe, wait_idle


@dataclass(frozen=True)
class Order(Message):
    number: int


@dataclass(frozen=True)
class Receipt(Message):
    number: int


@dataclass(frozen=True)
class Chime(Message):
    pass


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def system(clock: ManualClock) -> Iterator[ActorSystem]:
    system = ActorSystem(clock=clock, debug=True)
    yield system
    assert system.stop() == []


# -- the clock -----------------------------------------------------------------------------------


def test_the_clock_stands_still_until_it_is_turned() -> None:
    clock = ManualClock(datetime(2026, 5, 1, tzinfo=timezone.utc))
    assert (clock.monotonic(), clock.now()) == (8191.0, datetime(2026, 5, 1, tzinfo=timezone.utc))
    clock.advance(90.5)
    assert clock.monotonic() == 8281.5
    assert clock.now() == datetime(2026, 5, 1, 0, 1, 30, 500_000, tzinfo=timezone.utc)


def test_ten_tenths_make_a_second(clock: ManualClock) -> None:
    ran: list[float] = []
    clock.call_later(1.0, lambda: ran.append(clock.monotonic()))
    began = clock.now()
    for _ in range(9):
        clock.advance(0.1)
    assert ran == []
    clock.advance(0.1)
    assert ran == [8192.0]
    assert clock.now() - began == timedelta(seconds=1)


def test_a_timer_made_between_turns_is_as_exact(clock: ManualClock) -> None:
    for step in range(1, 200):
        ran: list[int] = []
        clock.advance(0.1)
        clock.call_later(step * 0.07, functools.partial(ran.append, 1))
        clock.advance(step * 0.07)
        assert ran == [1]


def test_callbacks_see_their_own_moment_and_may_set_timers_within_the_turn(
    clock: ManualClock,
) -> None:
    moments: list[float] = []

    def tick() -> None:
        moments.append(clock.monotonic() - 8191)
        if len(moments) < 4:
            clock.call_later(2, tick)

    clock.call_later(1, tick)
    clock.advance(6)
    assert moments == [1, 3, 5]
    assert clock.monotonic() == 8197
    clock.advance(1)
    assert moments == [1, 3, 5, 7]


def test_a_timer_that_is_overdue_runs_at_the_next_turn_without_turning_back(
    clock: ManualClock,
) -> None:
    moments: list[float] = []
    clock.call_at(clock.monotonic() - 5, lambda: moments.append(clock.monotonic()))
    clock.advance(0)
    assert moments == [8191.0]


def test_threads_may_turn_the_clock_at_once(clock: ManualClock) -> None:
    ran: list[float] = []
    for number in range(400):
        clock.call_later(number * 0.01, lambda: ran.append(clock.monotonic()))

    def turn() -> None:
        for _ in range(100):
            clock.advance(0.01)

    threads = [threading.Thread(target=turn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert clock.monotonic() == 8195.0
    assert len(ran) == 400
    assert ran == sorted(ran)


# -- quiescence -----------------------------------------------------------------------------------


class Relay(Actor):
    """Passes an order on, one less, and at the end tells the last."""

    def __init__(self, last: Ref) -> None:
        super().__init__()
        self.last = last

    @handles(Order)
    def on_order(self, order: Order) -> None:
        if order.number:
            child = self.context.spawn(Relay, self.last)
            child.tell(Order(order.number - 1))
        else:
            self.last.tell(Receipt(order.number))


def test_settled_waits_for_messages_that_lead_to_messages(system: ActorSystem) -> None:
    probe = Probe(system)
    for _ in range(20):
        system.spawn(Relay, probe.ref).tell(Order(10))
    wait_idle(system)
    assert probe.received() == [Receipt(0)] * 20


def test_the_idle_state_wants_to_see_each_at_rest_twice_with_nothing_handled_between() -> None:
    looks = [(7, None), None, (8, None), (9, None), (9, None)]

    class Flickering:
        """Handles messages between the looks."""

        def rest(self) -> Any:
            seen = looks.pop(0)
            if seen is None:
                threading.Timer(0.0, quiescence.notify).start()
            return seen

    quiescence, actors = Quiescence(ManualClock()), [Flickering()]
    assert quiescence.wait(lambda: actors, timeout=30) == []
    assert looks == []


def test_who_handles_messages_between_all_looks_is_not_waited_for_without_end() -> None:
    class Restless:
        handled = 0

        def rest(self) -> Any:
            self.handled += 1
            return self.handled, None

    actors = [Restless()]
    assert Quiescence(ManualClock()).wait(lambda: actors, timeout=0.01) == actors


def test_one_may_wait_for_some_actors_and_what_they_have_spawned(system: ActorSystem) -> None:
    begun: queue.Queue[str] = queue.Queue()
    release = threading.Event()

    class Busy(Actor):
        @handles(Order)
        def spawn_and_work(self, order: Order) -> None:
            if order.number:
                self.context.spawn(Busy, name="child").tell(Order(0))
            else:
                begun.put(self.context.ref.name)
                assert release.wait(30)

    system.spawn(Busy, name="parent").tell(Order(1))
    system.spawn(Busy, name="other").tell(Order(0))
    child = next(name for name in (begun.get(timeout=30), begun.get(timeout=30)) if name != "other")
    assert system.wait_idle(0, among={"parent"}) == [child]
    assert system.wait_idle(30, among={"nobody"}) == []
    release.set()
    assert system.wait_idle(30, among={"parent"}) == []


def test_settled_says_who_still_moves(system: ActorSystem) -> None:
    release, held = threading.Event(), threading.Event()

    class Busy(Actor):
        def on_receive(self, _message: Any) -> None:
            held.set()
            release.wait(30)

    ref = system.spawn(Busy)
    ref.tell(Chime())
    assert held.wait(30)
    with pytest.raises(AssertionError, match=r"still at work after 0\.01 s: Busy"):
        wait_idle(system, 0.01)
    wait_idle(system, parked="Bus*")
    release.set()
    wait_idle(system)


def test_a_sleep_by_the_clock_is_rest_until_the_clock_moves(
    system: ActorSystem, clock: ManualClock
) -> None:
    token, probe = CancelToken(), Probe(system)

    class Sleeper(Actor):
        @handles(Order)
        def on_order(self, order: Order) -> None:
            token.sleep(order.number, self.context.clock)
            probe.ref.tell(Receipt(order.number))

    ref = system.spawn(Sleeper)
    for number in (60, 30):
        ref.tell(Order(number))
    wait_idle(system)
    assert probe.received() == []
    clock.advance(60)
    wait_idle(system)
    assert probe.received() == [Receipt(60)]
    clock.advance(30)
    wait_idle(system)
    assert probe.received() == [Receipt(60), Receipt(30)]


def test_a_turn_that_settles_does_in_one_go_what_actors_do_step_by_step(
    system: ActorSystem, clock: ManualClock
) -> None:
    class Clockwork(Actor):
        def __init__(self, moments: list[float]) -> None:
            super().__init__()
            self.moments = moments

        def on_start(self) -> None:
            self.context.schedule(1.5, Chime())

        @handles(Chime)
        def on_chime(self, _chime: Chime) -> None:
            self.moments.append(self.context.clock.monotonic() - 8191)
            self.context.schedule(1.5, Chime())

    moments: list[float] = []
    system.spawn(Clockwork, moments)
    clock.advance(150, lambda: wait_idle(system))
    assert moments == [1.5 * number for number in range(1, 101)]


# -- the probe -----------------------------------------------------------------------------------


def test_a_probe_gives_what_was_expected_and_keeps_the_rest_in_order(system: ActorSystem) -> None:
    probe = Probe(system)
    for message in (Order(1), Receipt(2), Order(3)):
        probe.ref.tell(message)
    assert probe.expect(Receipt) == Receipt(2)
    assert probe.expect(Order, where=lambda order: order.number > 1) == Order(3)
    assert probe.received() == [Order(1)]


def test_a_probe_waits_for_what_is_on_its_way(system: ActorSystem) -> None:
    probe = Probe(system)
    sender = threading.Timer(0.01, lambda: probe.ref.tell(Order(1)))
    sender.start()
    assert probe.expect(Order) == Order(1)
    sender.join(30)


def test_a_disappointed_probe_says_what_came_instead(system: ActorSystem) -> None:
    probe = Probe(system)
    with pytest.raises(AssertionError, match=r"no Receipt came within 0\.01 s; received: nothing"):
        probe.expect(Receipt, within=0.01)
    probe.ref.tell(Order(1))
    wait_idle(system)
    with pytest.raises(AssertionError, match=r"received: \[Order\(number=1\)\]"):
        probe.expect(Receipt, within=0.01)


def test_expecting_nothing_waits_for_what_is_on_its_way_and_for_no_time(
    system: ActorSystem,
) -> None:
    probe = Probe(system)
    probe.expect_none()
    system.spawn(Relay, probe.ref).tell(Order(20))
    probe.expect_none(Order)
    with pytest.raises(AssertionError, match=r"unexpected: Receipt\(number=0\)"):
        probe.expect_none()
    probe.expect(Receipt)
    probe.expect_none(settle=lambda: None)


def test_a_probe_hears_events_and_answers(system: ActorSystem) -> None:
    probe = Probe(system, name="ear", answer=lambda message: f"got {message}").subscribe(Order)
    system.events.publish(Order(1))
    system.events.publish(Receipt(2))
    wait_idle(system)
    assert probe.received() == [Order(1)]
    assert probe.ref.ask(Receipt(3)) == "got Receipt(number=3)"
    assert system.snapshot()[0]["name"] == "ear"
