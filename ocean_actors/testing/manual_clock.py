"""Time turned by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import ClassVar

from ocean_actors.actors import Clock, Timer

NANOSECONDS = 1_000_000_000


class ManualClock(Clock):
    """A clock that stands still until `advance` turns it.

    It counts whole nanoseconds, so ten times a tenth of a second make a second. It starts at
    `start` (wall clock) and at an odd monotonic value, so that code which reads another clock
    by mistake is found out. Any thread may turn it; they take turns.
    """

    runs: ClassVar[bool] = False

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc)) -> None:
        super().__init__()
        self._start = start
        self._origin = 8_191 * NANOSECONDS
        self._elapsed = 0
        self._turning = threading.RLock()

    def monotonic(self) -> float:
        """Seconds; moved only by `advance`."""
        return (self._origin + self._elapsed) / NANOSECONDS

    def now(self) -> datetime:
        """The wall clock; moved only by `advance`."""
        return self._start + timedelta(microseconds=self._elapsed / 1000)

    def add(self, timer: Timer) -> None:
        """Let `timer` wait for its moment, to the nanosecond."""
        timer.due = round(timer.due * NANOSECONDS) / NANOSECONDS
        super().add(timer)

    def advance(self, seconds: float, settle: Callable[[], object] | None = None) -> None:
        """Turn the clock, running every timer at the very moment it is due, in this thread.

        Actors do what a timer told them in their own threads, so they may set a timer of their
        own when the clock has moved on already. Give `settle` to have it called before the
        first timer and after each: `lambda: wait_idle(system)` makes a turn of any length exact.
        """
        with self._turning:
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
