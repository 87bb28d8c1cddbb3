"""Counts the calls of Port's API, for metrics."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

from ocean_actors.counts import Counts
from ocean_actors.histogram import Histogram

CALL_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds of the buckets for the durations of calls."""

NO_ANSWER = "none"
"""The code of a call without a complete answer."""


@dataclass(frozen=True)
class Calls:
    """The calls so far: one for each attempt that was sent. Durations are in seconds."""

    answers: Counts = field(default_factory=Counts)  # by status and method
    durations: Histogram = field(default_factory=lambda: Histogram(CALL_SECONDS))
    retries: int = 0


class CallTally:
    """Counts the calls of all clients of one system. Any thread may use it."""

    def __init__(self) -> None:
        self._calls = Calls()
        self._lock = threading.Lock()  # handlers call Port from many threads

    @property
    def calls(self) -> Calls:
        """The calls so far."""
        return self._calls

    def note(self, method: str, code: str, seconds: float) -> None:
        """Count one attempt, with the status of its answer or `NO_ANSWER`."""
        with self._lock:
            calls = self._calls
            self._calls = replace(
                calls,
                answers=calls.answers.plus(code, method),
                durations=calls.durations.plus(seconds),
            )

    def note_retry(self) -> None:
        """Count a call that is repeated."""
        with self._lock:
            self._calls = replace(self._calls, retries=self._calls.retries + 1)
