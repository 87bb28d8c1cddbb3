"""The main function of a worker process."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import NoReturn

from ocean_actors import shards
from ocean_actors.actors import CancelToken, SystemClock
from ocean_actors.log import ContextFilter
from ocean_actors.log_output.text_format import TextFormatter
from ocean_actors.pauses import SharedPauses
from ocean_actors.rate_limit import PartialRateLimiter
from ocean_actors.resync.run import ResyncAborted
from ocean_actors.session import CancellableSession
from ocean_actors.shards.errors import ShardError
from ocean_actors.shards.executor import Event, Logged, Task
from ocean_actors.shards.outcome import ShardOutcome
from ocean_actors.shards.process import LEAVE_SECONDS, Begin, Cancel, Tell
from ocean_actors.shards.setup import WorkerSetup
from ocean_actors.shards.writer import ShardWriter
from ocean_actors.text import one_line

F_SETSIG = 10  # of Linux; `fcntl` has it from Python 3.13 on
PLAIN = (str, int, float, bool, type(None))


def main(connection: Connection, lifeline: int) -> None:
    """Do tasks until the parent closes the connection, or has ended."""
    os.set_inheritable(connection.fileno(), False)  # not for what the user's code starts
    os.set_inheritable(lifeline, False)
    _end_with(lifeline)
    shards.in_worker = True
    setup: WorkerSetup = pickle.loads(connection.recv_bytes())  # noqa: S301  (our parent's)
    Worker(connection, setup).serve()


class Worker:
    """Does one task after another in the main thread; a second thread listens to the parent."""

    def __init__(self, connection: Connection, setup: WorkerSetup) -> None:
        self._connection = connection
        self._clock = SystemClock()
        self._workplace = setup.workplace(self._clock)
        self._sessions = Sessions(setup, self._clock)
        self._send_lock = threading.Lock()  # the shard's threads send as well
        self._current: tuple[int, CancelToken] | None = None
        self._writer: tuple[int, ShardWriter] | None = None
        self._tasks: queue.SimpleQueue[tuple[Task, CancelToken] | None] = queue.SimpleQueue()
        self._forked = False
        os.register_at_fork(after_in_child=self._after_fork)
        forward_logs(setup.log_levels, self._send)

    def serve(self) -> None:
        """Do tasks until there are no more to come."""
        threading.Thread(target=self._listen, name="worker-listen", daemon=True).start()
        while (given := self._tasks.get()) is not None:
            task, token = given
            outcome = self._workplace.work(
                task, token, self._send, self._sessions.open, self._set_writer
            )
            self._current = None
            self._send(outcome)
        self._clock.close()

    def _listen(self) -> None:
        """Take what the parent sends. When the connection ends, this process ends."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                message: object = self._connection.recv()
                if isinstance(message, Begin):
                    token = CancelToken(ResyncAborted)
                    self._current = (message.number, token)
                    self._tasks.put((message.task, token))
                elif isinstance(message, Cancel):
                    current = self._current
                    if current is not None and current[0] == message.number:
                        current[1].cancel(message.reason)
                elif isinstance(message, Tell):
                    writer = self._writer
                    if writer is not None and writer[0] == message.number:
                        writer[1].hear(message.message)
        if self._current is not None:
            _end_group()
        self._tasks.put(None)
        # A thread of the user's code may keep the interpreter from ending.
        time.sleep(LEAVE_SECONDS)
        _end_group()

    def _set_writer(self, writer: ShardWriter | None) -> None:
        current = self._current
        self._writer = None if writer is None or current is None else (current[0], writer)

    def _after_fork(self) -> None:
        """Leave the connection to the worker: what two processes write into it would be mixed."""
        self._forked = True
        handler = logging.StreamHandler()
        handler.setFormatter(TextFormatter())
        handler.addFilter(ContextFilter())
        logging.getLogger().handlers[:] = [handler]

    def _send(self, message: Event | ShardOutcome) -> None:
        if self._forked:
            raise ShardError("a process that a shard has forked cannot yield or report anything")
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        try:
            with self._send_lock:
                self._connection.send_bytes(data)
        except OSError:  # the parent has gone
            _end_group()


class Sessions:
    """Opens the sessions of shards, which share rate limits and pauses within a run."""

    def __init__(self, setup: WorkerSetup, clock: SystemClock) -> None:
        self._setup = setup
        self._clock = clock
        self._run: str | None = None
        self._limiter = PartialRateLimiter(clock, setup.share)
        self._pauses = SharedPauses()

    def open(self, task: Task, token: CancelToken) -> CancellableSession:
        """Returns a session for a shard."""
        if self._run != task.run.id:
            self._run = task.run.id
            self._limiter = PartialRateLimiter(self._clock, self._setup.share)
            self._pauses = SharedPauses()
        limits = task.limits
        if limits.per_second is not None or limits.concurrency is not None:
            self._limiter.limit(per_second=limits.per_second, concurrency=limits.concurrency)
        return CancellableSession(
            token,
            clock=self._clock,
            strict=self._setup.settings.ssl.third_party.x509.strict,
            limiter=self._limiter,
            pauses=self._pauses,
        )


class _Forwarder(logging.Handler):
    """Sends the lines of the log to the parent."""

    def __init__(self, send: Callable[[Logged], None]) -> None:
        super().__init__()
        self._send = send
        self.addFilter(ContextFilter())

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, formatted, so that it can be pickled."""
        try:
            self._send(Logged(portable(record)))
        except Exception:  # noqa: BLE001  (values of the user's in the record)
            self.handleError(record)


def portable(record: logging.LogRecord) -> logging.LogRecord:
    """Returns a copy of a record with its message and traceback formatted, and plain values."""
    values = {
        name: value if type(value) in PLAIN else one_line(value)
        for name, value in vars(record).items()
    }
    values.update(msg=record.getMessage(), args=None, exc_info=None)
    if record.exc_info and record.exc_info[0] is not None:
        values["exc_text"] = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
    return logging.makeLogRecord(values)


def forward_logs(levels: Mapping[str, int], send: Callable[[Logged], None]) -> None:
    """Have all lines of the log of this process, from these levels on, sent to the parent."""
    root = logging.getLogger()
    root.handlers[:] = [_Forwarder(send)]
    for name, level in levels.items():
        logging.getLogger(name or None).setLevel(level)


def _end_with(lifeline: int) -> None:
    """Have the kernel kill this process and its group once the parent's end is closed (Linux).

    It does so whatever the process does, such as C code that lets no other thread run.
    """
    if sys.platform == "linux":
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpid())
        fcntl.fcntl(lifeline, F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)


def _end_group() -> NoReturn:
    """End this process and those that it has started."""
    os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)  # if that should not be possible
