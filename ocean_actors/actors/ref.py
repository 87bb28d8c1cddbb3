"""The address of an actor."""

from __future__ import annotations

import threading
import uuid
import weakref
from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeVar, overload

import pykka

from ocean_actors.actors.mailbox import Envelope, Mailbox, MailboxFull
from ocean_actors.actors.message import Message, Query

ASK_TIMEOUT = 5.0

ReplyT = TypeVar("ReplyT")


class Recipient(Protocol):
    """What a reference needs of the cell of its actor."""

    name: str
    mailbox: Mailbox
    stopping: threading.Event

    def deliver(self, envelope: Envelope) -> bool:
        """See `Ref.deliver`."""

    def dead_letter(self, message: object) -> None:
        """Account for a message that came after the actor had stopped."""

    def watch(self, watcher: Ref) -> None:
        """See `Context.watch`."""

    def unwatch(self, watcher: Ref) -> None:
        """See `Context.unwatch`."""


class Ref(pykka.ActorRef[Any]):
    """A pykka reference that outlives restarts of its actor.

    It differs from pykka's: `tell` to a stopped actor makes a dead letter instead of raising, a
    full mailbox refuses a message instead of making its sender wait, and `ask` waits
    `ASK_TIMEOUT` seconds unless told otherwise, never for ever.

    In a process that was forked from the one in which the actor lives, sending raises
    RuntimeError.
    """

    def __init__(
        self,
        actor_class: type[pykka.Actor],
        recipient: Recipient,
        check: Callable[[object], None] | None,
    ) -> None:
        # Not pykka's own constructor: it reads all this off an actor, and the actor behind this
        # reference changes at each restart.
        self.name = recipient.name
        self.actor_class = actor_class
        self.actor_urn = uuid.uuid4().urn
        self.actor_inbox = recipient.mailbox  # type: ignore[assignment]  # its put returns a bool
        self.actor_stopped = recipient.stopping
        self._put: Callable[[Envelope], bool] = recipient.mailbox.put
        self._deliver: Callable[[Envelope], bool] = recipient.deliver
        self._recipient = recipient
        self._check = check

    def __str__(self) -> str:
        return self.name

    def point_to(self, actor: pykka.Actor) -> None:
        """Remember the actor object of the present life; pykka's proxies read its attributes."""
        self._actor_weakref = weakref.ref(actor)

    @property
    def _actor(self) -> pykka.Actor | None:
        """Where pykka before 4.4 looks for it."""
        return self._actor_weakref()

    def tell(self, message: Message) -> None:
        """Put `message` into the mailbox; never waits.

        Raises MailboxFull if the actor's policy refuses it. A message to a stopped actor becomes
        a dead letter.
        """
        if self._check is not None:
            self._check(message)
        if not self._put(Envelope(message)):
            self._recipient.dead_letter(message)

    def deliver(self, message: Message) -> bool:
        """Put `message` into the mailbox for the runtime, or for the actor itself; never waits.

        Returns whether it was taken. There is no sender to tell of a refusal, so a refusal is
        counted, and logged once per actor; a message to a stopped actor is not a dead letter.
        """
        return self._deliver(Envelope(message))

    @overload
    def ask(
        self, message: Query[ReplyT], *, block: Literal[False], timeout: float | None = ASK_TIMEOUT
    ) -> pykka.Future[ReplyT]: ...

    @overload
    def ask(
        self,
        message: Query[ReplyT],
        *,
        block: Literal[True] = True,
        timeout: float | None = ASK_TIMEOUT,
    ) -> ReplyT: ...

    @overload
    def ask(
        self, message: Message, *, block: bool = True, timeout: float | None = ASK_TIMEOUT
    ) -> Any: ...

    def ask(
        self, message: Message, *, block: bool = True, timeout: float | None = ASK_TIMEOUT
    ) -> Any:
        """Put `message` into the mailbox and return the reply, or with `block=False` its future.

        The reply to a `Query[Reply]` has the type `Reply`; other messages have untyped replies.

        Raises pykka.Timeout after `timeout` seconds of real time, pykka.ActorDeadError if the
        actor is stopped before it replies, MailboxFull if the mailbox refuses the message, else
        what the actor raised. The future raises the same.
        """
        if self._check is not None:
            self._check(message)
        future: pykka.Future[Any] = pykka.ThreadingFuture()
        try:
            if not self._put(Envelope(message, future)):
                error = pykka.ActorDeadError(f"{self} is stopped")
                future.set_exception((pykka.ActorDeadError, error, None))
        except MailboxFull:
            future.set_exception()
        return future.get(timeout=timeout) if block else future

    @overload
    def stop(self, *, block: Literal[True] = True, timeout: float | None = ASK_TIMEOUT) -> bool: ...

    @overload
    def stop(
        self, *, block: Literal[False], timeout: float | None = ASK_TIMEOUT
    ) -> pykka.Future[bool]: ...

    @overload
    def stop(
        self, *, block: bool = True, timeout: float | None = ASK_TIMEOUT
    ) -> bool | pykka.Future[bool]: ...

    def stop(
        self, *, block: bool = True, timeout: float | None = ASK_TIMEOUT
    ) -> bool | pykka.Future[bool]:
        """Have the actor stop once it has handled the messages that wait now.

        Returns True once it has ended, False if it had ended before; without `block`, a future
        of that. Raises pykka.Timeout after `timeout` seconds.
        """
        return super().stop(block=block, timeout=timeout)

    def add_watcher(self, watcher: Ref) -> None:
        """See `Context.watch`."""
        self._recipient.watch(watcher)

    def remove_watcher(self, watcher: Ref) -> None:
        """See `Context.unwatch`."""
        self._recipient.unwatch(watcher)

    def redirect(self, put: Callable[[Envelope], bool]) -> None:
        """Hand everything that is sent from now on to `put`.

        It is called after a fork, so that `tell` itself need not check for one.
        """
        self._put = self._deliver = put
