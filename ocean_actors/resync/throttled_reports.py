"""Passes on the newest of many reports, at most ten a second."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ocean_actors.actors import Clock, Timer

SECONDS = 0.1

Report = TypeVar("Report")


class ThrottledReports(Generic[Report]):
    """Calls `send` with the newest report at most ten times a second, and always with the last.

    `send` is called in the thread that reports or in that of the clock. Safe to use from any
    thread.
    """

    def __init__(self, clock: Clock, send: Callable[[Report], None]) -> None:
        self._clock = clock
        self._send = send
        self._latest: Report | None = None  # was not sent yet
        self._pause: Timer | None = None  # the next report may follow when it is over
        self._lock = threading.Lock()  # the clock's thread sends too

    def report(self, report: Report) -> None:
        """Send this report, at once or when the pause after the last one is over."""
        with self._lock:
            self._latest = report
            if self._pause is None:
                self._send_latest()
                self._pause = self._clock.call_later(SECONDS, self._pause_over)

    def close(self) -> None:
        """Send the last report now."""
        with self._lock:
            if self._pause is not None:
                self._pause.cancel()
                self._pause = None
            self._send_latest()

    def _pause_over(self) -> None:
        with self._lock:
            if self._pause is None:
                return  # it was closed meanwhile
            more = self._latest is not None
            self._send_latest()
            self._pause = self._clock.call_later(SECONDS, self._pause_over) if more else None

    def _send_latest(self) -> None:
        latest, self._latest = self._latest, None
        if latest is not None:
            self._send(latest)
