"""The times that the sandbox writes, as Port does."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from ocean_actors.actors.clock import Clock

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MILLISECOND = timedelta(milliseconds=1)


class Stamps:
    """Times in ISO 8601 with milliseconds and a `Z`, each later than the one before."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: int | None = None  # milliseconds since the epoch
        self._second: tuple[int, str] | None = None  # the last one, and its text: many share it

    def next(self) -> str:
        """Returns the time now, or a millisecond after the last one if that is later."""
        now = (self._clock.now() - EPOCH) // MILLISECOND
        self._last = now if self._last is None else max(now, self._last + 1)
        second, milliseconds = divmod(self._last, 1000)
        if self._second is None or self._second[0] != second:
            text = (EPOCH + timedelta(seconds=second)).isoformat().removesuffix("+00:00")
            self._second = second, text
        return f"{self._second[1]}.{milliseconds:03}Z"
