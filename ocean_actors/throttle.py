"""Limits how often one kind of event is logged, so that a flood of events cannot flood the log."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from ocean_actors.actors import Clock


@dataclass(frozen=True)
class Admission:
    """What a throttle decided about one event.

    `suppressed` counts the events that were refused since the last one that was admitted; it is
    0 unless `admitted`.
    """

    admitted: bool
    suppressed: int = 0

    @property
    def more(self) -> str:
        """The end of the admitted event's log line: how many events were suppressed, or nothing."""
        return f" (and {self.suppressed} more like it)" if self.suppressed else ""


REFUSED = Admission(admitted=False)


class Throttle:
    """Admits `burst` events in each window of `seconds`, and counts those it refuses.

    Safe to use from any thread. Use one throttle for each kind of event.
    """

    def __init__(self, clock: Clock, *, burst: int = 5, seconds: float = 60.0) -> None:
        self._clock = clock
        self._burst = burst
        self._seconds = seconds
        self._window_ends = float("-inf")
        self._admitted = 0
        self._suppressed = 0
        self._lock = threading.Lock()  # many threads ask, and none of them runs a mailbox

    def admit(self) -> Admission:
        """Decide about an event that happens now."""
        now = self._clock.monotonic()
        with self._lock:
            if now >= self._window_ends:
                self._window_ends = now + self._seconds
                self._admitted = 0
            if self._admitted == self._burst:
                self._suppressed += 1
                return REFUSED
            self._admitted += 1
            suppressed, self._suppressed = self._suppressed, 0
            return Admission(admitted=True, suppressed=suppressed)
