"""Whatever fails, no actor and no timer disappears silently."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from ocean_actors.actors import (
    Actor,
    ActorSystem,
    Backoff,
    Cancelled,
    CancelToken,
    Message,
    OnFailure,
    Ref,
    Supervision,
    SystemClock,
    TooManyLeftBehind,
    handles,
    lifecycle,
)
from ocean_actors.testing import ManualClock, wait_idle

PACKAGE = logging.getLogger("ocean_actors")


@dataclass(frozen=True)
class Do(Message):
    what: Callable[[Any], Any]


class Doer(Actor):
    supervision: ClassVar[Supervision] = Supervision(backoff=Backoff(1.0, jitter=0.0))

    @handles(Do)
    def do(self, message: Do) -> Any:
        return message.what(self)


class Fragile(Doer):
    supervision: ClassVar[Supervision] = Supervision(OnFailure.STOP)


class Vital(Doer):
    supervision: ClassVar[Supervision] = Supervision(OnFailure.ESCALATE)


class Broken(logging.Handler):
    """Raises `error` for every record."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error = error

    def emit(self, record: logging.LogRecord) -> None:
        raise self.error("as told")


class Blocked(logging.Handler):
    """A log that nobody reads: its handler blocks, and its lock with it."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.let_go = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.entered.set()
        self.let_go.wait(20)


@pytest.fixture
def log_to() -> Iterator[Callable[[logging.Handler], None]]:
    added: list[logging.Handler] = []

    def add(handler: logging.Handler) -> None:
        added.append(handler)
        PACKAGE.addHandler(handler)

    yield add
    for handler in added:
        PACKAGE.removeHandler(handler)


class Fatal:
    """What `on_fatal` was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, BaseException]] = []
        self.happened = threading.Event()

    def __call__(self, name: str, error: BaseException) -> None:
        self.told.append((name, error))
        self.happened.set()


@pytest.fixture
def fatal() -> Fatal:
    return Fatal()


# -- logging -------------------------------------------------------------------------------------


def test_actors_live_on_although_a_logging_handler_raises(
    system: ActorSystem, clock: ManualClock, log_to: Callable[[logging.Handler], None]
) -> None:
    log_to(Broken(ConnectionError))
    ref, fragile = system.spawn(Doer), system.spawn(Fragile)
    for each in (ref, fragile):
        each.tell(Do(lambda _: 1 / 0))
    ref.tell(Message())  # a dead letter, which is logged
    wait_idle(system)
    clock.advance(1, lambda: wait_idle(system))
    assert ref.ask(Do(lambda _: "alive")) == "alive"
    assert [each["name"] for each in system.snapshot()] == ["Doer"]


def test_a_handler_that_raises_what_no_net_holds_ends_the_system_with_the_cause(
    clock: ManualClock, log_to: Callable[[logging.Handler], None], fatal: Fatal
) -> None:
    log_to(Broken(SystemExit))
    system = ActorSystem(clock=clock, on_fatal=fatal)
    ref = system.spawn(Doer, name="worker")
    answer = ref.ask(Do(lambda _: "answer"), block=False)
    ref.tell(Do(lambda _: 1 / 0))
    waits = ref.ask(Do(lambda _: "never"), block=False)
    assert fatal.happened.wait(30)
    ((name, error),) = fatal.told
    assert (name, type(error)) == ("worker", SystemExit)
    assert system.cause is error
    assert answer.get(timeout=30) == "answer"
    with pytest.raises(Exception, match="stopped before it answered"):
        waits.get(timeout=30)
    assert system.stop() == []


def test_the_clock_goes_on_whatever_a_callback_and_the_log_raise(
    log_to: Callable[[logging.Handler], None],
) -> None:
    log_to(Broken(SystemExit))
    clock = SystemClock()
    ran = threading.Event()

    def fail() -> None:
        raise GeneratorExit

    clock.call_later(0, fail)
    clock.call_later(0.01, ran.set)
    assert ran.wait(30)
    clock.close()


