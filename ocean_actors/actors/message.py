"""What actors send to each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from pykka.messages import _ActorStop


@dataclass(frozen=True)
class Message:
    """Base of every message. Subclass it with `@dataclass(frozen=True)`.

    A dataclass that is not frozen cannot inherit from it: Python refuses the class
    (`TypeError`), and so does mypy. `require_immutable` looks at the fields as well.
    """

    retained: ClassVar[bool] = False
    """Whether the event stream tells the latest one to actors that subscribe later.

    For events that say what is the case from now on, as MQTT's retained messages do.
    """


@dataclass(frozen=True)
class Signal(Message):
    """Base of the messages that the runtime itself sends. No mailbox limit refuses them."""


ReplyT = TypeVar("ReplyT")
ReplyT_co = TypeVar("ReplyT_co", covariant=True)
MessageT = TypeVar("MessageT", bound=Message)
ActorT = TypeVar("ActorT")


@dataclass(frozen=True)
class Query(Message, Generic[ReplyT_co]):
    """Base of messages that are asked, with the type of the reply: `class GetMean(Query[float])`.

    `ref.ask` returns that type for mypy; at run time it is a message like any other.
    """


_MARK = "_handled_message_type"


def handles(
    message_type: type[MessageT],
) -> Callable[[Callable[[ActorT, MessageT], ReplyT]], Callable[[ActorT, MessageT], ReplyT]]:
    """Mark the method of an actor that receives messages of `message_type` and its subclasses.

    mypy checks that the method takes that type. Of several methods that fit, the one for the
    nearest class of the message is called; what it returns is the reply to an `ask`. Raises
    TypeError for a method that is marked twice.
    """

    def mark(method: Callable[[ActorT, MessageT], ReplyT]) -> Callable[[ActorT, MessageT], ReplyT]:
        if hasattr(method, _MARK):
            name = getattr(method, "__qualname__", repr(method))
            raise TypeError(f"{name} handles two types: give them a base class, or two methods")
        setattr(method, _MARK, message_type)
        return method

    return mark


def handled_by(cls: type) -> dict[type[Message], str]:
    """Returns the names of the marked methods of `cls`, by message type.

    A subclass may override a marked method by its name.
    """
    return {
        getattr(member, _MARK): name
        for base in reversed(cls.__mro__)
        for name, member in vars(base).items()
        if hasattr(member, _MARK)
    }


def require_immutable(message: object) -> None:
    """Raise TypeError unless `message` is a `Message` of immutable parts.

    The test is `hash`: a frozen dataclass has one only if every field has. Pykka's own stop
    message, which `ref.stop()` sends, is allowed.
    """
    if isinstance(message, _ActorStop):
        return
    if not isinstance(message, Message):
        kind = type(message).__name__
        raise TypeError(f"{kind} is not a Message: subclass Message with @dataclass(frozen=True)")
    try:
        hash(message)
    except TypeError as error:
        raise TypeError(f"the message {type(message).__name__} is mutable: {error}") from error
