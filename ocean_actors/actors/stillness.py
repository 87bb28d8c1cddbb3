"""Knowing that nothing moves in a system: for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocean_actors.actors.cell import Cell
    from ocean_actors.actors.clock import Clock

Mark = tuple["Cell", int, threading.Event | None]
"""An actor at rest, how many messages it had handled, and what it waits for by the clock."""


class Stillness:
    """Waits for the moment when no actor has a letter or is in a message.

    One that waits (sleeps, or backs off) by a clock that stands still is at rest too: it moves
    when the clock does. Actors report that they have run out of letters; with nobody waiting for
    stillness, that costs them a look at a number.
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

    def wait(self, cells: Callable[[], list[Cell]], timeout: float) -> list[Cell]:
        """Wait for it, up to `timeout` seconds of real time; returns those that still move.

        Two looks in a row that find each actor at rest, and none having handled a message
        between them, have a moment in common at which all were at rest.
        """
        deadline = time.monotonic() + timeout
        with self._moved:
            self._waiting += 1
            self._clock.on_sleep.add(self.notify)
            try:
                before: list[Mark] | None = None
                while True:
                    present = cells()
                    marks = [(cell, cell.rest()) for cell in present]
                    moving = [cell for cell, mark in marks if mark is None]
                    if moving:
                        before = None
                        if not self._moved.wait(max(0.0, deadline - time.monotonic())):
                            return moving
                        continue
                    now = [(cell, *mark) for cell, mark in marks if mark is not None]
                    if now == before:
                        return []
                    before = now
            finally:
                self._waiting -= 1
                if not self._waiting:
                    self._clock.on_sleep.discard(self.notify)
