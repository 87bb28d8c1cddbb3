"""Sends the log of a system to Port, which shows it on its page of the integration."""

from __future__ import annotations

import json
import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ocean_actors.actors import Actor, AtLimit, Backoff, MailboxPolicy, Message, handles
from ocean_actors.log import ContextFilter, get_logger, owner
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.ingest import IngestAddresses
from ocean_actors.port.sync_metrics import BEST_EFFORT, Flush
from ocean_actors.throttle import Throttle

logger = get_logger(__name__)

SHIP_SECONDS = 5.0
BACKOFF = Backoff(initial=5.0, maximum=300.0)

KEPT_LINES = 1000  # that wait to be sent; older ones are dropped
LONGEST_TEXT = 8000  # characters of a message, its traceback included
LONGEST_VALUE = 500  # characters of a field
MOST_FIELDS = 20
LARGEST_BATCH = 256 * 1024  # bytes; Port reads up to 1 MiB

PACKAGE = "ocean_actors"
OWN_FIELDS = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})
_tracebacks = logging.Formatter()


@dataclass(frozen=True)
class ShipLogs(Message):
    """To itself: send the lines that wait."""


@dataclass(frozen=True)
class LogLine:
    """One line of the log, as text and plain values."""

    message: str
    level: str
    created: float  # epoch seconds
    extra: Mapping[str, str | int | float | bool]

    def body(self, client: PortClient) -> dict[str, Any]:
        """Returns the line as Port expects it, without the credentials of `client`."""
        moment = datetime.fromtimestamp(self.created, timezone.utc)
        return {
            "message": client.mask(self.message),
            "level": self.level,
            "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "extra": {
                name: client.mask(value) if isinstance(value, str) else value
                for name, value in self.extra.items()
            },
        }


class LineBuffer(logging.Handler):
    """Keeps the newest lines of one actor system until they are sent. It never blocks.

    It takes what is logged in the system's threads and tasks, except in the thread that sends
    the lines: a failure to send must not make more to send. What is logged in threads of no
    system (the program's own, a web server's) is taken only while this is the only system of
    the process, since nobody can tell whose it is.
    """

    def __init__(self, mask: Callable[[str], str]) -> None:
        """Take the lines of the calling thread's system, except those of this thread.

        `mask` hides secrets.
        """
        super().__init__()
        self._mask = mask
        self.addFilter(ContextFilter())  # run id, trigger and handler
        self._owner = owner.get()
        self._sender = threading.get_ident()
        self._process = os.getpid()
        self._lines: deque[LogLine] = deque(maxlen=KEPT_LINES)
        self._dropped = 0  # counted by `emit` only, so that no count is lost
        self._reported = 0  # how many of those that were dropped a line has said
        self.wanted = True
        """Whether Port takes logs; the lines are kept until that is known."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record of this system."""
        if buffers()[:1] == [self]:
            _print_last_resort(record)
        if not self.wanted:
            self._lines.clear()
            return
        if not self._is_own(record):
            return
        try:
            line = line_of(record, self._mask)
        except Exception:  # noqa: BLE001  (a broken record: Python's own handlers report it)
            return
        if len(self._lines) == KEPT_LINES:
            self._dropped += 1
        self._lines.append(line)

    def take(self) -> Iterator[LogLine]:
        """Yields and removes the lines, the oldest first. A line says if some were dropped."""
        dropped = self._dropped - self._reported
        self._reported += dropped
        if dropped:
            text = f"{dropped} older lines were dropped, as Port did not take them in time"
            yield LogLine(text, "WARNING", time.time(), {"logger": logger.name})
        while self._lines:
            yield self._lines.popleft()

    def _is_own(self, record: logging.LogRecord) -> bool:
        if record.thread == self._sender or os.getpid() != self._process:
            return False
        present = owner.get()
        if present is None:
            return len(buffers()) == 1
        return present is self._owner


