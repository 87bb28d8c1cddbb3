"""`context.token`: how the work of an actor that reads no messages is ended."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import ClassVar

from ocean_actors.actors import (
    Actor,
    ActorFailed,
    ActorSystem,
    CancelToken,
    Message,
    OnFailure,
    Supervision,
    SystemClock,
    handles,
)
from ocean_actors.testing import ManualClock, Probe, wait_idle

SOON = 30


@dataclass(frozen=True)
class Work(Message):
    """Work until the token ends it, or fail."""

    fails: bool = False


class Worker(Actor):
    """Sleeps in real time, and notes its tokens and what happens to it."""

    def __init__(self, tokens: queue.Queue[CancelToken], told: list[str]) -> None:
        super().__init__()
        self.tokens = tokens
        self.told = told

    @handles(Work)
    def on_work(self, work: Work) -> None:
        self.tokens.put(self.context.token)
        if work.fails:
            raise OSError("broken")
        self.context.token.sleep(SOON * 6, SystemClock())
        self.told.append("woke up")

    def on_stop(self) -> None:
        self.told.append("stopped")


def test_a_blocked_actor_ends_at_the_stop(system: ActorSystem) -> None:
    tokens: queue.Queue[CancelToken] = queue.Queue()
    told: list[str] = []
    system.spawn(Worker, tokens, told).tell(Work())
    tokens.get(timeout=SOON)
    assert system.stop(SOON) == []
    assert told == ["stopped"]


def test_a_restarted_actor_has_a_token_of_its_own(system: ActorSystem, clock: ManualClock) -> None:
    tokens: queue.Queue[CancelToken] = queue.Queue()
    told: list[str] = []
    worker = system.spawn(Worker, tokens, told)
    worker.tell(Work(fails=True))
    first = tokens.get(timeout=SOON)
    wait_idle(system)
    assert first.reason == "the actor failed"
    worker.tell(Work())
    clock.advance(1)
    second = tokens.get(timeout=SOON)
    assert not second.cancelled
    assert system.stop_actor(worker, SOON)
    assert second.reason == "the actor was asked to stop"
    assert told == ["stopped"]


def test_a_callback_that_raises_disturbs_no_stop(system: ActorSystem) -> None:
    registered = threading.Event()

    class Rude(Actor):
        def on_start(self) -> None:
            self.context.token.on_cancel(self.leave)
            registered.set()

        def leave(self) -> None:
            raise SystemExit(3)

    system.spawn(Rude)
    probe = Probe(system)
    assert registered.wait(SOON)
    assert system.stop(SOON) == []
    assert not probe.ref.is_alive()


def test_the_failures_of_actors_are_published(system: ActorSystem, clock: ManualClock) -> None:
    class Once(Worker):
        supervision: ClassVar[Supervision] = Supervision(OnFailure.STOP)

    probe = Probe(system).subscribe(ActorFailed)
    worker = system.spawn(Worker, queue.Queue(), [])
    for restarts in (1, 2):
        worker.tell(Work(fails=True))
        wait_idle(system)
        expected = ActorFailed("Worker", "OSError: broken", restarts, OnFailure.RESTART)
        assert probe.expect(ActorFailed) == expected
        clock.advance(60, lambda: wait_idle(system))
    system.spawn(Once, queue.Queue(), []).tell(Work(fails=True))
    assert probe.expect(ActorFailed) == ActorFailed("Once", "OSError: broken", 0, OnFailure.STOP)


def test_a_crash_loop_is_published_as_the_end(clock: ManualClock) -> None:
    system = ActorSystem(clock=clock, on_fatal=lambda _name, _error: None)

    class Loop(Actor):
        def on_start(self) -> None:
            raise OSError("broken")

    probe = Probe(system).subscribe(ActorFailed)
    system.spawn(Loop)
    for _ in range(5):
        clock.advance(5, lambda: wait_idle(system))
    actions = [event.action for event in probe.received() if isinstance(event, ActorFailed)]
    assert actions == [OnFailure.RESTART] * 5 + [OnFailure.ESCALATE]
    system.stop()


def test_a_subscriber_that_crashes_is_not_told_of_its_own_crash(
    system: ActorSystem, clock: ManualClock
) -> None:
    told: list[str] = []

    class Watcher(Actor):
        subscribes_to: ClassVar[tuple[type[Message], ...]] = (ActorFailed,)

        @handles(ActorFailed)
        def on_failed(self, event: ActorFailed) -> None:
            told.append(event.name)
            raise OSError("crashes as well")

    system.spawn(Watcher)
    worker = system.spawn(Worker, queue.Queue(), [])
    worker.tell(Work(fails=True))
    clock.advance(60, lambda: wait_idle(system))
    assert told == ["Worker"]
    assert system.cause is None
