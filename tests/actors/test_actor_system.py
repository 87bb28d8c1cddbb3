"""Names, what an operator sees, the end, and neighbours in the process."""

from __future__ import annotations

import functools
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, ClassVar

import pykka
import pytest

from ocean_actors.actors import (
    Actor,
    ActorSystem,
    Backoff,
    CancelToken,
    Context,
    Message,
    OnFailure,
    Supervision,
    handles,
)
from ocean_actors.actors.cell import Cell
from ocean_actors.testing import ManualClock, Probe, wait_idle


@dataclass(frozen=True)
class Do(Message):
    what: Callable[[Any], Any]


class Doer(Actor):
    @handles(Do)
    def do(self, message: Do) -> Any:
        return message.what(self)


class Vital(Doer):
    supervision: ClassVar[Supervision] = Supervision(OnFailure.ESCALATE)


# -- names ---------------------------------------------------------------------------------------


def test_names_are_unique_and_those_of_ended_actors_free(system: ActorSystem) -> None:
    refs = [system.spawn(Doer) for _ in range(3)]
    assert [str(ref) for ref in refs] == ["Doer", "Doer-2", "Doer-3"]
    system.stop_actor(refs[0])
    assert str(system.spawn(Doer)) == "Doer"
    assert str(system.spawn(Doer, name="Doer-5")) == "Doer-5"
    assert [str(system.spawn(Doer)) for _ in range(2)] == ["Doer-4", "Doer-6"]


def test_threads_carry_the_names_of_their_actors(system: ActorSystem) -> None:
    thread = system.spawn(Doer, name="me").ask(Do(lambda _: threading.current_thread()))
    assert thread.name == "me"


def test_a_name_that_was_given_on_is_not_confused(system: ActorSystem) -> None:
    old = system.spawn(Doer)
    system.stop_actor(old)
    new = system.spawn(Doer)
    assert system.stop_actor(old)
    assert new.is_alive()


def wait_in(entered: threading.Event, release: threading.Event) -> Callable[[object], None]:
    """Returns work that sets `entered` and then waits for `release`."""

    def wait(_actor: object) -> None:
        entered.set()
        release.wait(30)

    return wait


# -- what an operator sees -----------------------------------------------------------------------


def test_the_snapshot_tells_of_every_actor(system: ActorSystem, clock: ManualClock) -> None:
    held, release = threading.Event(), threading.Event()
    ref = system.spawn(Doer, name="worker")
    ref.tell(Do(lambda _: 1 / 0))
    wait_idle(system)
    clock.advance(1, lambda: wait_idle(system))
    ref.ask(Do(lambda actor: actor.context.show(queue=3)))
    ref.tell(Do(wait_in(held, release)))
    ref.tell(Do(lambda _: None))
    assert held.wait(30)
    clock.advance(2.5)
    assert system.snapshot() == [
        {
            "name": "worker",
            "type": "Doer",
            "parent": None,
            "state": "running",
            "mailbox": 1,
            "handled": 2,
            "refused": 0,
            "dropped": 0,
            "coalesced": 0,
            "restarts": 1,
            "failure": "ZeroDivisionError: division by zero",
            "message": "Do",
            "message_seconds": 2.5,
            "hung": False,
            "details": {"queue": 3},
        }
    ]
    release.set()
    wait_idle(system)
    (state,) = system.snapshot()
    assert (state["handled"], state["message"], state["message_seconds"]) == (4, None, None)


def test_what_an_actor_shows_of_itself_fits_into_json(system: ActorSystem) -> None:
    seen: dict[Any, Any] = {"kinds": {"b"}, 1: float("inf")}
    shown = {"at": datetime(2026, 1, 1, tzinfo=timezone.utc), "seen": seen, "path": Path("/x")}
    ref = system.spawn(Doer)
    ref.ask(Do(lambda actor: actor.context.show(done=3, share=0.5, none=None, **shown)))
    seen["kinds"].add("later")
    (state,) = system.snapshot()
    assert json.loads(json.dumps(state["details"], allow_nan=False)) == {
        "done": 3, "share": 0.5, "none": None,
        "at": "2026-01-01 00:00:00+00:00", "seen": {"kinds": ["b"], "1": "inf"}, "path": "/x",
    }  # fmt: skip