class LogShipper(Actor):
    """Ships the log of its system while it lives, in batches and bounded memory.

    Everything is best effort. Lines that Port does not take for a while wait, the newest
    `KEPT_LINES` of them; lines that it refuses are dropped. Its own failures are logged once in
    ten minutes and never shipped. While Port has not been asked for the address, lines wait; if
    Port names none, they are dropped.
    """

    subscribes_to = (IngestAddresses,)
    supervision = BEST_EFFORT
    mailbox = MailboxPolicy(
        limit=1000, at_limit={Message: AtLimit.DROP_OLDEST, ShipLogs: AtLimit.COALESCE}
    )
    message_bound = None  # Port may hang up to the time-out, and that is logged

    def __init__(self, client: PortClient) -> None:
        super().__init__()
        self._client = client
        self._address: str | None = None
        self._buffer: LineBuffer | None = None
        self._batch: bytes | None = None  # that Port did not take yet
        self._failures = 0
        self._not_before = 0.0

    def on_start(self) -> None:
        """Take the lines of this system from now on."""
        self._throttle = Throttle(self.context.clock, burst=1, seconds=600.0)
        self._buffer = LineBuffer(self._client.mask)
        logging.getLogger(PACKAGE).addHandler(self._buffer)
        self.context.schedule_every(SHIP_SECONDS, ShipLogs(), fixed_delay=True)

    def on_stop(self) -> None:
        """Take no more lines."""
        if self._buffer is not None:
            logging.getLogger(PACKAGE).removeHandler(self._buffer)
            self._buffer.close()

    def on_failure(self, *_: object) -> None:
        """Take no more lines; a restart takes them again."""
        self.on_stop()

    @handles(IngestAddresses)
    def on_addresses(self, event: IngestAddresses) -> None:
        """Send to this address from now on."""
        self._address = event.logs
        if self._buffer is not None:
            self._buffer.wanted = event.logs is not None
        if event.logs is None:
            self._batch = None

    @handles(ShipLogs)
    def on_ship_logs(self, _message: ShipLogs) -> None:
        """Send what waits, unless the last attempt has just failed."""
        if self.context.clock.monotonic() >= self._not_before:
            self._ship()

    @handles(Flush)
    def on_flush(self, command: Flush) -> None:
        """Send what waits, and say so."""
        self.on_ship_logs(ShipLogs())
        command.flushed.set(None)

    def _ship(self) -> None:
        while self._address is not None:
            if self._batch is None and self._buffer is not None:
                self._batch = next_batch(line.body(self._client) for line in self._buffer.take())
            if self._batch is None or not self._send(self._address, self._batch):
                return
            self._batch = None

    def _send(self, address: str, batch: bytes) -> bool:
        """Send a batch; returns whether it is done with: taken, or refused for good."""
        try:
            self._client.deliver("POST", address, batch)
        except PortError as error:
            backoff = BACKOFF.delay(self._failures, self.context.jitter())
            self._failures += 1
            self._not_before = self.context.clock.monotonic() + error.delay(backoff)
            if not error.temporary:
                self._batch = None
            admission = self._throttle.admit()
            if admission.admitted:
                logger.warning("the log is not shown on Port's page of the integration: %s", error)
            return False
        self._failures = 0
        return True


def line_of(record: logging.LogRecord, mask: Callable[[str], str]) -> LogLine:
    """Returns a record as plain data of bounded size. `mask` hides secrets before a text is cut."""
    text = record.getMessage()
    if record.exc_info and record.exc_info[0] is not None:
        text += "\n" + (record.exc_text or _tracebacks.formatException(record.exc_info))
    extra: dict[str, str | int | float | bool] = {
        "logger": record.name,
        "thread": record.threadName or "",
    }
    for name, value in vars(record).items():
        if name not in OWN_FIELDS and len(extra) < MOST_FIELDS and value is not None:
            extra[name] = _plain(value, mask)
    message = _cut(text.rstrip("\n"), LONGEST_TEXT, mask)
    return LogLine(message, record.levelname, record.created, extra)


def next_batch(lines: Iterable[Mapping[str, Any]]) -> bytes | None:
    """Returns the body with the next lines, as many as fit; None if there are none."""
    encoded: list[bytes] = []
    size = 0
    for line in lines:
        encoded.append(json.dumps(line).encode())
        size += len(encoded[-1])
        if size >= LARGEST_BATCH:
            break
    return b'{"logs": [' + b", ".join(encoded) + b"]}" if encoded else None


def buffers() -> list[LineBuffer]:
    """Returns the buffers of all systems of this process."""
    handlers = logging.getLogger(PACKAGE).handlers
    return [handler for handler in handlers if isinstance(handler, LineBuffer)]


def _plain(value: object, mask: Callable[[str], str]) -> str | int | float | bool:
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _cut(str(value), LONGEST_VALUE, mask)


def _cut(text: str, length: int, mask: Callable[[str], str]) -> str:
    return text if len(text) <= length else mask(text)[:length]


def _print_last_resort(record: logging.LogRecord) -> None:
    """Print a record as `logging` would if nobody configured it and our handler did not exist."""
    named: logging.Logger | None = logging.getLogger(record.name)
    while named is not None:
        if not all(isinstance(handler, LineBuffer) for handler in named.handlers):
            return
        named = named.parent if named.propagate else None
    last = logging.lastResort
    if last is not None and record.levelno >= last.level:
        last.handle(record)
