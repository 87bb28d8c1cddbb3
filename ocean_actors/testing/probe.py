"""What happened in an actor system, and whether anything still does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ocean_actors.actors import Actor, ActorSystem, Message, Ref

ReceivedT = TypeVar("ReceivedT", bound=Message)


def wait_idle(system: ActorSystem, timeout: float = 5.0, *, parked: str | None = None) -> None:
    """Wait until nothing moves in `system`: no letter waits and no actor is in a message.

    An actor that waits by a `ManualClock` (in a sleep or a backoff) counts as at rest.
    `parked` is a pattern of names (as "handler-*") to leave out: actors that your test itself
    holds up in a message. Raises AssertionError with the names of those that still move after
    `timeout` seconds of real time.
    """
    moving = system.wait_idle(timeout, parked=parked)
    if moving:
        raise AssertionError(f"still at work after {timeout:g} s: {', '.join(moving)}")


class Probe:
    """An actor for tests that keeps what it is told.

    Send to `ref`, or `subscribe` it to events. It answers an `ask` with what `answer` makes
    of the message.
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
        """Receive these events of the system; returns the probe."""
        for event_type in event_types:
            self._system.events.subscribe(self.ref, event_type)
        return self

    def expect(
        self,
        message_type: type[ReceivedT],
        within: float = 5.0,
        *,
        where: Callable[[ReceivedT], bool] = lambda _message: True,
    ) -> ReceivedT:
        """Take out the first message of `message_type` for which `where` holds.

        Waits up to `within` seconds of real time for it. Other messages stay, for later
        expectations. Raises AssertionError, with what did arrive, if none comes.
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
                        f"no {message_type.__name__} came within {within:g} s, "
                        f"only {self._received or 'nothing'}"
                    )

    def expect_none(
        self,
        message_type: type[Message] = Message,
        *,
        settle: Callable[[], object] | None = None,
    ) -> None:
        """Be sure that no (further) message of `message_type` has come or is on its way.

        No time is waited: `settle`, by default `wait_idle(system)`, waits until nothing moves
        any more. Whoever sends from outside the system has to have sent by now. Raises
        AssertionError with the first such message.
        """
        if settle is None:
            wait_idle(self._system)
        else:
            settle()
        unexpected = [each for each in self.received() if isinstance(each, message_type)]
        if unexpected:
            raise AssertionError(f"unexpected: {unexpected[0]}")

    def received(self) -> list[Message]:
        """Everything that arrived and was not taken out, in its order."""
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

    def on_receive(self, message: Any) -> Any:
        self._keep(message)
        return self._answer(message)
