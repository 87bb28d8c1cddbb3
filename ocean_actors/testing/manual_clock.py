"""A clock that the test controls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import ClassVar

from ocean_actors.actors import Clock, Timer

NANOSECONDS = 1_000_000_000


class ManualClock(Clock):
    """A clock that stands still until `advance` moves it.

    It counts whole nanoseconds, so that ten tenths of a second are exactly a second. The wall
    clock starts at `start`, the monotonic one at an unusual value, which reveals code that reads
    another clock by mistake. Safe to advance from any thread.
    """

    runs: ClassVar[bool] = False

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc)) -> None:
        super().__init__()
        self._start = start
        self._origin = 8_191 * NANOSECONDS
        self._elapsed = 0
        self._advancing = threading.RLock()

    def monotonic(self) -> float:
        """Returns seconds; only `advance` changes them."""
        return (self._origin + self._elapsed) / NANOSECONDS

    def now(self) -> datetime:
        """Returns the wall-clock time; only `advance` changes it."""
        return self._start + timedelta(microseconds=self._elapsed / 1000)

    def add(self, timer: Timer) -> None:
        """Add a timer, with its time rounded to a nanosecond."""
        timer.due = round(timer.due * NANOSECONDS) / NANOSECONDS
        super().add(timer)

    def advance(self, seconds: float, settle: Callable[[], object] | None = None) -> None:
        """Move the clock forward, and run each timer in this thread at the time it is due.

        Actors handle the messages of timers in their own threads. One that sets another timer
        may do so after the clock has moved on. `settle` is called before the first timer and
        after each: with `lambda: wait_idle(system)` every timer is exact.
        """
        with self._advancing:
            target = self._elapsed + round(seconds * NANOSECONDS)
            if settle is not None:
                settle()
            while (call := self._pop_due((self._origin + target) / NANOSECONDS)) is not None:
                due, callback = call
                self._elapsed = max(self._elapsed, round(due * NANOSECONDS) - self._origin)
                self._call(callback)
                if settle is not None:
                    settle()
            self._elapsed = max(self._elapsed, target)