def test_a_clock_that_fails_itself_ends_the_system(
    fatal: Fatal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_clock: SystemClock, _until: float) -> None:
        raise MemoryError

    system = ActorSystem(on_fatal=fatal)
    monkeypatch.setattr(SystemClock, "_pop_due", fail)
    system.spawn(Doer)
    assert fatal.happened.wait(30)
    ((name, error),) = fatal.told
    assert (name, type(error)) == ("timers", MemoryError)
    assert system.stop() == []


@pytest.mark.parametrize("actor_class", [Vital, Fragile])
def test_a_log_that_blocks_delays_neither_the_failure_nor_the_stop(
    clock: ManualClock,
    log_to: Callable[[logging.Handler], None],
    fatal: Fatal,
    actor_class: type[Actor],
) -> None:
    blocked = Blocked()
    log_to(blocked)
    system = ActorSystem(clock=clock, on_fatal=fatal)
    other = system.spawn(Doer)
    ref = system.spawn(actor_class, name="failing")
    ref.tell(Do(lambda _: 1 / 0))
    assert blocked.entered.wait(30)  # the thread is stuck in the log from here on
    assert not ref.is_alive()
    assert fatal.happened.is_set() == (actor_class is Vital)
    assert system.stop(timeout=0.1) == ["failing"]
    assert not other.is_alive()
    blocked.let_go.set()
    assert system.stop() == []


