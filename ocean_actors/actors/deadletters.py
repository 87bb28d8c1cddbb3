"""Messages that no actor handled."""

from __future__ import annotations

import logging
import threading

from ocean_actors.log import get_logger

logger = get_logger(__name__)


class DeadLetters:
    """Counts dead letters by type, and logs the first of each type. Any thread may use it."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._level = logging.WARNING
        self._lock = threading.Lock()

    @property
    def counts(self) -> dict[str, int]:
        """Returns how many there were of each type so far."""
        with self._lock:
            return dict(self._counts)

    def silence(self) -> None:
        """Log at DEBUG from now on: while a system stops, unhandled messages are expected."""
        self._level = logging.DEBUG

    def add(self, message: object, why: str) -> None:
        """Count a message that was not handled, for the reason `why`."""
        kind = type(message).__name__
        with self._lock:
            self._counts[kind] = count = self._counts.get(kind, 0) + 1
        if count == 1:
            logger.log(
                self._level, "%s was not handled: %s; further ones are only counted", kind, why
            )
