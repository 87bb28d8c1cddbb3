"""Knowing that nothing moves in a system: for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from ocean_actors.actors.clock import Clock

Rest = tuple[int, threading.Event | None]
"""How many messages an actor at rest has handled, and what it waits for by the clock, if any."""


class Quiescent(Protocol):
    """What can come to rest: a cell."""

    def rest(self) -> Rest | None:
        """None while it moves; else what is the same for as long as it does not."""


QuiescentT = TypeVar("QuiescentT", bound=Quiescent)


class Quiescence:
    """Waits for the moment when no actor has a letter or is in a message.

    One that waits (sleeps, or backs off) by a clock that stands still is at rest too: it moves
    when the clock does. Actors report that they have run out of letters; with nobody waiting for
    quiescence, that costs them a look at a number.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._moved = threading.Condition()
        self._waiting = 0

    def notify(self) -> None:
        """Something came to rest, or ended."""
        if self._waiting:
            with self._moved:
                self._moved.notify_all()

    def wait(self, watched: Callable[[], list[QuiescentT]], timeout: float) -> list[QuiescentT]:
        """Wait for it, up to `timeout` seconds of real time; returns those that still move.

        Two looks in a row that find each at rest, and none having handled a message between
        them, have a moment in common at which all were at rest.
        """
        deadline = time.monotonic() + timeout
        before: list[tuple[QuiescentT, Rest | None]] | None = None
        with self._moved:
            self._waiting += 1
            self._clock.on_sleep.add(self.notify)
            try:
                while True:
                    now = [(each, each.rest()) for each in watched()]
                    moving = [each for each, rest in now if rest is None]
                    if not moving and now == before:
                        return []
                    if moving and not self._moved.wait(max(0.0, deadline - time.monotonic())):
                        return moving
                    before = now
            finally:
                self._waiting -= 1
                if not self._waiting:
                    self._clock.on_sleep.discard(self.notify)
