"""A logging handler that never blocks whoever logs."""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import queue
import threading
import time
from dataclasses import dataclass
from typing import Protocol

from ocean_actors.log_output.folding import Folding, Key, key_of
from ocean_actors.text import one_line

FLUSH_SECONDS = 1.0  # how long the end of the process waits for a log that is not read
LINES_AT_ONCE = 100


class Output(Protocol):
    """Where the lines go. Used by one thread only, in which it may block."""

    @property
    def descriptor(self) -> int:
        """The file descriptor of the log."""

    @property
    def refresh_seconds(self) -> float | None:
        """How often `refresh` is to be called; None if never."""

    def write(self, text: str) -> None:
        """Write complete lines."""

    def refresh(self) -> None:
        """Draw anew what is shown beside the log."""

    def close(self) -> None:
        """Remove what is shown beside the log."""


class DescriptorOutput:
    """Writes to a file descriptor."""

    refresh_seconds = None

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def write(self, text: str) -> None:
        """Write complete lines."""
        write_all(self.descriptor, text)

    def refresh(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing: the descriptor is not ours."""


@dataclass(frozen=True)
class OutputLine:
    """A line that waits; `record` is None for one that is not of the log."""

    text: str
    record: logging.LogRecord | None = None
    key: Key = ()


class QueuedHandler(logging.Handler):
    """Writes from a thread of its own, so that logging never blocks.

    A pipe that is full and not read blocks whoever writes to it, while it holds the handler's
    lock: then every thread that logs stops, and so does the end of the process. Here at most
    `limit` lines wait; further ones are dropped, and their number is logged once the log is
    read again. At the end of the process, `flush` and `close` wait `FLUSH_SECONDS` at most.
    In a forked child, which has no such thread, lines are written at once.

    Lines that repeat the one before are counted instead of written, see `Folding`.
    """

    def __init__(self, output: Output | int, limit: int = 10_000) -> None:
        """`output` may be a file descriptor."""
        super().__init__()
        self._output = DescriptorOutput(output) if isinstance(output, int) else output
        self._process = os.getpid()
        self._lines: queue.Queue[OutputLine | None] = queue.Queue(limit)
        self._dropped = 0  # counted under the handler's lock
        self._dropped_logged = 0
        self._folding = Folding()  # of the writer's thread
        self._writer = threading.Thread(target=self._write_lines, name="log-writer", daemon=True)
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one record as text; one that cannot be formatted, as it is, with the reason."""
        try:
            line = self._line(record)
        except Exception as error:  # noqa: BLE001  (arguments that do not fit the message, …)
            text = f"{one_line(record.msg)} (its arguments do not fit: {one_line(error)})"
            line = self._line(_stripped(record, text))
        if os.getpid() != self._process:
            write_all(self._output.descriptor, line.text)
            return
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def write_line(self, text: str) -> None:
        """Write a line that is not of the log; waits for its turn as a write to a file does."""
        if os.getpid() != self._process or not self._writer.is_alive():
            write_all(self._output.descriptor, text + "\n")
        else:
            self._lines.put(OutputLine(text + "\n"))

    def flush(self) -> None:
        """Wait until what is queued is written, `FLUSH_SECONDS` at most."""
        if os.getpid() == self._process:
            written = self._lines.all_tasks_done
            with written:
                written.wait_for(lambda: not self._lines.unfinished_tasks, FLUSH_SECONDS)

    def close(self) -> None:
        """Write what is queued and end the thread; waits `FLUSH_SECONDS` at most."""
        if os.getpid() == self._process and self._writer.is_alive():
            with contextlib.suppress(queue.Full):  # the log is not read; the thread is a daemon
                self._lines.put_nowait(None)
                self._writer.join(FLUSH_SECONDS)
        super().close()

    def _line(self, record: logging.LogRecord) -> OutputLine:
        text = self.format(record) + "\n"
        return OutputLine(text, _stripped(record, record.getMessage()), key_of(record))

    def _write_lines(self) -> None:
        """Run the writer's thread."""
        ended = False
        while not ended:
            lines = self._take()
            ended = None in lines
            texts = [self._text(line) for line in lines if line is not None]
            due = self._folding.due()
            if ended or (due is not None and time.monotonic() >= due):
                texts.append(self._repeats(time.time()))
            if text := "".join(texts):
                self._output.write(text)
            elif not ended:
                self._output.refresh()
            self._log_dropped()
            if ended:
                self._output.close()
            for _ in lines:
                self._lines.task_done()

    def _take(self) -> list[OutputLine | None]:
        """Returns lines that wait; none if the count of repeats or a refresh is due first."""
        lines: list[OutputLine | None] = []
        with contextlib.suppress(queue.Empty):
            lines.append(self._lines.get(timeout=self._longest_wait()))
            while len(lines) < LINES_AT_ONCE and lines[-1] is not None:
                lines.append(self._lines.get_nowait())
        return lines

    def _longest_wait(self) -> float | None:
        due = self._folding.due()
        waits = [] if due is None else [max(0.0, due - time.monotonic())]
        if self._output.refresh_seconds is not None:
            waits.append(self._output.refresh_seconds)
        return min(waits, default=None)

    def _text(self, line: OutputLine) -> str:
        """Returns what is written for a line: nothing if it repeats the one before."""
        if line.record is None:
            return line.text
        now = time.monotonic()
        if self._folding.repeats(line.key, now):
            return ""
        before = self._repeats(line.record.created)
        self._folding.begin(line.record, line.key, now)
        return before + line.text

    def _repeats(self, created: float) -> str:
        """Returns the line that says how often the last one was repeated, if it was."""
        record = self._folding.take(time.monotonic(), created)
        return "" if record is None else self.format(record) + "\n"

    def _log_dropped(self) -> None:
        # Without the handler's lock, which the end of the process holds while it waits for us.
        dropped = self._dropped - self._dropped_logged
        self._dropped_logged += dropped
        if dropped:
            text = f"{dropped} lines of the log were dropped: it was not read in time"
            record = logging.LogRecord(__name__, logging.WARNING, "", 0, text, None, None)
            self._output.write(self.format(record) + "\n")


def write_all(descriptor: int, text: str) -> None:
    """Write `text` to a file descriptor.

    Straight to it: a thread that is stuck in a write to sys.stderr holds its lock, and Python
    needs that lock to end the process.
    """
    data = text.encode(errors="backslashreplace")
    with contextlib.suppress(OSError):  # a log that was closed has nowhere to say so
        while data:
            data = data[os.write(descriptor, data) :]


def _stripped(record: logging.LogRecord, message: str) -> logging.LogRecord:
    """Returns a copy of a record that keeps nothing alive but its fields."""
    stripped = copy.copy(record)
    stripped.msg, stripped.args = message, None
    stripped.exc_info = stripped.exc_text = stripped.stack_info = None
    return stripped
