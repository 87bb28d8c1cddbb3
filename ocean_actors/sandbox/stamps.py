"""The times that the sandbox writes, as Port does."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from ocean_actors.actors.clock import Clock

STEP = timedelta(milliseconds=1)


class Stamps:
    """Times in ISO 8601 with milliseconds and a `Z`, each later than the one before."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = datetime.min.replace(tzinfo=timezone.utc)

    def next(self) -> str:
        """Returns the time now, or a millisecond after the last one if that is later."""
        now = self._clock.now().astimezone(timezone.utc)
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self._last = max(now, self._last + STEP)
        return iso(self._last)


def iso(moment: datetime) -> str:
    """Returns a time as Port writes it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
