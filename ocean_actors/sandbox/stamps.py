"""Port's timestamps."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from ocean_actors.actors.clock import Clock

STEP = timedelta(milliseconds=1)


class Stamps:
    """Times as Port writes them: ISO-8601 in milliseconds with a Z, each later than the last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = datetime.min.replace(tzinfo=timezone.utc)

    def next(self) -> str:
        """Now, or a millisecond after the last one if that is later."""
        now = self._clock.now().astimezone(timezone.utc)
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self._last = max(now, self._last + STEP)
        return iso(self._last)


def iso(moment: datetime) -> str:
    """A moment as Port writes it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_iso(text: str) -> datetime:
    """Any ISO-8601 time, UTC if it names no zone. Raises ValueError."""
    moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
