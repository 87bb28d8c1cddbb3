"""Messages that actors schedule to themselves, on a clock that the test turns."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any

import pytest

from ocean_actors.actors import Actor, ActorSystem, Message, Repeat, SystemClock, Timer, handles
from ocean_actors.actors.timers import ActorTimers
from ocean_actors.testing import ManualClock, Probe, wait_idle


@dataclass(frozen=True)
class Tick(Message):
    label: str = ""


@dataclass(frozen=True)
class Run(Message):
    """Have the actor do something with itself."""

    what: Any


class Timed(Actor):
    """Notes each tick and the moment it came, in seconds since the test began."""

    def __init__(self, ticks: list[tuple[str, float]], began: float) -> None:
        super().__init__()
        self.ticks = ticks
        self.began = began

    @handles(Tick)
    def on_tick(self, tick: Tick) -> None:
        self.ticks.append((tick.label, round(self.context.clock.monotonic() - self.began, 9)))

    @handles(Run)
    def on_run(self, message: Run) -> Any:
        return message.what(self)


class Timing:
    def __init__(self, system: ActorSystem, clock: ManualClock) -> None:
        self.system, self.clock = system, clock
        self.idle_timers = 1  # the watchdog's
        self.ticks: list[tuple[str, float]] = []
        self.ref = system.spawn(Timed, self.ticks, clock.monotonic())

    def do(self, what: Any) -> Any:
        return self.ref.ask(Run(what))

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds, lambda: wait_idle(self.system))

    def hold(self) -> threading.Event:
        """Keep the actor in a message until the event that is returned is set."""
        held, release = threading.Event(), threading.Event()

        def wait(_actor: object) -> None:
            held.set()
            release.wait(30)

        self.ref.tell(Run(wait))
        assert held.wait(30)
        return release

    def pending(self) -> int:
        return self.clock.pending() - self.idle_timers


@pytest.fixture
def timing(system: ActorSystem, clock: ManualClock) -> Timing:
    return Timing(system, clock)


def test_once_comes_at_its_very_moment_and_only_then(timing: Timing) -> None:
    timing.do(lambda actor: actor.context.schedule(0.3, Tick("a")))
    timing.advance(0.1)
    timing.advance(0.199999999)
    assert timing.ticks == []
    timing.advance(0.000000001)
    timing.advance(100)
    assert timing.ticks == [("a", 0.3)]


def test_timers_due_together_come_in_the_order_of_their_making(timing: Timing) -> None:
    for label in "cab":
        timing.do(lambda actor, label=label: actor.context.schedule(1, Tick(label)))
    timing.advance(1)
    assert [label for label, _ in timing.ticks] == ["c", "a", "b"]


def test_once_can_be_cancelled_and_leaves_nothing_behind(timing: Timing) -> None:
    for _ in range(100):  # as one that waits for quiet does
        timer = timing.do(lambda actor: actor.context.schedule(1, Tick()))
        assert isinstance(timer, Timer)
        timing.do(lambda _actor, timer=timer: timer.cancel())
        timing.do(lambda _actor, timer=timer: timer.cancel())
    assert timing.pending() == 0
    assert len(timing.do(lambda actor: actor.context._cell.timers._pending)) == 0
    timing.advance(10)
    assert timing.ticks == []


def test_a_fixed_rate_keeps_its_phase_whatever_rounding_does(timing: Timing) -> None:
    timing.do(lambda actor: actor.context.schedule_every(0.1, Tick(), first=0.05))
    timing.advance(1_000)
    assert len(timing.ticks) == 10_000
    assert [at for _, at in timing.ticks] == [round(0.05 + n * 0.1, 9) for n in range(10_000)]


def test_the_first_beat_comes_after_one_interval_unless_told_otherwise(timing: Timing) -> None:
    timing.do(lambda actor: actor.context.schedule_every(10, Tick("a")))
    timing.do(lambda actor: actor.context.schedule_every(10, Tick("b"), first=0))
    timing.advance(10)
    assert timing.ticks == [("b", 0.0), ("a", 10.0), ("b", 10.0)]


def test_a_busy_actor_finds_one_beat_waiting_and_the_phase_kept(timing: Timing) -> None:
    timing.do(lambda actor: actor.context.schedule_every(1, Tick()))
    release = timing.hold()
    timing.clock.advance(5.5)
    assert timing.system.snapshot()[0]["mailbox"] == 1
    release.set()
    wait_idle(timing.system)
    assert timing.ticks == [("", 5.5)]
    timing.advance(1)
    assert timing.ticks == [("", 5.5), ("", 6.0)]


def test_a_fixed_delay_counts_from_when_the_beat_was_handled(timing: Timing) -> None:
    timing.do(lambda actor: actor.context.schedule_every(1, Tick(), fixed_delay=True))
    timing.advance(1)
    release = timing.hold()
    timing.clock.advance(5.5)
    release.set()
    wait_idle(timing.system)
    timing.advance(1)
    assert timing.ticks == [("", 1.0), ("", 6.5), ("", 7.5)]


@pytest.mark.parametrize("fixed_delay", [False, True])
def test_a_repetition_can_be_cancelled_even_by_its_own_beat(
    timing: Timing, fixed_delay: bool
) -> None:
    repeat = timing.do(
        lambda actor: actor.context.schedule_every(1, Tick(), fixed_delay=fixed_delay)
    )
    assert isinstance(repeat, Repeat)
    timing.advance(3)
    timing.do(lambda _actor: repeat.cancel())
    timing.do(lambda _actor: repeat.cancel())
    assert timing.pending() == 0
    timing.advance(10)
    assert len(timing.ticks) == 3

    def cancel(actor: Timed) -> None:
        actor.ticks.append(("last", 0))
        own.cancel()

    own = timing.do(
        lambda actor: actor.context.schedule_every(1, Run(cancel), fixed_delay=fixed_delay)
    )
    timing.advance(10)
    assert timing.pending() == 0
    assert timing.ticks[3:] == [("last", 0)]


@pytest.mark.parametrize("seconds", [0, -1, math.nan])
def test_an_interval_is_positive(timing: Timing, seconds: float) -> None:
    system = ActorSystem(clock=timing.clock)
    ref = system.spawn(Timed, [], 0.0)
    with pytest.raises(ValueError, match="seconds: expected a positive number"):
        ref.ask(Run(lambda actor: actor.context.schedule_every(seconds, Tick())))
    assert system.stop() == []


@pytest.mark.parametrize("way", ["once", "first beat"])
def test_a_time_that_is_no_number_is_refused_and_holds_up_nobody(timing: Timing, way: str) -> None:
    system = ActorSystem(clock=timing.clock)
    ref = system.spawn(Timed, [], 0.0)

    def schedule(actor: Timed) -> None:
        if way == "once":
            actor.context.schedule(math.nan, Tick())
        else:
            actor.context.schedule_every(1, Tick(), first=math.nan)

    with pytest.raises(ValueError, match="not at nan"):
        ref.ask(Run(schedule))
    called: list[str] = []
    timing.clock.call_later(1, lambda: called.append("in time"))
    timing.advance(1)
    assert called == ["in time"]
    assert system.stop() == []


def schedule_all(actor: Timed) -> None:
    actor.context.schedule(1, Tick())
    actor.context.schedule_every(1, Tick())
    actor.context.schedule_every(1, Tick(), fixed_delay=True)


def test_timers_end_with_the_actor(timing: Timing) -> None:
    timing.do(schedule_all)
    assert timing.pending() == 3
    timing.system.stop_actor(timing.ref)
    assert timing.pending() == 0
    timing.advance(10)
    assert timing.ticks == []
    assert timing.system.dead_letters.counts == {}


def test_timers_end_with_a_life(timing: Timing) -> None:
    timing.do(schedule_all)
    with pytest.raises(ZeroDivisionError):
        timing.do(lambda _actor: 1 / 0)
    timing.advance(10)
    assert timing.pending() == 0
    assert timing.ticks == []


@pytest.mark.parametrize("way", ["schedule", "schedule_every"])
def test_a_mutable_message_is_refused_when_it_is_scheduled(timing: Timing, way: str) -> None:
    @dataclass(frozen=True)
    class Bag(Message):
        items: list[int]

    with pytest.raises(TypeError, match="Bag is mutable"):
        timing.do(lambda actor: getattr(actor.context, way)(1, Bag([])))


def test_a_clock_that_is_held_up_skips_beats_and_keeps_the_phase() -> None:
    class HeldUp(ManualClock):
        lag = 0.0

        def monotonic(self) -> float:
            return super().monotonic() + self.lag

    clock = HeldUp()
    delivered: list[Any] = []

    def deliver(envelope: Any) -> bool:
        delivered.append(envelope)
        return True

    timers = ActorTimers(clock, deliver)
    first = clock.monotonic() + 1
    timers.every(first, 1, Tick(), fixed_delay=False)

    def beats(seconds: float) -> int:
        delivered.clear()
        clock.advance(seconds)
        for envelope in delivered:
            envelope.reply_to.set(None)
        return len(delivered)

    assert beats(1) == 1
    clock.lag = 0.4
    assert beats(0.5) == 0
    assert beats(0.5) == 1
    (timer,) = clock._heap
    assert timer.due == first + 2
    clock.lag = 3.4  # as after a suspended process
    assert beats(1) == 1
    (timer,) = clock._heap
    assert timer.due == first + 5


def test_however_many_timers_there_are_one_thread_turns_the_clock() -> None:
    def timer_threads() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "timers"]

    before = timer_threads()
    system = ActorSystem()
    probe = Probe(system)
    for number in range(1_000):
        system.clock.call_later(3_600 + number, lambda: None)
    system.clock.call_later(0.001, lambda: probe.ref.tell(Tick("now")))
    assert probe.expect(Tick) == Tick("now")
    (own,) = (thread for thread in timer_threads() if thread not in before)
    assert system.stop() == []
    assert not own.is_alive()
    assert system.clock.pending() == 0


def test_the_machines_clock_runs_timers_in_their_order_even_if_an_earlier_one_comes_late() -> None:
    clock = SystemClock()
    order: list[str] = []
    done = threading.Event()
    now = clock.monotonic()

    def late() -> None:
        order.append("b")
        done.set()

    clock.call_at(now + 0.02, late)
    clock.call_at(now + 0.01, lambda: order.append("a"))
    cancelled = clock.call_at(now + 0.015, lambda: order.append("never"))
    cancelled.cancel()
    assert done.wait(30)
    assert order == ["a", "b"]
    clock.close()


def test_a_callback_that_raises_costs_the_others_nothing(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise SystemExit

    ran: list[int] = []
    clock.call_later(1, fail)
    clock.call_later(1, lambda: ran.append(1))
    clock.advance(1)
    assert ran == [1]
    assert "the callback of a timer failed" in caplog.text


def test_closing_a_clock_wakes_whoever_waits_by_it() -> None:
    clock = SystemClock()
    asleep, woken = threading.Event(), threading.Event()
    clock.on_sleep.add(asleep.set)

    def sleep() -> None:
        clock.wait(3_600, threading.Event())
        woken.set()

    thread = threading.Thread(target=sleep)
    thread.start()
    assert asleep.wait(30)
    clock.close()
    assert woken.wait(30)
    thread.join(30)
    clock.wait(3_600, threading.Event())  # no time passes by a closed clock
