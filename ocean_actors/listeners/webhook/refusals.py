"""The log of calls that were refused."""

from __future__ import annotations

import logging

from ocean_actors.actors import Clock
from ocean_actors.throttle import Throttle

logger = logging.getLogger(__name__)

BURST = 5
SECONDS = 60.0


class RefusalLog:
    """One line a refused call, with its source; at most `BURST` lines a status in `SECONDS`.

    Safe to use from any thread.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._throttles: dict[int, Throttle] = {}

    def add(self, status: int, source: str, message: str) -> None:
        """Log one, or count it for the next line of its status."""
        throttle = self._throttles.get(status)
        if throttle is None:
            new = Throttle(self._clock, burst=BURST, seconds=SECONDS)
            throttle = self._throttles.setdefault(status, new)
        admission = throttle.admit()
        if not admission.admitted:
            return
        suppressed = admission.suppressed
        more = f" ({suppressed} more since the last such line)" if suppressed else ""
        logger.warning("answered %d to %s: %s%s", status, source, message, more)
