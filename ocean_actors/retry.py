"""When to try a call over HTTP again: pure decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from ocean_actors.actors import Backoff

EPOCH_FROM = 10_000
"""`x-ratelimit-reset` above it is a moment (epoch seconds), else seconds to wait (docs/port-wire.md, section 1)."""

BACKOFF = Backoff(initial=0.5, maximum=20.0)


@dataclass(frozen=True)
class Retry:
    """How often a call is tried, all in all, and how long.

    No attempt begins later than `seconds` after the first. A wait that the server asks for is
    kept, up to `longest` seconds; the own backoff is the least.
    """

    attempts: int = 5
    seconds: float = 60.0
    longest: float = 300.0
    backoff: Backoff = BACKOFF

    def delay(
        self, failures: int, elapsed: float, asked: float | None, jitter: float
    ) -> float | None:
        """Seconds to wait after `failures` failed attempts, begun `elapsed` seconds ago.

        None: give up. `asked` is what the server asked for, `jitter` is in [0, 1).
        """
        if failures >= self.attempts:
            return None
        wait = max(self.backoff.delay(failures - 1, jitter), min(asked or 0.0, self.longest))
        return wait if elapsed + wait <= self.seconds else None


ONCE = Retry(attempts=1)


def asked_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds that a server asks us to wait, if it does.

    `Retry-After` first, as seconds or as an HTTP date (RFC 9110, 10.2.3), then
    `x-ratelimit-reset`, as seconds or as epoch seconds. What cannot be read counts as absent.
    """
    asked = headers.get("Retry-After")
    wait = _seconds(asked)
    if wait is None and asked is not None:
        wait = _seconds_until(asked, now)
    if wait is None:
        wait = _seconds(headers.get("x-ratelimit-reset"))
        if wait is not None and wait > EPOCH_FROM:
            wait -= now.timestamp()
    return None if wait is None else max(0.0, wait)


def _seconds(text: str | None) -> float | None:
    """A count of seconds, whole or not."""
    if text is None or not text.strip().replace(".", "", 1).isdecimal():
        return None
    return float(text)


def _seconds_until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return (moment - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):  # IndexError: Python 3.10
        return None
