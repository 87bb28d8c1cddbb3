"""Messages that the runtime itself sends to actors."""

from __future__ import annotations

from dataclasses import dataclass

from ocean_actors.actors.message import Message
from ocean_actors.actors.ref import Ref


@dataclass(frozen=True)
class Terminated(Message):
    """The actor `ref` has ended; told to each actor that watches it.

    `failure` is one line about the failure that ended it, None if it was stopped.
    """

    ref: Ref
    failure: str | None
