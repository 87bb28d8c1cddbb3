"""What the runtime knows of an actor: its hooks, which pykka defines, and its policies."""

from __future__ import annotations

import math
import queue
from typing import Any, ClassVar

import pykka

from ocean_actors.actors.mailbox import MailboxPolicy
from ocean_actors.actors.message import Message
from ocean_actors.actors.supervision import Supervision
from ocean_actors.text import one_line


class ActorBase(pykka.ThreadingActor):
    """The policies of an actor, which are class attributes. Subclass `Actor` instead.

    Raises TypeError when a subclass with policies of wrong types is made.
    """

    use_daemon_thread = True  # the system joins it; a hung one must not keep the process alive
    supervision: ClassVar[Supervision] = Supervision()
    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy()
    message_bound: ClassVar[float | None] = 30.0
    """Seconds in one message after which the actor counts as hung; None for no bound."""
    subscribes_to: ClassVar[tuple[type[Message], ...]] = ()
    """Events that it is told from the moment it is spawned; `context.subscribe` begins later."""
    context: object

    @staticmethod
    def _create_actor_inbox() -> Any:
        """Returns the cheapest queue, as the lifecycle replaces it with the cell's mailbox."""
        return queue.SimpleQueue()

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        check_policies(cls)


def check_policies(cls: type[ActorBase]) -> None:
    """Raise TypeError, with one line that says what is wrong, unless all policies are usable."""
    for attribute, expected, example in (
        ("supervision", Supervision, "Supervision(OnFailure.STOP)"),
        ("mailbox", MailboxPolicy, "MailboxPolicy(limit=1_000)"),
    ):
        if not isinstance(getattr(cls, attribute), expected):
            raise _wrong(cls, attribute, f"a {expected.__name__}, as in {example}")
    bound: object = cls.message_bound
    if bound is not None and not (
        isinstance(bound, int | float) and not isinstance(bound, bool) and 0 < bound < math.inf
    ):
        raise _wrong(cls, "message_bound", "a positive number of seconds, or None")
    events: object = cls.subscribes_to
    if not isinstance(events, tuple) or not all(
        isinstance(event, type) and issubclass(event, Message) for event in events
    ):
        raise _wrong(cls, "subscribes_to", "a tuple of Message classes, as in (RunEnded,)")


def _wrong(cls: type[ActorBase], attribute: str, expected: str) -> TypeError:
    got = getattr(cls, attribute)
    try:
        shown = one_line(repr(got))
    except Exception:  # noqa: BLE001  (`__repr__` of somebody else's class)
        shown = type(got).__name__
    return TypeError(f"{cls.__name__}.{attribute}: expected {expected}, not {shown}")
