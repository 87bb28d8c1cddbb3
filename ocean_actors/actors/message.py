"""What passes between actors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pykka.messages import _ActorStop


@dataclass(frozen=True)
class Message:
    """Base of every message. Subclass it with `@dataclass(frozen=True)`.

    A dataclass that is not frozen cannot inherit from it: Python refuses the class
    (`TypeError`), and so does mypy. `require_immutable` looks at the fields as well.
    """


MessageT = TypeVar("MessageT", bound=Message)
ActorT = TypeVar("ActorT")
ReplyT = TypeVar("ReplyT")

_MARK = "_handled_message_type"


def handles(
    message_type: type[MessageT],
) -> Callable[[Callable[[ActorT, MessageT], ReplyT]], Callable[[ActorT, MessageT], ReplyT]]:
    """Mark the method of an actor that receives messages of `message_type` and its subclasses.

    mypy checks that the method takes that type. Of several methods that fit, the one for the
    nearest class of the message wins; what it returns is the answer to an `ask`. A method has
    one type: raises TypeError for a second.
    """

    def mark(method: Callable[[ActorT, MessageT], ReplyT]) -> Callable[[ActorT, MessageT], ReplyT]:
        if hasattr(method, _MARK):
            name = getattr(method, "__qualname__", repr(method))
            raise TypeError(f"{name} handles two types: give them a base class, or two methods")
        setattr(method, _MARK, message_type)
        return method

    return mark


def handled_by(cls: type) -> dict[type[Message], str]:
    """The names of the marked methods of `cls`, by message type; a subclass may override them."""
    return {
        getattr(member, _MARK): name
        for base in reversed(cls.__mro__)
        for name, member in vars(base).items()
        if hasattr(member, _MARK)
    }


def require_immutable(message: Any) -> None:
    """Raise TypeError unless `message` is a `Message` of immutable parts.

    The test is `hash`: a frozen dataclass has one only if every field has. Pykka's own stop,
    which `ref.stop()` sends, may pass.
    """
    if isinstance(message, _ActorStop):
        return
    if not isinstance(message, Message):
        raise TypeError(f"{message!r} is no Message: subclass Message with @dataclass(frozen=True)")
    try:
        hash(message)
    except TypeError as error:
        raise TypeError(f"the message {type(message).__name__} is mutable: {error}") from error
