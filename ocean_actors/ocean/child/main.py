"""The child's life: it loads the integration, serves HTTP and the parent, and ends."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import threading
import traceback
from typing import Any

from .kinds import located
from .lease import ChildLease
from .pipe import Parent
from .resyncs import Resyncs
from .upstream import kinds_of, load_app, make_clients, prepare, replace_parts, set_up_log

EXIT_SECONDS = 5.0  # for each thread that is still at work when the web server has ended
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux

UNUSABLE = 3
"""Exit code if the integration cannot be loaded; starting it again would not help."""


class Child:
    """The integration, and the parent's commands."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._app: Any = None
        self._resyncs: Resyncs | None = None
        self._server: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None  # once it takes commands

    def load(self, level: str) -> None:
        """Load the integration in the working folder."""
        from port_ocean.utils.signal import init_signal_handler

        init_signal_handler()
        set_up_log(self._parent, level, lambda: self._resyncs.run_id if self._resyncs else None)
        self._app = app = load_app()
        self._resyncs = Resyncs(self._parent, app, replace_parts(app, self._ask_parent))

    async def _ask_parent(self, *_: object, **__: object) -> bool:
        """What `sync_raw_all` is for the integration: ask for a resync, and do not wait for it."""
        self._parent.send("requested")
        return True

    def serve(self) -> None:
        """Register with Port, and serve HTTP and the parent until the end."""
        import uvicorn

        prepare(self._app)
        child = self

        class Server(uvicorn.Server):
            """A web server that says when it has started."""

            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                if self.started:
                    child._begin(self, listening.getsockname()[1])

        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(self._app, host="127.0.0.1", log_config=None, access_log=False)
        Server(config).run(sockets=[listening])

    def _begin(self, server: Any, port: int) -> None:
        """The web server has started, and the integration with it."""
        from port_ocean.version import __version__

        resyncs = self._resyncs
        if resyncs is None:
            raise RuntimeError("the integration was not loaded")
        make_clients(self._app)
        resyncs.keep_context()
        self._server, self._loop = server, asyncio.get_running_loop()
        self._parent.send("ready", port=port, version=__version__, kinds=kinds_of(self._app))

    def tell(self, command: dict[str, Any]) -> None:
        """Have a command obeyed. Before the loop runs, only `exit` may come: end at once."""
        if self._loop is None:
            end_group()
        else:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._obey, command)

    def _obey(self, command: dict[str, Any]) -> None:
        resyncs = self._resyncs
        match command["command"]:
            case "exit":
                self._server.should_exit = True
            case "run" if resyncs is not None:
                resyncs.start(command["run"], command["id"])
            case "abort" if resyncs is not None:
                resyncs.abort(command["run"])


def listen(commands: int, child: Child) -> None:
    """Obey the parent's commands; the end of the file means that the parent has gone.

    The lease is extended here, as the integration may block the loop.
    """
    lease = ChildLease(end_group)
    with contextlib.suppress(OSError), open(commands, "rb", closefd=False) as stream:
        for line in stream:
            command = json.loads(line)
            if command["command"] == "lease":
                lease.extend(command["until"])
            else:
                child.tell(command)
    end_group()


def end_group() -> None:
    """End this process and all that it has forked, at once."""
    with contextlib.suppress(OSError):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def end_with_parent() -> None:
    """Have Linux kill this process when the parent dies, even while C code blocks its threads."""
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it died before
        end_group()


def exit_code(error: BaseException) -> int:
    """Returns the exit code that Python would end with."""
    code = error.code if isinstance(error, SystemExit) else 1
    return code & 0xFF if isinstance(code, int) else int(code is not None)


def end_process(code: int) -> None:
    """End this process once the last lines of the log are on their way to the parent and Port.

    Python's own way out would have upstream start a thread when none can be started any more,
    which fails with a traceback.
    """
    with contextlib.suppress(Exception):
        from loguru import logger

        logger.complete()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(EXIT_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def main(commands: int, events: int, level: str) -> None:
    """Run the integration in the working folder, with the numbers of two descriptors.

    It logs at `level` unless its environment says otherwise.
    """
    sys.path[:] = [os.getcwd(), *filter(None, sys.path)]
    sys.argv[:] = ["main.py"]
    for descriptor in (commands, events):
        os.set_inheritable(descriptor, False)  # not for what the integration starts
    end_with_parent()
    parent = Parent(events)
    lasting = True
    try:
        child = Child(parent)
        threading.Thread(target=listen, args=(commands, child), daemon=True).start()
        child.load(level)
        lasting = False
        child.serve()
    except BaseException as error:  # noqa: BLE001  (the integration's code may raise anything)
        parent.log("DEBUG" if lasting else "ERROR", traceback.format_exc())
        parent.send("failed", reason=located(error), lasting=lasting)
        end_process(UNUSABLE if lasting else exit_code(error))
    end_process(0)
