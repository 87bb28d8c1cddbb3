"""Waiting for the messages and the idle state of an actor system."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ocean_actors.actors import Actor, ActorSystem, Message, Ref

ReceivedT = TypeVar("ReceivedT", bound=Message)


def wait_idle(system: ActorSystem, timeout: float = 30.0, *, parked: str | None = None) -> None:
    """Wait until `system` is idle: no message waits and no actor handles one.

    An actor that waits for a `ManualClock` (in a sleep or a backoff) counts as idle. `parked` is
    a pattern of names (such as "handler-*") of actors to ignore, which your test blocks in a
    message. Raises AssertionError with the names of the busy actors after `timeout` seconds of
    real time.
    """
    moving = system.wait_idle(timeout, parked=parked)
    if moving:
        raise AssertionError(f"still at work after {timeout:g} s: {', '.join(moving)}")


class Probe:
    """An actor for tests that keeps the messages it receives.

    Send messages to `ref`, or `subscribe` it to events. It answers an `ask` with
    `answer(message)`.
    """

    def __init__(
        self,
        system: ActorSystem,
        *,
        name: str = "probe",
        answer: Callable[[Message], Any] = lambda _message: None,
    ) -> None:
        self._system = system
        self._received: list[Message] = []
        self._arrived = threading.Condition()
        self.ref: Ref = system.spawn(_ProbeActor, self._keep, answer, name=name)

    def subscribe(self, *event_types: type[Message]) -> Probe:
        """Subscribe to these events of the system; returns the probe."""
        for event_type in event_types:
            self._system.events.subscribe(self.ref, event_type)
        return self

    def expect(
        self,
        message_type: type[ReceivedT],
        within: float = 30.0,
        *,
        where: Callable[[ReceivedT], bool] = lambda _message: True,
    ) -> ReceivedT:
        """Remove and return the first message of `message_type` for which `where` holds.

        Waits up to `within` seconds of real time. Other messages stay for later expectations.
        Raises AssertionError, with the messages that arrived, if none fits.
        """
        deadline = time.monotonic() + within
        with self._arrived:
            while True:
                for index, message in enumerate(self._received):
                    if isinstance(message, message_type) and where(message):
                        del self._received[index]
                        return message
                if not self._arrived.wait(max(0.0, deadline - time.monotonic())):
                    raise AssertionError(
                        f"no {message_type.__name__} came within {within:g} s; "
                        f"received: {self._received or 'nothing'}"
                    )

    def expect_none(
        self,
        message_type: type[Message] = Message,
        *,
        settle: Callable[[], object] | None = None,
    ) -> None:
        """Raises AssertionError if a message of `message_type` has arrived or is on its way.

        It waits for the idle state, not for a time: `settle` is `wait_idle(system)` by default.
        Threads outside of the system must have sent their messages before.
        """
        if settle is None:
            wait_idle(self._system)
        else:
            settle()
        unexpected = [each for each in self.received() if isinstance(each, message_type)]
        if unexpected:
            raise AssertionError(f"unexpected: {unexpected[0]}")

    def received(self) -> list[Message]:
        """Returns the messages that arrived and were not removed, in order."""
        with self._arrived:
            return list(self._received)

    def _keep(self, message: Message) -> None:
        with self._arrived:
            self._received.append(message)
            self._arrived.notify_all()


class _ProbeActor(Actor):
    def __init__(self, keep: Callable[[Message], None], answer: Callable[[Message], Any]) -> None:
        super().__init__()
        self._keep = keep
        self._answer = answer

    def on_receive(self, message: Message) -> object:
        self._keep(message)
        return self._answer(message)
