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
        self._last = 0  # milliseconds since the epoch
        self._second = ("", -1)  # its text and the newest second: many stamps share one

    def next(self) -> str:
        """Returns the time now, or a millisecond after the last one if that is later."""
        self._last = max((self._clock.now() - EPOCH) // MILLISECOND, self._last + 1)
        second, milliseconds = divmod(self._last, 1000)
        if second != self._second[1]:
            text = datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
            self._second = text, second
        return f"{self._second[0]}.{milliseconds:03}Z"
