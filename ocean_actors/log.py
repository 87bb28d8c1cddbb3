"""Logging that neither fails nor blocks whoever logs."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sys
import threading

from ocean_actors.text import one_line

FLUSH_SECONDS = 1.0  # how long the end of the process waits for a log that is not read

_reported: set[type[BaseException]] = set()
_reporting = threading.Lock()


def get_logger(name: str) -> logging.Logger:
    """Returns the logger `name`, changed so that a handler or filter that raises costs its record.

    Handlers belong to whoever embeds this package. Without this, one that raises (its server is
    away, its disk is full) would fail whatever logs: an actor, the clock, a stop. The first
    failure of each type is reported on stderr.
    """
    logger = logging.getLogger(name)
    if "handle" not in vars(logger):
        handle = logger.handle

        def guarded(record: logging.LogRecord) -> None:
            try:
                handle(record)
            except Exception as error:  # noqa: BLE001  (the handler is not ours)
                _report(error)

        logger.handle = guarded  # type: ignore[method-assign]  # the records keep their call site
    return logger


class QueuedHandler(logging.Handler):
    """Writes to a file descriptor from a thread of its own, so that logging never blocks.

    A pipe that is full and not read blocks whoever writes to it, while it holds the handler's
    lock: then every thread that logs stops, and so does the end of the process. Here at most
    `limit` lines wait; further ones are dropped, and their number is logged once the log is
    read again. At the end of the process, `flush` and `close` wait `FLUSH_SECONDS` at most.
    In a forked child, which has no such thread, lines are written at once.
    """

    def __init__(self, descriptor: int, limit: int = 10_000) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._process = os.getpid()
        self._lines: queue.Queue[str | None] = queue.Queue(limit)
        self._dropped = 0
        self._writer = threading.Thread(target=self._write_lines, name="log-writer", daemon=True)
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one record as text."""
        try:
            line = self.format(record) + "\n"
        except Exception as error:  # noqa: BLE001  (the arguments of somebody's call do not fit)
            line = _unformatted(record, error)
        if os.getpid() != self._process:
            self._write(line)
            return
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1  # under the handler's lock

    def flush(self) -> None:
        """Wait until what is queued is written, `FLUSH_SECONDS` at most."""
        if os.getpid() == self._process:
            written = self._lines.all_tasks_done
            with written:
                written.wait_for(lambda: not self._lines.unfinished_tasks, FLUSH_SECONDS)

    def close(self) -> None:
        """Write what is queued and end the thread, within `FLUSH_SECONDS`."""
        self.flush()
        if os.getpid() == self._process:
            with contextlib.suppress(queue.Full):  # the log is not read; the thread is a daemon
                self._lines.put_nowait(None)
        super().close()

    def _write_lines(self) -> None:
        while (line := self._lines.get()) is not None:
            self._write(line)
            self.acquire()
            dropped, self._dropped = self._dropped, 0
            self.release()
            if dropped:
                self._write(f"{dropped} lines of the log were dropped: it was not read in time\n")
            self._lines.task_done()

    def _write(self, line: str) -> None:
        # Straight to the descriptor: a thread that is stuck in a write to sys.stderr holds its
        # lock, and Python needs that lock to end the process.
        data = line.encode(errors="backslashreplace")
        with contextlib.suppress(OSError):  # a log that was closed has nowhere to say so
            while data:
                data = data[os.write(self._descriptor, data) :]


def _unformatted(record: logging.LogRecord, error: Exception) -> str:
    """Returns a line for a record whose message cannot be made."""
    place = one_line(f"{record.name} {record.levelname} at {record.pathname}:{record.lineno}")
    return f"a line of the log cannot be written: {place}: {one_line(error)}\n"


def _report(error: Exception) -> None:
    with _reporting:
        if type(error) in _reported:
            return
        _reported.add(type(error))
    with contextlib.suppress(Exception):
        sys.stderr.write(
            f"ocean_actors: a logging handler raised {one_line(error)}; its record is lost, and "
            f"further failures of this type are not reported\n"
        )
