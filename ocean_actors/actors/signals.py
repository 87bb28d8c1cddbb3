"""Messages that the runtime itself sends or publishes."""

from __future__ import annotations

from dataclasses import dataclass

from ocean_actors.actors.message import Message, Signal
from ocean_actors.actors.ref import Ref
from ocean_actors.actors.supervision import OnFailure


@dataclass(frozen=True)
class Terminated(Signal):
    """The actor `ref` has ended; told to each actor that watches it.

    `failure` is one line about the failure that ended it, None if it was stopped.
    """

    ref: Ref
    failure: str | None


@dataclass(frozen=True)
class ActorFailed(Message):
    """Published: an actor's hook or method raised. The failed actor itself is not told.

    `failure` is one line. `action` is what follows: the actor restarts, it stops, or the system
    ends (`ESCALATE`). `restarts` counts this actor's restarts, including the one that follows.
    """

    name: str
    failure: str
    restarts: int
    action: OnFailure
