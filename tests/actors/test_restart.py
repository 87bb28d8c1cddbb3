"""What an actor's failure costs, and what it does not."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Any, ClassVar

import pykka
import pytest

from ocean_actors.actors import (
    Actor,
    ActorSystem,
    Backoff,
    CancelToken,
    Message,
    OnFailure,
    Supervision,
    handles,
)
from ocean_actors.testing import ManualClock, wait_idle


@dataclass(frozen=True)
class Do(Message):
    number: int


@dataclass(frozen=True)
class Raise(Message):
    error: type[BaseException] = ValueError


@dataclass(frozen=True)
class AskSeen(Message):
    pass


class Worker(Actor):
    """Remembers what it did in this life, and in `diary` what happened in all of them."""

    supervision: ClassVar[Supervision] = Supervision(backoff=Backoff(initial=1.0, jitter=0.0))

    def __init__(self, diary: list[Any]) -> None:
        super().__init__()
        self.diary = diary
        self.seen: list[int] = []

    def on_start(self) -> None:
        self.diary.append("start")

    def on_stop(self) -> None:
        self.diary.append("stop")

    def on_failure(self, *failure: Any) -> None:
        self.diary.append(failure[0].__name__)

    @handles(Do)
    def do(self, message: Do) -> None:
        self.seen.append(message.number)
        self.diary.append(message.number)

    @handles(Raise)
    def fail(self, message: Raise) -> None:
        raise message.error("as told")

    @handles(AskSeen)
    def tell_seen(self, _message: AskSeen) -> tuple[int, ...]:
        return tuple(self.seen)


def snapshot_of(system: ActorSystem, name: str) -> dict[str, Any]:
    return next(actor for actor in system.snapshot() if actor["name"] == name)


ERRORS = [ValueError, OSError, MemoryError, SystemExit, KeyboardInterrupt, GeneratorExit]


@pytest.mark.parametrize("error", ERRORS)
def test_whatever_is_raised_rebuilds_the_state_and_keeps_address_and_letters_in_order(
    system: ActorSystem, clock: ManualClock, error: type[BaseException]
) -> None:
    diary: list[Any] = []
    ref = system.spawn(Worker, diary)
    for message in (Do(1), Raise(error), Do(2), Do(3)):
        ref.tell(message)
    wait_idle(system)
    ref.tell(Do(4))  # during the backoff
    clock.advance(0.999, lambda: wait_idle(system))
    assert diary == ["start", 1, error.__name__]
    clock.advance(0.001, lambda: wait_idle(system))
    assert diary == ["start", 1, error.__name__, "start", 2, 3, 4]
    assert ref.ask(AskSeen()) == (2, 3, 4)


def test_an_asker_gets_the_exception_and_the_actor_restarts(
    system: ActorSystem, clock: ManualClock
) -> None:
    ref = system.spawn(Worker, [])
    for error in (SystemExit, KeyError):
        with pytest.raises(error):
            ref.ask(Raise(error))
        wait_idle(system)
        clock.advance(2.0, lambda: wait_idle(system))
    assert snapshot_of(system, "Worker")["restarts"] == 2
    assert snapshot_of(system, "Worker")["failure"] == "KeyError: 'as told'"


def test_the_failure_is_logged_with_its_traceback_and_the_delay(
    system: ActorSystem, caplog: pytest.LogCaptureFixture
) -> None:
    system.spawn(Worker, []).tell(Raise())
    wait_idle(system)
    (record,) = (each for each in caplog.records if each.levelno >= logging.ERROR)
    assert record.getMessage() == "Worker failed and restarts in 1.00 s: ValueError: as told"
    assert record.exc_info is not None


def test_an_error_that_cannot_even_say_what_it_is_is_contained(
    system: ActorSystem, clock: ManualClock
) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise OSError

    ref = system.spawn(Worker, [])
    ref.tell(Raise(Mute))
    wait_idle(system)
    clock.advance(1.0, lambda: wait_idle(system))
    assert ref.ask(AskSeen()) == ()
    assert snapshot_of(system, "Worker")["failure"] == "Mute: (its __str__ raised OSError)"


class Unready(Actor):
    """Fails in `where` as many times as told, then is ready."""

    supervision: ClassVar[Supervision] = Supervision(backoff=Backoff(initial=1.0, jitter=0.0))

    def __init__(self, where: str, failures: list[str], diary: list[str]) -> None:
        super().__init__()
        self.where, self.failures, self.diary = where, failures, diary
        if where == "__init__" and diary:  # the first one is in the spawner's thread
            self.fail()
        diary.append("init")

    def fail(self) -> None:
        if self.failures:
            raise OSError(self.failures.pop())

    def on_start(self) -> None:
        if self.where == "on_start":
            self.fail()
        self.diary.append("start")

    def on_failure(self, *_failure: Any) -> None:
        self.diary.append("failure")

    @handles(Raise)
    def on_raise(self, message: Raise) -> None:
        raise message.error

    @handles(Do)
    def do(self, message: Do) -> int:
        return message.number


def test_a_failing_on_start_is_tried_again_with_growing_delays(
    system: ActorSystem, clock: ManualClock
) -> None:
    diary: list[str] = []
    ref = system.spawn(Unready, "on_start", ["a", "b"], diary)
    answer = ref.ask(Do(5), block=False)
    wait_idle(system)
    clock.advance(1.0, lambda: wait_idle(system))
    assert snapshot_of(system, "Unready")["state"] == "restarting"
    clock.advance(2.0, lambda: wait_idle(system))
    assert answer.get(timeout=30) == 5
    assert diary == ["init", "failure", "init", "failure", "init", "start"]


def test_a_failing_init_at_a_restart_is_tried_again_without_a_hook_of_the_dead(
    system: ActorSystem, clock: ManualClock
) -> None:
    diary: list[str] = []
    ref = system.spawn(Unready, "__init__", ["a"], diary)
    ref.tell(Raise())
    wait_idle(system)
    clock.advance(1.0, lambda: wait_idle(system))
    clock.advance(2.0, lambda: wait_idle(system))
    assert ref.ask(Do(5)) == 5
    assert diary == ["init", "start", "failure", "init", "start"]


def test_a_failing_init_at_spawn_is_the_spawners(system: ActorSystem) -> None:
    with pytest.raises(OSError, match="no"):
        system.spawn(Unready, "__init__", ["no"], [""])
    assert system.snapshot() == []
    assert str(system.spawn(Worker, [], name="Unready")) == "Unready"


def test_more_failures_than_the_budget_allows_end_the_system_with_the_cause(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    fatal: list[tuple[str, BaseException]] = []
    system = ActorSystem(clock=clock, on_fatal=lambda name, error: fatal.append((name, error)))
    ref = system.spawn(Worker, [])
    for _ in range(5):
        ref.tell(Raise())
    ref.tell(Raise(KeyError))
    clock.advance(30.9, lambda: wait_idle(system))  # the delays are 1, 2, 4, 8 and 16
    assert fatal == []
    clock.advance(0.1, lambda: wait_idle(system))
    ((name, error),) = fatal
    assert (name, type(error)) == ("Worker", KeyError)
    assert system.cause is error
    assert not ref.is_alive()
    last = [record for record in caplog.records if record.levelno == logging.ERROR][-1]
    assert "Worker failed 6 times in 60 s and ends the system: KeyError" in last.getMessage()
    assert system.stop() == []


def test_old_failures_do_not_count(system: ActorSystem, clock: ManualClock) -> None:
    ref = system.spawn(Worker, [])
    for _ in range(20):
        ref.tell(Raise())
        wait_idle(system)
        clock.advance(15.0, lambda: wait_idle(system))
    assert ref.is_alive()


class Fragile(Worker):
    supervision: ClassVar[Supervision] = Supervision(OnFailure.STOP)


class Vital(Worker):
    supervision: ClassVar[Supervision] = Supervision(OnFailure.ESCALATE)


def test_a_policy_may_stop_the_actor_alone(system: ActorSystem) -> None:
    other = system.spawn(Worker, [])
    ref = system.spawn(Fragile, [])
    ref.tell(Raise())
    wait_idle(system)
    assert not ref.is_alive()
    with pytest.raises(pykka.ActorDeadError):
        ref.ask(AskSeen())
    assert other.ask(AskSeen()) == ()


def test_a_policy_may_escalate_at_once_and_without_an_owner_all_actors_stop(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    system = ActorSystem(clock=clock)
    other = system.spawn(Worker, [])
    system.spawn(Vital, []).tell(Raise())
    wait_idle(system)
    assert not other.is_alive()
    assert "Vital failed and ends the system: ValueError: as told" in caplog.text
    system.fail("later", KeyError())
    assert isinstance(system.cause, ValueError)
    assert system.stop() == []


def test_a_failing_on_fatal_is_contained(clock: ManualClock) -> None:
    def on_fatal(_name: str, error: BaseException) -> None:
        raise SystemExit from error

    system = ActorSystem(clock=clock, on_fatal=on_fatal)
    ref = system.spawn(Vital, [])
    ref.tell(Raise())
    wait_idle(system)
    assert not ref.is_alive()
    assert system.stop() == []


def test_an_actor_may_stop_its_own_system_from_on_fatal(clock: ManualClock) -> None:
    stuck: list[list[str]] = []
    system = ActorSystem(clock=clock, on_fatal=lambda *_: stuck.append(system.stop()))
    system.spawn(Worker, [])
    system.spawn(Vital, []).tell(Raise())
    wait_idle(system)
    assert stuck == [[]]


class Stubborn(Worker):
    supervision: ClassVar[Supervision] = Supervision(
        backoff=Backoff(initial=1.0, jitter=0.0), retries=2
    )

    @handles(Raise)
    def fail(self, message: Raise) -> Any:
        self.diary.append("try")
        if self.diary.count("try") < 3:
            raise message.error("as told")
        return "done"


def test_a_failed_message_is_handled_again_first_if_the_policy_says_so(
    system: ActorSystem, clock: ManualClock
) -> None:
    diary: list[Any] = []
    ref = system.spawn(Stubborn, diary)
    answer = ref.ask(Raise(), block=False)
    ref.tell(Do(1))
    wait_idle(system)
    clock.advance(10.0, lambda: wait_idle(system))
    assert answer.get(timeout=30) == "done"
    life = ["try", "ValueError", "start"]
    assert diary == ["start", *life, *life, "try", 1]


def test_after_the_last_retry_the_message_is_left_out_and_its_asker_told(
    system: ActorSystem, clock: ManualClock
) -> None:
    diary: list[Any] = []

    class Hopeless(Stubborn):
        @handles(Raise)
        def fail(self, message: Raise) -> Any:
            self.diary.append("try")
            raise message.error("as told")

    ref = system.spawn(Hopeless, diary)
    answer = ref.ask(Raise(), block=False)
    ref.tell(Do(1))
    wait_idle(system)
    clock.advance(10.0, lambda: wait_idle(system))
    with pytest.raises(ValueError, match="as told"):
        answer.get(timeout=30)
    assert diary.count("try") == 3
    assert diary[-1] == 1


def test_a_retry_that_the_budget_forbids_gives_its_asker_the_failure(clock: ManualClock) -> None:
    class Spent(Stubborn):
        supervision: ClassVar[Supervision] = Supervision(limit=0, retries=5)

    system = ActorSystem(clock=clock)
    with pytest.raises(ValueError, match="as told"):
        system.spawn(Spent, []).ask(Raise())
    assert system.stop() == []


def test_a_message_that_waited_for_its_retry_when_the_actor_stopped_is_answered(
    clock: ManualClock,
) -> None:
    system = ActorSystem(clock=clock)
    ref = system.spawn(Stubborn, [])
    answer = ref.ask(Raise(), block=False)
    wait_idle(system)  # in its backoff
    assert system.stop() == []
    with pytest.raises(pykka.ActorDeadError):
        answer.get(timeout=30)


def test_a_stop_ends_a_backoff_and_answers_whoever_asked(clock: ManualClock) -> None:
    system = ActorSystem(clock=clock)
    ref = system.spawn(Worker, [])
    ref.tell(Raise())
    wait_idle(system)
    answer = ref.ask(AskSeen(), block=False)
    assert system.stop() == []
    with pytest.raises(pykka.ActorDeadError):
        answer.get(timeout=30)


def test_a_failing_on_failure_does_not_prevent_the_restart(
    system: ActorSystem, clock: ManualClock
) -> None:
    class Clumsy(Worker):
        def on_failure(self, *_failure: Any) -> None:
            raise SystemExit

    ref = system.spawn(Clumsy, [])
    ref.tell(Raise())
    wait_idle(system)
    clock.advance(1.0, lambda: wait_idle(system))
    assert ref.ask(AskSeen()) == ()


def test_a_wait_that_a_stop_cancels_is_no_failure(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    token = CancelToken()

    class Waiter(Worker):
        @handles(Do)
        def do(self, _message: Do) -> None:
            token.sleep(60.0, self.context.clock)

    system = ActorSystem(clock=clock)
    diary: list[Any] = []
    ref = system.spawn(Waiter, diary)
    ref.tell(Do(1))
    wait_idle(system)
    system.stop_actor(ref, timeout=0)
    token.cancel("stop")
    assert system.stop() == []
    assert diary == ["start", "stop"]
    assert "failed" not in caplog.text


def test_a_cancelled_wait_without_a_stop_is_a_failure_like_any_other(
    system: ActorSystem, clock: ManualClock
) -> None:
    token = CancelToken()
    token.cancel("over")

    class Waiter(Worker):
        @handles(Do)
        def do(self, _message: Do) -> None:
            token.check()

    system.spawn(Waiter, []).tell(Do(1))
    wait_idle(system)
    assert snapshot_of(system, "Waiter")["failure"] == "Cancelled: over"


def test_a_failing_on_stop_is_logged_and_the_actor_ends(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Messy(Worker):
        def on_stop(self) -> None:
            raise RuntimeError("left open")

    system = ActorSystem(clock=clock)
    system.spawn(Messy, [])
    assert system.stop() == []
    assert "Messy failed while it stopped: RuntimeError: left open" in caplog.text


def test_each_life_runs_in_the_same_thread_and_init_first_in_the_spawners(
    system: ActorSystem, clock: ManualClock
) -> None:
    threads: list[tuple[str, threading.Thread]] = []

    class Noting(Worker):
        def __init__(self) -> None:
            super().__init__([])
            threads.append(("init", threading.current_thread()))

        def on_start(self) -> None:
            threads.append(("start", threading.current_thread()))

    system.spawn(Noting).tell(Raise())
    wait_idle(system)
    clock.advance(1.0, lambda: wait_idle(system))
    (_, spawner), (_, own), *again = threads
    assert spawner is threading.current_thread()
    assert own is not spawner
    assert again == [("init", own), ("start", own)]


def test_proxies_of_pykka_reach_the_present_life(system: ActorSystem, clock: ManualClock) -> None:
    undisturbed = ActorSystem(clock=clock)  # a proxy's calls are no immutable messages
    ref = undisturbed.spawn(Worker, [])
    ref.tell(Raise())
    wait_idle(undisturbed)
    clock.advance(1.0, lambda: wait_idle(undisturbed))
    ref.tell(Do(3))
    assert ref.proxy().seen.get(timeout=30) == [3]
    assert undisturbed.stop() == []
