"""Waiting until no actor of a system works."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from ocean_actors.actors.clock import Clock

Rest = tuple[int, threading.Event | None]
"""Of an actor at rest: how many messages it has handled, and the event for which it sleeps."""


class Quiescent(Protocol):
    """What can be at rest: a cell."""

    def rest(self) -> Rest | None:
        """Returns None while it works, else a value that stays equal until it works again."""


QuiescentT = TypeVar("QuiescentT", bound=Quiescent)


class Quiescence:
    """Waits for a moment at which no actor has a message waiting or is handling one.

    An actor that sleeps or backs off by a clock that stands still is at rest too: it goes on
    when the clock does. Actors call `notify` when they run out of messages; unless somebody waits,
    that costs them one comparison.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting = 0

    def notify(self) -> None:
        """An actor came to rest, or ended."""
        if self._waiting:
            with self._changed:
                self._changed.notify_all()

    def wait(self, watched: Callable[[], list[QuiescentT]], timeout: float) -> list[QuiescentT]:
        """Wait up to `timeout` seconds of real time; returns those that still worked then.

        If two looks in a row find all at rest, and none has handled a message between them, then
        there was a moment between the looks at which all were at rest.
        """
        deadline = time.monotonic() + timeout
        before: list[tuple[QuiescentT, Rest | None]] | None = None
        with self._changed:
            self._waiting += 1
            self._clock.on_sleep.add(self.notify)
            try:
                while True:
                    now = [(each, each.rest()) for each in watched()]
                    working = [each for each, rest in now if rest is None]
                    if not working and now == before:
                        return []
                    left = deadline - time.monotonic()
                    if working and not self._changed.wait(max(0.0, left)):
                        return working
                    if left < 0 and before is not None:
                        return [
                            each for each, rest in now if rest is None or (each, rest) not in before
                        ]
                    before = now
            finally:
                self._waiting -= 1
                if not self._waiting:
                    self._clock.on_sleep.discard(self.notify)
