"""One worker process, as its parent sees it."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from ocean_actors.port.remote import ToWorker
from ocean_actors.shards.executor import Event, Task
from ocean_actors.shards.outcome import ShardOutcome

LEAVE_SECONDS = 2.0
"""How long a process that is not needed any more may take to end."""

CANCEL_SECONDS = 1.0
"""How long a cancellation waits for what is being sent before it."""

_CODE = """\
import sys
sys.path[:] = [folder for folder in sys.path if folder]
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
sys.path[:] = connection.recv()
from ocean_actors.shards.process_main import main
main(connection, int(sys.argv[2]))
"""


class Gone(Exception):
    """The process has ended, or does not speak to us any more."""


@dataclass(frozen=True)
class Begin:
    """To the process: do a task; `number` counts those of this process."""

    number: int
    task: Task


@dataclass(frozen=True)
class Tell:
    """To the process: what concerns the entities of a task, if it is still at work on it."""

    number: int
    message: ToWorker


@dataclass(frozen=True)
class Cancel:
    """To the process: cancel a task, if it is still at work on it."""

    number: int
    reason: str


class WorkerProcess:
    """A fresh interpreter, which does one task after another.

    It ends with this process, whatever it does, and so does everything that it has started: the
    kernel closes the lifeline, a pipe into which nothing is written. Nothing secret is in its
    arguments.
    """

    def __init__(self, setup: bytes) -> None:
        """Start the process; `setup` is a pickled `WorkerSetup`. Raises OSError."""
        self._number = 0
        self._setup: bytes | None = setup  # until it was sent
        self._ended = False
        self._runs: set[str] = set()
        self._send_lock = threading.Lock()  # tasks and cancellations come from several threads
        self._end_lock = threading.Lock()  # an attempt may end it while the executor is closed
        ours, theirs = socket.socketpair()
        read, self._lifeline = os.pipe()
        try:
            with ours, theirs:
                self._process = subprocess.Popen(  # noqa: S603  (our own code)
                    [sys.executable, "-c", _CODE, str(theirs.fileno()), str(read)],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno(), read],
                    start_new_session=True,  # Ctrl-C is for us; and it leads a process group
                )
                self._connection = Connection(ours.detach())
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(read)
        self._exit = _exit_descriptor(self._process.pid)
        _lifelines.add(self._lifeline)

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def __str__(self) -> str:
        return f"worker process {self.pid}"

    def may_join(self, run_id: str, most_runs: int) -> bool:
        """Returns whether it may work in a run, which is counted then, and has not ended."""
        if self._process.poll() is not None:
            return False
        self._runs.add(run_id)
        return len(self._runs) <= most_runs

    def begin(self, task: Task) -> int:
        """Send a task; returns its number. Raises Gone."""
        self._runs.add(task.run.id)
        self._number += 1
        data = pickle.dumps(Begin(self._number, task))
        try:
            with self._send_lock:
                if self._setup is not None:
                    self._connection.send([*sys.path])
                    self._connection.send_bytes(self._setup)
                    self._setup = None
                self._connection.send_bytes(data)
        except OSError as error:
            raise Gone from error
        return self._number

    def tell(self, number: int, message: ToWorker) -> None:
        """Pass on what concerns the entities of a task."""
        with contextlib.suppress(OSError), self._send_lock:  # `receive` tells that it has ended
            self._connection.send(Tell(number, message))

    def receive(self) -> Event | ShardOutcome:
        """Wait for the next event of the task, or its outcome. Raises Gone."""
        try:
            # What the process has started may hold the connection open after its death.
            if self._exit is not None and not self._connection.poll():
                ready = wait([self._connection, self._exit])
                if self._connection not in ready and not self._connection.poll():
                    raise EOFError
            message: Event | ShardOutcome = self._connection.recv()
        except Exception as error:  # EOFError, OSError; unpickling what user code has written there
            raise Gone from error
        return message

    def cancel(self, reason: str) -> None:
        """Have the task cancelled. A process that does not even take its task is killed."""
        if not self._send_lock.acquire(timeout=CANCEL_SECONDS):
            self.kill()
            return
        try:
            if self._setup is None:  # else it has no task yet
                self._connection.send(Cancel(self._number, reason))
        except OSError:
            pass  # it has ended, which `receive` tells
        finally:
            self._send_lock.release()

    def kill(self) -> None:
        """Kill the process, and those of its group, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if not self._ended:
                os.killpg(self.pid, signal.SIGKILL)

    def wait(self, seconds: float) -> bool:
        """Returns whether the process ends within `seconds`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
            return True
        return False

    def end(self) -> str:
        """Close the connection, so that an idle process ends; returns how it has ended.

        What is left of its group is killed.
        """
        with self._end_lock:  # two threads at once might close a descriptor of somebody else
            self._connection.close()
        if not self.wait(LEAVE_SECONDS):
            self.kill()
        code = self._process.wait()
        with self._end_lock:
            self.kill()
            if not self._ended:
                self._ended = True
                _lifelines.discard(self._lifeline)
                os.close(self._lifeline)
                if self._exit is not None:
                    os.close(self._exit)
        return _ended(code)


_lifelines: set[int] = set()  # of the processes that have not been ended


def _close_lifelines() -> None:
    """Close those of a process that was forked from this one: it may live longer."""
    for descriptor in _lifelines:
        os.close(descriptor)
    _lifelines.clear()


os.register_at_fork(after_in_child=_close_lifelines)


def _exit_descriptor(pid: int) -> int | None:
    """Returns a descriptor that is ready once a child has ended; None where there is none."""
    try:
        return os.pidfd_open(pid)  # Linux
    except (AttributeError, OSError):
        return None


def _ended(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL), perhaps because memory ran out"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
        return f"was ended by signal {-code}"
    return f"ended with exit code {code}"
