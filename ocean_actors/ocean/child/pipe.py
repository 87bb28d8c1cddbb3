"""The pipe to the parent, and how the log of the integration gets there."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

LONGEST_TEXT = 8_000  # characters of one log line
LEVELS = {"TRACE": "DEBUG", "SUCCESS": "INFO"}
"""Levels of loguru that `logging` does not have."""


class Parent:
    """The pipe to the parent. Any thread may send."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, event: str, **fields: object) -> None:
        """Send one event. A parent that has gone is noticed by whoever reads the commands.

        The event begins with a line break, in case the integration wrote there by mistake.
        """
        line = b"\n" + json.dumps({"event": event, **fields}, default=str).encode() + b"\n"
        with self._lock, contextlib.suppress(OSError):
            while line:
                line = line[os.write(self._descriptor, line) :]

    def log(self, level: str, text: str, run: str | None = None) -> None:
        """Send a line of the log; `run` is the id of the run that it belongs to."""
        self.send("logged", level=LEVELS.get(level, level), text=text[:LONGEST_TEXT], run=run)


class LogStream:
    """What loguru writes to in place of standard output: it sends each record to the parent."""

    def __init__(self, parent: Parent, run: Callable[[], str | None]) -> None:
        """`run` returns the id of the run in flight."""
        self._parent = parent
        self._run = run

    def write(self, message: Any) -> None:
        """Send the record from which loguru made this text."""
        record = message.record
        extra = record["extra"]
        text = str(record["message"])
        if record["exception"] is not None:
            text += "\n" + str(extra.get("traceback") or record["exception"])
        in_run = extra.get("event_kind") == "resync"
        self._parent.log(record["level"].name, text, self._run() if in_run else None)

    def flush(self) -> None:
        """Nothing is buffered."""

    def isatty(self) -> bool:
        """Not a terminal, so the text has no colours."""
        return False


class LogHandler(logging.Handler):
    """Sends what is logged by the standard library, from WARNING on."""

    def __init__(self, parent: Parent) -> None:
        super().__init__(logging.WARNING)
        self._parent = parent

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        with contextlib.suppress(Exception):
            self._parent.log(record.levelname, self.format(record))
