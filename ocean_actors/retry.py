"""When to repeat a call over HTTP: pure decisions."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from ocean_actors.actors import Backoff

EPOCH_FROM = 10_000
"""Above it, `x-ratelimit-reset` is a time in epoch seconds, else the seconds to wait
(docs/port-wire.md, section 1)."""

BACKOFF = Backoff(initial=0.5, maximum=20.0)

random_jitter = random.SystemRandom().random
"""Jitter in [0, 1) that takes no number from a generator that the program has seeded, and that
differs in each forked process."""


@dataclass(frozen=True)
class Retry:
    """How often a call is attempted, and for how long. All times are in seconds.

    No attempt begins later than `seconds` after the first one. A server may say when to come
    back (`asked_wait`). Such a refusal uses up no attempt: it is repeated until `patience` is
    over (default: `seconds`), unless the server asks for more than `longest`, or `attempts`
    is 1.
    """

    attempts: int = 5
    seconds: float = 60.0
    patience: float | None = None
    longest: float = 300.0
    backoff: Backoff = BACKOFF

    def delay(
        self, failures: int, elapsed: float, asked: float | None, jitter: float, refusals: int = 0
    ) -> float | None:
        """Returns the seconds to wait before the next attempt, or None to give up.

        `failures` attempts failed and `refusals` were answered with a time to come back. The
        latest was one of these if `asked`, the wait that it asked for, is not None. The first
        began `elapsed` seconds ago. `jitter` is in [0, 1).
        """
        if self.attempts <= 1 or failures >= self.attempts:
            return None
        if asked is None:
            wait = self.backoff.delay(max(0, failures - 1), jitter)
        elif asked > self.longest:
            return None
        else:
            wait = max(asked, self.backoff.initial * (1 - self.backoff.jitter))
            wait += self.spread(refusals) * jitter
        patience = self.seconds if self.patience is None else self.patience
        limit = max(self.seconds, patience) if refusals or asked is not None else self.seconds
        return wait if elapsed + wait <= limit else None

    def spread(self, refusals: int) -> float:
        """Returns the seconds over which callers spread if all were told to come back at once.

        It doubles with each refusal of a call, so that any number of callers gets through.
        """
        return self.backoff.delay(max(0, refusals - 1), 0.0)


ONCE = Retry(attempts=1)


class Attempts:
    """Counts the attempts of one call. For the thread of the call."""

    def __init__(self, retry: Retry, began: float) -> None:
        """Begin at `began` (monotonic seconds)."""
        self._retry = retry
        self._began = began
        self._failures = 0
        self._refusals = 0

    def delay(self, now: float, asked: float | None, jitter: float) -> float | None:
        """Count an attempt that failed by `now`; returns what `Retry.delay` does."""
        if asked is None:
            self._failures += 1
        else:
            self._refusals += 1
        return self._retry.delay(
            self._failures, now - self._began, asked, jitter, refusals=self._refusals
        )


def asked_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """Returns the seconds that a server asks us to wait, or None if it does not.

    `Retry-After` comes first, in seconds or as an HTTP date (RFC 9110, 10.2.3), then
    `x-ratelimit-reset`, in seconds or epoch seconds, unless `x-ratelimit-remaining` says that
    calls are left. A value that cannot be read is ignored.
    """
    asked = headers.get("Retry-After")
    wait = _seconds(asked)
    if wait is None and asked is not None:
        wait = _seconds_until(asked, now)
    if wait is None and headers.get("x-ratelimit-remaining", "0").strip() == "0":
        wait = _seconds(headers.get("x-ratelimit-reset"))
        if wait is not None and wait > EPOCH_FROM:
            wait -= now.timestamp()
    return None if wait is None or not math.isfinite(wait) else max(0.0, wait)


def _seconds(text: str | None) -> float | None:
    """Returns a number of seconds, whole or not; None if `text` is not one."""
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
