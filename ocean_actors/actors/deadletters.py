"""Messages that reached nobody."""

from __future__ import annotations

import logging
import threading
from typing import Any

logger = logging.getLogger(__name__)


class DeadLetters:
    """Counts them by type, and logs the first of each type."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._level = logging.WARNING
        self._lock = threading.Lock()  # any thread may send into the void

    @property
    def counts(self) -> dict[str, int]:
        """How many there were of each type so far."""
        with self._lock:
            return dict(self._counts)

    def silence(self) -> None:
        """Whoever stops everybody expects letters to be left over."""
        self._level = logging.DEBUG

    def add(self, message: Any, why: str) -> None:
        """Account for one; `why` completes "X reached nobody: "."""
        kind = type(message).__name__
        with self._lock:
            self._counts[kind] = count = self._counts.get(kind, 0) + 1
        if count == 1:
            logger.log(self._level, "%s reached nobody: %s; more are only counted", kind, why)
