"""The driver of Ray, as the run's process sees it."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from ocean_actors.log import get_logger
from ocean_actors.shards.ray import session
from ocean_actors.shards.ray.messages import (
    Events,
    FromDriver,
    JobEnded,
    Ready,
    Setup,
    ToDriver,
    Unusable,
    WorkerLost,
)
from ocean_actors.text import one_line

logger = get_logger(__name__)

CLOSE_SECONDS = 1.0
LONGEST_FOLDER = 20  # bytes of the path of temporary folders

TOKEN = "token"  # noqa: S105  (the name of a file)
"""The file with the token of an embedded cluster, without which nobody is let in."""

_CODE = """\
import sys
sys.path[:] = [folder for folder in sys.path if folder]
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
sys.path[:] = connection.recv()
from ocean_actors.shards.ray.driver import main
main(connection)
"""

Heard = Events | JobEnded | WorkerLost | Unusable


class RayDriver:
    """The process that is connected to Ray. Safe to use from any thread.

    It ends when this process ends, with an embedded cluster. Nothing secret is in its arguments
    or in its environment.
    """

    def __init__(self, setup: Setup) -> None:
        """Start the process. Raises OSError."""
        self.folder = Path(tempfile.mkdtemp(prefix="ocean-ray-", dir=_short_folder()))
        self.ready = threading.Event()
        self._jobs: dict[int, queue.SimpleQueue[Heard]] = {}
        self._ended: Unusable | None = None
        self._lock = threading.Lock()  # of these two
        self._send_lock = threading.Lock()
        self._number = 0
        try:
            self._start(embedded=setup.address is None)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        with contextlib.suppress(OSError):  # it ended already, which the thread notes
            self._connection.send([*sys.path])
            self._connection.send_bytes(pickle.dumps(replace(setup, folder=str(self.folder))))
        threading.Thread(target=self._listen, name="ray-driver", daemon=True).start()

    @property
    def ended(self) -> bool:
        """Whether it has ended, so that another one has to be started."""
        return self._ended is not None

    @property
    def pid(self) -> int:
        """The id of the process, and of the session of all that it has started."""
        return self._process.pid

    def open_job(self) -> tuple[int, queue.SimpleQueue[Heard]]:
        """Returns the number of a new job, and where what the driver says about it arrives."""
        heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        with self._lock:
            self._number += 1
            self._jobs[self._number] = heard
            if self._ended is not None:
                heard.put(self._ended)
            return self._number, heard

    def close_job(self, number: int) -> None:
        """Forget a job."""
        with self._lock:
            self._jobs.pop(number, None)

    def send(self, message: ToDriver) -> None:
        """Send to the driver. If it has ended, `_listen` tells its jobs."""
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        with contextlib.suppress(OSError), self._send_lock:
            self._connection.send_bytes(data)

    def close(self) -> bool:
        """End the process and all that it has started; returns whether they have ended in time."""
        with contextlib.suppress(OSError):  # the thread that reads has it open, too
            shut = socket.socket(fileno=os.dup(self._connection.fileno()))
            with shut:
                shut.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(CLOSE_SECONDS)
        session.kill(self.pid)  # what it has left, if it was killed
        shutil.rmtree(self.folder, ignore_errors=True)
        return self._process.poll() is not None

    def _start(self, *, embedded: bool) -> None:
        token = self.folder / TOKEN
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        ours, theirs = socket.socketpair()
        with ours, theirs, (self.folder / "driver.log").open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603  (our own code)
                [sys.executable, "-c", _CODE, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
                env=environment(self.folder, embedded=embedded),
                start_new_session=True,  # all that it starts is in this session
            )
            self._connection = Connection(ours.detach())

    def _listen(self) -> None:
        end = None
        with contextlib.suppress(Exception):  # the socket was closed, by it or by us
            while True:
                message: FromDriver = pickle.loads(self._connection.recv_bytes())  # noqa: S301
                match message:
                    case Ready(seconds):
                        self.ready.set()
                        logger.info("connected to Ray after %.1f s", seconds)
                    case Unusable():
                        end = message
                    case _:
                        with self._lock:
                            heard = self._jobs.get(message.number)
                        if heard is not None:
                            heard.put(message)
        session.kill(self.pid)
        end = end or Unusable(f"the process that is connected to Ray has ended{self._last_line()}")
        with self._lock:
            self._ended = end
            waiting = list(self._jobs.values())
        for each in waiting:
            each.put(end)

    def _last_line(self) -> str:
        """Returns the last line of its output, if there is one."""
        try:
            lines = (self.folder / "driver.log").read_text(errors="replace").splitlines()
        except OSError:
            return ""
        said = [line.strip() for line in lines[-20:] if line.strip()]
        return f": {one_line(said[-1])}" if said else ""


def environment(folder: Path, *, embedded: bool) -> Mapping[str, str]:
    """Returns the environment of the driver: ours without settings, and what Ray is to do.

    Settings hold secrets, and all processes of an embedded cluster inherit this environment.
    """
    found = {name: value for name, value in os.environ.items() if not _is_setting(name)}
    found.update(RAY_USAGE_STATS_ENABLED="0")
    if embedded:
        found.update(
            RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",  # Ray's way to say: the loopback only
            RAY_AUTH_MODE="token",
            RAY_AUTH_TOKEN_PATH=str(folder / TOKEN),  # else below the home folder
            RAY_worker_register_timeout_seconds="300",  # a machine may be busy
            RAY_prestart_worker_first_driver="0",
        )
    return found


def _is_setting(name: str) -> bool:
    return name.upper().startswith("OCEAN__")


def _short_folder() -> str | None:
    """Returns where temporary folders go; None: as usual. Paths of sockets may have 107 bytes."""
    usual = tempfile.gettempdir()
    return "/tmp" if len(usual) > LONGEST_FOLDER and os.access("/tmp", os.W_OK) else None  # noqa: S108
