"""Messages to a router of live events: those of its own timers, and that of the stop."""

from __future__ import annotations

from dataclasses import dataclass

import pykka

from ocean_actors.actors import Message


@dataclass(frozen=True)
class AttemptDue(Message):
    """To itself: the pause of the event `number` is over."""

    number: int


@dataclass(frozen=True)
class LookAgain(Message):
    """To itself: look at what has arrived during a flood, which may be over."""


@dataclass(frozen=True)
class AttemptTimeUp(Message):
    """To itself: the time of the event `number` is over."""

    slot: int
    number: int


@dataclass(frozen=True)
class AttemptGraceOver(Message):
    """To itself: the time that the attempt had to end in is over."""

    slot: int
    number: int


@dataclass(frozen=True)
class DrainEvents(Message):
    """Take no more calls, and set `drained` once nothing can be done any more."""

    drained: pykka.Future[None]


@dataclass(frozen=True)
class DrainOver(Message):
    """To itself: start no more events."""
