"""The address of an actor."""

from __future__ import annotations

import threading
import uuid
import weakref
from collections.abc import Callable
from typing import Any

import pykka

from ocean_actors.actors.mailbox import Envelope, Mailbox, MailboxFull
from ocean_actors.actors.message import Message

ASK_TIMEOUT = 5.0


class Ref(pykka.ActorRef[Any]):
    """A pykka reference that outlives restarts of its actor.

    What differs from pykka: `tell` to a stopped actor becomes a dead letter instead of an
    exception, a full mailbox refuses instead of making its sender wait, and `ask` waits
    `ASK_TIMEOUT` seconds unless told otherwise, never for ever.
    """

    def __init__(
        self,
        actor_class: type[pykka.Actor],
        name: str,
        mailbox: Mailbox,
        stopped: threading.Event,
        dead_letter: Callable[[Any], None],
        refused: Callable[[MailboxFull], None],
        check: Callable[[Any], None] | None,
    ) -> None:
        # Not pykka's own constructor: that one reads all this off an actor, and our actors
        # come and go.
        self.name = name
        self.actor_class = actor_class
        self.actor_urn = uuid.uuid4().urn
        self.actor_inbox = mailbox  # type: ignore[assignment]  # put also says whether it did
        self.actor_stopped = stopped
        self._put = mailbox.put
        self._dead_letter = dead_letter
        self.add_watcher: Callable[[Ref], None] = lambda _watcher: None
        self._refused = refused
        self._check = check

    def __str__(self) -> str:
        return self.name

    def point_to(self, actor: pykka.Actor) -> None:
        """Remember who lives here now; pykka's proxies look at its attributes."""
        self._actor_weakref = weakref.ref(actor)

    @property
    def _actor(self) -> pykka.Actor | None:
        """Where pykka before 4.4 looks for it."""
        return self._actor_weakref()

    def tell(self, message: Message) -> None:
        """Put `message` into the mailbox; never waits.

        Raises MailboxFull if the actor's policy refuses it; to a stopped actor it is a dead
        letter.
        """
        if self._check is not None:
            self._check(message)
        if not self._put(Envelope(message)):
            self._dead_letter(message)

    def offer(self, message: Message) -> bool:
        """Tell, for the event stream, behind which no sender stands: whether the actor lives.

        A refusal is counted, and logged once per actor, instead of raised.
        """
        try:
            return self._put(Envelope(message))
        except MailboxFull as error:
            self._refused(error)
            return True

    def ask(
        self, message: Message, *, block: bool = True, timeout: float | None = ASK_TIMEOUT
    ) -> Any:
        """Put `message` into the mailbox and wait for the answer, or return its future.

        Raises pykka.Timeout after `timeout` seconds of real time, pykka.ActorDeadError if the
        actor is stopped before it answers, MailboxFull if it is not taken, else what the actor
        raised.
        """
        if self._check is not None:
            self._check(message)
        future = self.actor_class._create_future()  # noqa: SLF001  (as pykka's own ask does)
        try:
            if not self._put(Envelope(message, future)):
                error = pykka.ActorDeadError(f"{self} is stopped")
                future.set_exception((pykka.ActorDeadError, error, None))
        except MailboxFull:
            future.set_exception()
        return future.get(timeout=timeout) if block else future

    def stop(self, *, block: bool = True, timeout: float | None = ASK_TIMEOUT) -> Any:
        """Have the actor stop once it has handled what waits now; True once it has ended.

        False if it had ended before. Raises pykka.Timeout after `timeout` seconds; without
        `block`, returns the future.
        """
        return super().stop(block=block, timeout=timeout)