def test_a_clock_whose_thread_is_stuck_in_the_log_is_closed_within_its_bound(
    log_to: Callable[[logging.Handler], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocean_actors.actors.clock.JOIN_TIMEOUT", 0.05)
    blocked = Blocked()
    log_to(blocked)
    system = ActorSystem()
    system.clock.call_later(0, lambda: 1 / 0)
    assert blocked.entered.wait(30)
    assert system.stop() == []
    blocked.let_go.set()


# -- the runtime's own code ------------------------------------------------------------------------


def test_a_failure_of_what_runs_the_actor_ends_the_system(
    clock: ManualClock, fatal: Fatal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr(lifecycle, "decide_after_failure", fail)
    system = ActorSystem(clock=clock, on_fatal=fatal)
    system.spawn(Doer, name="worker").tell(Do(lambda _: 1 / 0))
    assert fatal.happened.wait(30)
    assert [(name, type(error)) for name, error in fatal.told] == [("worker", RecursionError)]
    assert system.stop() == []
    assert system.snapshot() == []


def test_an_end_that_fails_in_part_still_answers_frees_the_name_and_ends_the_system(
    clock: ManualClock, fatal: Fatal, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = ActorSystem(clock=clock, on_fatal=fatal)
    ref = system.spawn(Doer, name="worker")

    def fail(*_: object) -> None:
        raise OSError

    def leave(actor: Any) -> None:
        monkeypatch.setattr(system.events, "unsubscribe", fail)
        actor.context.stop()
        ref_answers.append(ref.ask(Do(lambda _: None), block=False))

    ref_answers: list[Any] = []
    late = ref.ask(Do(leave), block=False)
    late.get(timeout=30)
    assert fatal.happened.wait(30)
    with pytest.raises(Exception, match="stopped"):
        ref_answers[0].get(timeout=30)
    assert [(name, type(error)) for name, error in fatal.told] == [("worker", OSError)]
    assert system.stop() == []
    assert system.snapshot() == []


def test_an_owner_that_fails_when_told_does_not_keep_the_system_alive(clock: ManualClock) -> None:
    def on_fatal(_name: str, error: BaseException) -> None:
        raise SystemExit from error

    system = ActorSystem(clock=clock, on_fatal=on_fatal)
    other = system.spawn(Doer)
    system.spawn(Vital).tell(Do(lambda _: 1 / 0))
    wait_idle(system)
    assert not other.is_alive()
    assert system.stop() == []


# -- threads ---------------------------------------------------------------------------------------


def refuse_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_an_actor_whose_child_gets_no_thread_ends_the_system(
    clock: ManualClock, fatal: Fatal, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = ActorSystem(clock=clock, on_fatal=fatal)
    ref = system.spawn(Doer)
    with monkeypatch.context() as patched:
        refuse_threads(patched)
        ref.tell(Do(lambda actor: actor.context.spawn(Doer, name="child")))
        assert fatal.happened.wait(30)
    name, error = fatal.told[0]
    assert (name, str(error)) == ("child", "child cannot start: can't start new thread")
    assert system.stop() == []


def test_a_clock_that_gets_no_thread_says_so_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    with monkeypatch.context() as patched:
        refuse_threads(patched)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="new thread"):
                clock.call_later(1, lambda: None)
    ran = threading.Event()
    clock.call_later(0, ran.set)
    assert ran.wait(30)
    clock.close()


NO_MORE_THREADS = """
import os, resource, threading
from dataclasses import dataclass
import psutil
from ocean_actors.actors import Actor, ActorSystem, Message, handles


@dataclass(frozen=True)
class Go(Message):
    pass


class Deaf(Actor):
    def __init__(self, entered):
        super().__init__()
        self.entered = entered

    def on_start(self):
        self.entered.set()
        threading.Event().wait()


class Parent(Actor):
    @handles(Go)
    def leave_one_behind(self, _message):
        entered = threading.Event()
        child = self.context.spawn(Deaf, entered, name="deaf")
        entered.wait(30)
        self.context.abandon(child)


causes, fatal = [], threading.Event()
system = ActorSystem(
    on_fatal=lambda _name, error: (causes.append(str(error)), fatal.set()), max_left_behind=10_000
)
parent = system.spawn(Parent)
room = psutil.Process().memory_info().vms + (256 << 20)  # for the stacks of some threads
resource.setrlimit(resource.RLIMIT_AS, (room, room))
try:
    while not fatal.is_set():
        parent.ask(Go())
except RuntimeError:
    pass
fatal.wait(20)
print(causes[0], "|", parent.is_alive(), "|", len(system.left_behind()) > 3)
system.stop(0.1)
print("stopped", parent.is_alive(), flush=True)
os._exit(0)
"""


def test_a_system_that_can_start_no_more_threads_ends_and_can_be_stopped() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_MORE_THREADS],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    fatal_line, stopped = done.stdout.splitlines()
    assert re.fullmatch(
        r"deaf-\d+ cannot start: can't start new thread \| (True|False) \| True", fatal_line
    )
    assert stopped == "stopped False"


def test_too_many_threads_that_are_left_behind_end_the_system(
    clock: ManualClock, fatal: Fatal
) -> None:
    release = threading.Event()
    system = ActorSystem(clock=clock, on_fatal=fatal, max_left_behind=2)
    parent = system.spawn(Doer, name="parent")

    def abandon_one(actor: Any) -> None:
        entered = threading.Event()
        child = actor.context.spawn(Doer, name="child")

        def wait(_actor: object) -> None:
            entered.set()
            release.wait(20)

        child.tell(Do(wait))
        assert entered.wait(30)
        actor.context.abandon(child)
        refs.append(child)

    refs: list[Ref] = []
    parent.ask(Do(abandon_one))
    parent.ask(Do(abandon_one))
    assert system.left_behind() == ["child", "child-2"]
    assert fatal.told == []
    parent.ask(Do(abandon_one))
    ((_, error),) = fatal.told
    assert isinstance(error, TooManyLeftBehind)
    assert str(error) == (
        "3 abandoned actors have not ended and occupy a thread each (at most 2 may): "
        "child, child-2, child-3"
    )
    release.set()
    assert all(system.stop_actor(ref) for ref in refs)
    assert system.left_behind() == []
    assert system.stop() == []


# -- after the stop --------------------------------------------------------------------------------


def test_a_thread_that_only_sleeps_ends_when_its_clock_is_closed() -> None:
    clock, token = SystemClock(), CancelToken()
    ended: list[BaseException] = []
    asleep = threading.Event()
    clock.on_sleep.add(asleep.set)

    def forgotten() -> None:
        try:
            while True:
                token.sleep(60, clock)
        except Cancelled as error:
            ended.append(error)

    thread = threading.Thread(target=forgotten)
    thread.start()
    assert asleep.wait(30)
    clock.close()
    thread.join(30)
    assert not thread.is_alive()
    assert "has stopped" in str(ended[0])
    with pytest.raises(Cancelled):
        token.sleep(60, clock)
