"""After a fork the child's copy of a system does nothing and says so."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ocean_actors.actors import Actor, ActorSystem, CancelToken, Message, handles
from ocean_actors.testing import Probe


@dataclass(frozen=True)
class Do(Message):
    what: Callable[[Any], Any]


class Doer(Actor):
    @handles(Do)
    def do(self, message: Do) -> Any:
        return message.what(self)


def in_a_fork(work: Callable[[], Any], within: float = 60.0) -> Any:
    """What `work` returns in a forked child; its error as text; fails if it does not end."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: this process has threads
        child = os.fork()
    if child == 0:
        try:
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001  (the parent is told)
                result = f"{type(error).__name__}: {error}"
            os.write(writer, json.dumps(result).encode())
        finally:
            os._exit(0)
    os.close(writer)
    killer = threading.Timer(within, os.kill, (child, 9))
    killer.start()
    with open(reader, "rb") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    killer.cancel()
    killer.join()
    return json.loads(text) if text else "the child did not end"


def test_sending_and_spawning_are_refused_in_the_child_and_work_on_in_the_parent(
    system: ActorSystem,
) -> None:
    probe = Probe(system).subscribe(Message)
    ref = system.spawn(Doer)
    assert not system.forked
    for act in (
        lambda: ref.tell(Do(print)),
        lambda: ref.ask(Do(print)),
        lambda: ref.stop(),
        lambda: system.events.publish(Message()),
        lambda: system.spawn(Doer),
    ):
        assert in_a_fork(act).startswith("RuntimeError: this process was forked after the actor")
    assert in_a_fork(lambda: system.forked) is True
    assert not system.forked
    assert ref.ask(Do(lambda _: "alive")) == "alive"
    assert probe.received() == []


def test_the_copy_stops_at_once_even_if_locks_were_held_at_the_fork() -> None:
    system = ActorSystem()
    ref = system.spawn(Doer)

    def stop() -> Any:
        return [system.stop(), ref.is_alive()]

    with ref.actor_inbox._lock, system._lock, system.clock._changed:  # type: ignore[attr-defined]
        assert in_a_fork(stop) == [[], True]
    assert system.stop() == []


def test_it_is_logged_once(system: ActorSystem, caplog: Any) -> None:
    ref = system.spawn(Doer)

    def lines() -> int:
        for _ in range(3):
            with contextlib.suppress(RuntimeError):
                ref.tell(Do(print))
        return sum("forked" in message for message in caplog.messages)

    assert in_a_fork(lines) == 1
    assert caplog.messages == []


def test_a_worker_that_was_forked_can_still_sleep_by_the_clock() -> None:
    system = ActorSystem()
    system.spawn(Doer)  # the clock runs

    def sleep() -> str:
        CancelToken().sleep(0.01, system.clock)
        return "slept"

    assert in_a_fork(sleep) == "slept"
    assert system.stop() == []


def test_a_child_may_start_a_system_of_its_own(system: ActorSystem) -> None:
    system.spawn(Doer)

    def work() -> Any:
        own = ActorSystem()
        woken = threading.Event()
        own.clock.call_later(0.01, woken.set)
        answer = own.spawn(Doer).ask(Do(lambda _: "from the child"))
        return [answer, woken.wait(30), own.stop()]

    assert in_a_fork(work) == ["from the child", True, []]
