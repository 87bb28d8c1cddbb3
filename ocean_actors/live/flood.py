"""Notices when calls arrive faster than they can be both accepted and handled. Pure."""

from __future__ import annotations

from collections import deque

CALLS = 10
SECONDS = 0.05


class Flood:
    """A flood lasts while the latest `CALLS` calls came within `SECONDS`.

    Meanwhile the router starts one event at a time. The threads of the web server and the workers
    share one processor (Python's lock), and a call that is not answered soon is lost, while an
    event that was accepted can wait. When the queue is full, few calls are accepted, which ends
    the flood.
    """

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=CALLS)

    def arrived(self, now: float) -> None:
        """Count a call that was accepted; `now` is in monotonic seconds."""
        self._latest.append(now)

    def lasts(self, now: float) -> bool:
        """Returns whether accepting calls comes first."""
        return len(self._latest) == CALLS and now - self._latest[0] < SECONDS
