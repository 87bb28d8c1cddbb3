"""For tests of integrations and custom actors: time that is turned by hand."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from ocean_actors.actors import Clock


class ManualClock(Clock):
    """A clock that stands still until `advance` turns it.

    It starts at `start` (wall clock) and at an odd monotonic value, so that code which reads
    another clock by mistake is found out.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc)) -> None:
        super().__init__()
        self._start = start
        self._origin = 8_191.0
        self._elapsed = 0.0

    def monotonic(self) -> float:
        """Seconds; moved only by `advance`."""
        return self._origin + self._elapsed

    def now(self) -> datetime:
        """The wall clock; moved only by `advance`."""
        return self._start + timedelta(seconds=self._elapsed)

    def advance(self, seconds: float) -> None:
        """Turn the clock, running every timer at the very moment it is due, in this thread."""
        target = self.monotonic() + seconds
        while (call := self._pop_due(target)) is not None:
            due, callback = call
            self._elapsed = max(self._elapsed, due - self._origin)
            self._call(callback)
        self._elapsed = target - self._origin