def test_the_state_is_logged_on_demand_a_line_for_each_actor(
    system: ActorSystem, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    held, release = threading.Event(), threading.Event()
    system.spawn(Doer, name="idle").tell(Do(lambda _: 1 / 0))
    wait_idle(system)
    busy = system.spawn(Doer, name="busy")
    busy.tell(Do(wait_in(held, release)))
    assert held.wait(30)
    clock.advance(31)
    wait_idle(system, parked="busy")
    caplog.clear()
    system.log_state()
    idle, waits = caplog.messages
    assert idle == (
        "idle (Doer) is running, 0 waiting, 1 handled, 1 restarts, "
        "last failure ZeroDivisionError: division by zero"
    )
    assert waits == (
        "busy (Doer) is running, 0 waiting, 0 handled, 0 restarts, hung in Do for 31.0 s"
    )
    release.set()


# -- the end -------------------------------------------------------------------------------------


def test_stop_ends_every_thread_and_is_idempotent() -> None:
    before = set(threading.enumerate())
    system = ActorSystem()
    probe = Probe(system)
    for _ in range(10):
        system.spawn(Doer).tell(Do(lambda actor: actor.context.schedule(60, Do(print))))
    probe.ref.tell(Message())
    probe.expect(Message)
    assert system.stop() == []
    assert set(threading.enumerate()) == before
    assert system.stop() == []


def test_stop_is_bounded_and_names_those_that_are_stuck(clock: ManualClock) -> None:
    held, release = threading.Event(), threading.Event()
    system = ActorSystem(clock=clock)
    system.spawn(Doer, name="stuck").tell(Do(wait_in(held, release)))
    other = system.spawn(Doer, name="other")
    assert held.wait(30)
    assert system.stop(timeout=0.05) == ["stuck"]
    assert not other.is_alive()
    release.set()
    assert system.stop() == []


def test_a_stop_can_wake_what_actors_wait_in(clock: ManualClock) -> None:
    token, asleep = CancelToken(), threading.Event()
    clock.on_sleep.add(asleep.set)
    system = ActorSystem(clock=clock)
    ref = system.spawn(Doer)
    ref.tell(Do(lambda _: token.sleep(60, clock)))
    assert asleep.wait(30)
    asked: list[bool] = []
    system.spawn(Doer)

    def wake() -> None:
        asked.append(ref.is_alive())
        token.cancel("stopping")

    assert system.stop(wake=wake) == []
    assert asked == [False]


def test_a_stop_overtakes_the_mailbox(clock: ManualClock) -> None:
    held, release, done = threading.Event(), threading.Event(), []
    system = ActorSystem(clock=clock)
    ref = system.spawn(Doer)
    ref.tell(Do(wait_in(held, release)))
    for _ in range(100):
        ref.tell(Do(lambda _: done.append(1)))
    assert held.wait(30)
    assert system.stop(timeout=0) == ["Doer"]
    release.set()
    assert system.stop() == []
    assert done == []
    assert system.dead_letters.counts == {"Do": 100}


def test_stopping_by_pykkas_way_handles_first_what_waits(system: ActorSystem) -> None:
    done: list[int] = []

    class Closing(Doer):
        def on_stop(self) -> None:
            done.append(-1)

    def note(number: int, _actor: object) -> None:
        done.append(number)

    ref = system.spawn(Closing)
    for number in range(100):
        ref.tell(Do(functools.partial(note, number)))
    assert ref.stop(timeout=30)
    assert done == [*range(100), -1]
    assert not ref.stop(timeout=30)


def test_everybody_who_stops_an_actor_pykkas_way_hears_of_its_end(clock: ManualClock) -> None:
    held, release = threading.Event(), threading.Event()
    system = ActorSystem(clock=clock)
    ref = system.spawn(Doer)
    ref.tell(Do(wait_in(held, release)))
    assert held.wait(30)
    ends = [ref.stop(block=False) for _ in range(3)]
    release.set()
    assert [end.get(timeout=30) for end in ends] == [True] * 3
    assert system.stop() == []


def test_nothing_is_spawned_in_a_stopped_system(clock: ManualClock) -> None:
    system = ActorSystem(clock=clock)
    system.stop()
    with pytest.raises(RuntimeError, match="Doer cannot start: its actor system is stopped"):
        system.spawn(Doer)


def test_an_actor_that_gets_no_thread_leaves_nothing_behind(
    system: ActorSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Subscriber(Doer):
        subscribes_to: ClassVar[tuple[type[Message], ...]] = (Do,)

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            system.spawn(Subscriber)
    assert system.snapshot() == []
    assert len(system.events) == 0
    assert str(system.spawn(Subscriber)) == "Subscriber"


def test_actors_find_the_context_that_the_system_was_given(clock: ManualClock) -> None:
    class Special(Context):
        def __init__(self, cell: Cell, secret: str) -> None:
            super().__init__(cell)
            self.secret = secret

    system = ActorSystem(clock=clock, context=lambda cell: Special(cell, "xyzzy"))
    assert system.spawn(Doer).ask(Do(lambda actor: actor.context.secret)) == "xyzzy"
    assert system.stop() == []


def test_chance_is_the_systems_own_and_repeats_with_its_seed(clock: ManualClock) -> None:
    def draw(seed: int) -> list[float]:
        system = ActorSystem(clock=clock, seed=seed)
        ref = system.spawn(Doer)
        drawn = [ref.ask(Do(lambda actor: actor.context.jitter())) for _ in range(3)]
        system.stop()
        return drawn

    assert draw(1) == draw(1) != draw(2)


# -- neighbours in the process -------------------------------------------------------------------


def test_pykkas_registry_does_not_know_our_actors(system: ActorSystem) -> None:
    class Stranger(pykka.ThreadingActor):
        pass

    ref = system.spawn(Doer)
    stranger = Stranger.start()
    assert ref.actor_urn not in {each.actor_urn for each in pykka.ActorRegistry.get_all()}
    pykka.ActorRegistry.stop_all(timeout=30)
    assert not stranger.is_alive()
    assert ref.ask(Do(lambda _: "alive")) == "alive"


def test_pykkas_way_to_start_is_refused() -> None:
    with pytest.raises(TypeError, match=r"use spawn\(\)"):
        Doer.start()


def test_two_systems_never_touch(clock: ManualClock) -> None:
    fatal: list[str] = []
    doomed = ActorSystem(clock=clock, on_fatal=lambda name, _error: fatal.append(name))
    other_clock = ManualClock()
    sound = ActorSystem(clock=other_clock)
    here, there = Probe(doomed).subscribe(Message), Probe(sound).subscribe(Message)
    worker = sound.spawn(Doer, name="worker")
    worker.ask(Do(lambda actor: actor.context.schedule_every(1, Message())))

    doomed.spawn(Doer, name="worker").tell(Do(lambda _: exit()))
    wait_idle(doomed)
    doomed.spawn(Vital, name="vital").tell(Do(lambda _: exit()))
    wait_idle(doomed)
    doomed.events.publish(Message())
    here.expect(Message, where=lambda event: type(event) is Message)  # not an ActorFailed
    assert fatal == ["vital"]
    assert doomed.stop_actor(worker)  # not its own: nothing happens
    assert doomed.stop() == []

    there.expect_none()
    assert worker.is_alive()
    sound.events.publish(Message())
    there.expect(Message)
    other_clock.advance(2, lambda: wait_idle(sound))
    assert sound.dead_letters.counts == {"Message": 2}  # the beats: Doer does not handle them
    assert doomed.dead_letters.counts == {}
    assert [each["restarts"] for each in sound.snapshot()] == [0, 0]
    assert sound.stop() == []


def test_a_crash_loop_in_one_system_leaves_another_working() -> None:
    class Hopeless(Doer):
        supervision: ClassVar[Supervision] = Supervision(backoff=Backoff(initial=0.0))

        def on_start(self) -> None:
            raise SystemExit(3)

    ended = threading.Event()
    doomed = ActorSystem(on_fatal=lambda *_: ended.set())
    sound = ActorSystem()
    ref = sound.spawn(Doer)
    doomed.spawn(Hopeless)
    answers = []
    while not ended.is_set():
        answers.append(ref.ask(Do(lambda _: 1)))
    assert doomed.stop() == []
    assert isinstance(doomed.cause, SystemExit)
    assert ref.ask(Do(lambda _: 2)) == 2
    assert sound.cause is None
    assert sound.stop() == []
