"""The address of an actor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pykka
from pykka._envelope import Envelope

if TYPE_CHECKING:
    from ocean_actors.actors.actor import Actor
    from ocean_actors.actors.cell import Cell

ASK_TIMEOUT = 5.0


class Ref(pykka.ActorRef[Any]):
    """A pykka reference that outlives restarts of its actor.

    What differs from pykka: `tell` to a stopped actor becomes a dead letter instead of an
    exception, and `ask` waits `ASK_TIMEOUT` seconds unless told otherwise, never for ever.
    """

    def __init__(self, actor: Actor, cell: Cell) -> None:
        super().__init__(actor)
        self.name = cell.name
        self.actor_inbox = cell.mailbox  # type: ignore[assignment]  # put also says whether it did
        self._put = cell.mailbox.put
        self.actor_stopped = cell.stopping
        self._dead_letter: Callable[[Any], None] = cell.dead_letter
        self._check: Callable[[Any], None] | None = cell.system.check_message

    def __str__(self) -> str:
        return self.name

    def tell(self, message: Any) -> None:
        """Put `message` into the mailbox; never waits."""
        if self._check is not None:
            self._check(message)
        if not self._put(Envelope(message)):
            self._dead_letter(message)

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = ASK_TIMEOUT) -> Any:
        """Put `message` into the mailbox and wait for the answer, or return its future.

        Raises pykka.Timeout after `timeout` seconds, pykka.ActorDeadError if the actor is
        stopped before it answers, else what the actor raised.
        """
        if self._check is not None:
            self._check(message)
        future = self.actor_class._create_future()  # noqa: SLF001  (as pykka's own ask does)
        if not self._put(Envelope(message, reply_to=future)):
            future.set_exception(
                (pykka.ActorDeadError, pykka.ActorDeadError(f"{self} is stopped"), None)
            )
        return future.get(timeout=timeout) if block else future
