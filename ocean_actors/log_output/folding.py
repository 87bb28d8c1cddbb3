"""Counts repeated lines of a log instead of writing them."""

from __future__ import annotations

import copy
import logging
from typing import TypeAlias

from ocean_actors.log import FIELDS
from ocean_actors.text import one_line

FOLD_SECONDS = 60.0

Key: TypeAlias = tuple[object, ...]


class Folding:
    """Decides which lines repeat the line before. Remembers one line, whatever comes.

    Lines are the same if they differ at most in their time. `now` is in monotonic seconds.
    """

    def __init__(self, seconds: float = FOLD_SECONDS) -> None:
        """Repeats are counted for `seconds`; then their number is to be written."""
        self._seconds = seconds
        self._key: Key | None = None
        self._record: logging.LogRecord | None = None
        self._since = 0.0
        self._count = 0

    def repeats(self, key: Key, now: float) -> bool:
        """Returns whether a line is the same as the last one, and counts it if so."""
        old = not self._count and now >= self._since + self._seconds
        if key != self._key or old:
            return False
        self._count += 1
        return True

    def begin(self, record: logging.LogRecord, key: Key, now: float) -> None:
        """Compare the next lines with this one, which is written."""
        self._record, self._key, self._since, self._count = record, key, now, 0

    def due(self) -> float | None:
        """Returns when `take` has to be called; None if nothing was repeated."""
        return self._since + self._seconds if self._count else None

    def take(self, now: float, created: float) -> logging.LogRecord | None:
        """Returns a record that says how often the last line was repeated, and counts anew.

        `created` is the record's time, as `time.time()` gives it. Returns None if the line was
        not repeated.
        """
        if not self._count or self._record is None:
            return None
        times = "once" if self._count == 1 else f"{self._count} times"
        seconds = max(1, round(now - self._since))
        said = copy.copy(self._record)
        said.msg = f"{said.getMessage()} (repeated {times} in {seconds} s)"
        said.args = None
        said.created, said.msecs = created, created % 1 * 1000 // 1
        said.repeated = self._count
        self._since, self._count = now, 0
        return said


def key_of(record: logging.LogRecord) -> Key:
    """Returns what two records have in common if their lines are the same."""
    error = record.exc_info[1] if record.exc_info else None
    return (
        record.levelno, record.name, record.getMessage(), type(error), one_line(error),
        *(getattr(record, name, None) for name in FIELDS),
    )  # fmt: skip
