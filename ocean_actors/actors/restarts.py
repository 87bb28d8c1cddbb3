"""Counts restarts of actors, for metrics."""

from __future__ import annotations

import threading

from ocean_actors.counts import Counts


class Restarts:
    """Counts restarts by the name of the actor, which may have ended. Any thread may use it."""

    def __init__(self) -> None:
        self._counts = Counts()
        self._lock = threading.Lock()  # each actor counts in its own thread

    @property
    def counts(self) -> Counts:
        """The restarts so far."""
        return self._counts

    def add(self, name: str) -> None:
        """Count a restart of the actor `name`."""
        with self._lock:
            self._counts = self._counts.plus(name)
