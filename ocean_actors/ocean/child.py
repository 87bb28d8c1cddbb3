"""Runs an integration of Port Ocean for ocean_actors: `python child.py COMMANDS EVENTS`.

It runs in the integration's own interpreter, in the integration's folder, and imports nothing but
the standard library and port_ocean. The arguments are the numbers of two descriptors: commands
are read from the first and events are written to the second, as `protocol.py` describes them.

Port Ocean is used as its command `ocean sail` uses it, except that
- its event listener does nothing: the parent says when a resync runs;
- `sync_raw_all` of the integration asks the parent for a resync;
- the state of resyncs is not reported to Port, which the parent does. The metrics are;
- there is no schedule of its own;
- each resync runs in a copy of one context, which already has the HTTP clients;
- its web server listens on the loopback, on a free port.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import functools
import json
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

LONGEST_TEXT = 8_000  # characters of one log line
LONGEST_REASON = 1_000  # characters
MOST_ERRORS = 5  # of a failed resync that are told
PROGRESS_SECONDS = 0.5
CANCEL_SECONDS = 1.0  # between two attempts to cancel a resync
EXIT_SECONDS = 5.0  # for each thread that is still at work when the web server has ended
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux

FOLDER = os.path.dirname(os.path.abspath(__file__))
"""Its modules have nothing to do with the integration's, so it is not searched."""

UNUSABLE = 3
"""Exit code if the integration cannot be loaded; starting it again would not help."""

LEVELS = {"TRACE": "DEBUG", "SUCCESS": "INFO"}
"""Levels of loguru that `logging` does not have."""


class Parent:
    """The pipe to the parent. Any thread may send."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, event: str, **fields: object) -> None:
        """Send one event. A parent that has gone is noticed by whoever reads the commands."""
        line = json.dumps({"event": event, **fields}, default=str).encode() + b"\n"
        with self._lock, contextlib.suppress(OSError):
            while line:
                line = line[os.write(self._descriptor, line) :]


class LogStream:
    """What loguru writes to in place of standard output: it sends each record to the parent."""

    def __init__(self, parent: Parent, run: Callable[[], str | None]) -> None:
        self._parent = parent
        self._run = run

    def write(self, message: Any) -> None:
        """Send the record of which loguru made this text."""
        record = message.record
        extra = record["extra"]
        text = str(record["message"])
        if record["exception"] is not None:
            text += "\n" + str(extra.get("traceback") or record["exception"])
        level = record["level"].name
        self._parent.send(
            "logged",
            level=LEVELS.get(level, level),
            text=text[:LONGEST_TEXT],
            run=self._run() if extra.get("event_kind") == "resync" else None,
        )

    def flush(self) -> None:
        """Nothing is buffered."""

    def isatty(self) -> bool:
        """Not a terminal, so the text has no colours."""
        return False


class LogHandler(logging.Handler):
    """Sends what integrations log by the standard library, from WARNING on."""

    def __init__(self, parent: Parent) -> None:
        super().__init__(logging.WARNING)
        self._parent = parent

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        with contextlib.suppress(Exception):
            text = self.format(record)[:LONGEST_TEXT]
            self._parent.send("logged", level=record.levelname, text=text, run=None)


class NoState:
    """Takes the state of a resync in place of Port's client, and reports nothing."""

    async def update_integration_state(self, *_: object, **__: object) -> dict[str, Any]:
        """Do nothing."""
        return {}


class IdleListener:
    """An event listener that hears nothing."""

    async def start(self) -> None:
        """Do nothing."""


class IdleListenerFactory:
    """Makes `IdleListener`s."""

    async def create_event_listener(self) -> IdleListener:
        """Returns a listener that hears nothing."""
        return IdleListener()


class Kinds:
    """How far each resource of the mapping is in the present resync."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._deleted_before = self._counts()[1]  # upstream's count goes on from run to run
        self.total = 0
        self.states: dict[str, dict[str, Any]] = {}
        self.errors: list[str] = []

    def begin(self, resource: Any, index: int, total: int) -> None:
        """Note that upstream works on a resource now."""
        self.total = total
        blueprint = str(resource.port.entity.mappings.blueprint).strip('"')
        self.states[f"{resource.kind}-{index}"] = {
            "kind": resource.kind,
            "index": index,
            "blueprint": blueprint[:LONGEST_REASON],
            "state": "syncing",
        }

    def end(self, kind: str, index: int, state: str, errors: list[BaseException]) -> None:
        """Note how a resource ended."""
        self.states[f"{kind}-{index}"]["state"] = state
        self.errors += [f"{kind}: {described(error)}" for error in errors[:MOST_ERRORS]]

    def as_data(self) -> dict[str, Any]:
        """Returns the states and upstream's counts of objects."""
        counts, deleted = self._counts()
        kinds = [{**each, **counts.get(name, {})} for name, each in self.states.items()]
        return {"total": self.total, "kinds": kinds, "deleted": deleted - self._deleted_before}

    def _counts(self) -> tuple[dict[str, dict[str, int]], int]:
        counts: dict[str, dict[str, int]] = {}
        deleted = 0
        gauge = self._app.metrics.metrics["object_count"]
        for family in gauge.collect():
            for sample in family.samples:
                labels, value = sample.labels, int(sample.value)
                if labels.get("phase") == "delete":
                    deleted += value
                else:
                    name = f"{labels.get('phase')}_{labels.get('object_count_type')}"
                    counts.setdefault(labels.get("kind", ""), {})[name] = value
        return counts, deleted


class Child:
    """The integration, and the resync that it runs for the parent."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._app: Any = None
        self._server: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context: contextvars.Context | None = None
        self._number: int | None = None
        self._run_id: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._aborted: set[int] = set()
        self._kinds: Kinds | None = None
        self._sync: Callable[..., Coroutine[Any, Any, Any]] | None = None

    # -- start ---------------------------------------------------------------------------------

    def load(self) -> Any:
        """Returns upstream's web application of the integration, with what is replaced in it."""
        from port_ocean.config.settings import ApplicationSettings
        from port_ocean.log.logger_setup import setup_logger
        from port_ocean.utils.signal import init_signal_handler

        settings = ApplicationSettings()
        init_signal_handler()
        stdout, sys.stdout = sys.stdout, LogStream(self._parent, lambda: self._run_id)  # type: ignore[assignment]  # what loguru needs of a stream
        try:
            setup_logger(settings.log_level, enable_http_handler=settings.enable_http_logging)
        finally:
            sys.stdout = stdout
        logging.getLogger().addHandler(LogHandler(self._parent))
        self._app = app = load_app()
        self._replace(app)
        return app

    def _replace(self, app: Any) -> None:
        from port_ocean.core.handlers.resync_state_updater import ResyncStateUpdater
        from port_ocean.utils.signal import signal_handler

        integration = app.integration
        self._sync = integration.sync_raw_all
        integration.sync_raw_all = self._ask_parent
        integration.event_listener_factory = IdleListenerFactory()
        app.config.scheduled_resync_interval = None
        app.resync_state_updater = ResyncStateUpdater(NoState(), None)
        for key, (handler, _) in list(signal_handler._handlers.items()):  # noqa: SLF001  (no other way)
            if getattr(handler, "__name__", "") == "_report_resync_aborted":
                signal_handler.unregister(key)
        self._watch_resources(integration)

    def _watch_resources(self, integration: Any) -> None:
        """Have `Kinds` told which resource upstream works on, and what came of it."""
        from port_ocean.context.event import event

        process = integration.process_resource

        @functools.wraps(process)
        async def watched(resource: Any, index: int, *more: Any, **named: Any) -> Any:
            kinds = self._kinds
            if kinds is None or self._number is None:
                return await process(resource, index, *more, **named)
            kinds.begin(resource, index, len(event.port_app_config.resources))
            try:
                result = await process(resource, index, *more, **named)
            except asyncio.CancelledError:
                kinds.end(resource.kind, index, "aborted", [])
                raise
            except BaseException as error:
                kinds.end(resource.kind, index, "failed", [error])
                raise
            errors = list(result[1])
            kinds.end(resource.kind, index, "failed" if errors else "completed", errors)
            return result

        integration.process_resource = watched

    def prepare(self) -> None:
        """Do what upstream does in Port before the web server starts."""
        from port_ocean.core.defaults import initialize_defaults

        app = self._app
        with contextlib.suppress(ImportError):  # older versions do not check the runtime
            from port_ocean.core.utils.utils import validate_integration_runtime

            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            loop.run_until_complete(
                validate_integration_runtime(app.port_client, app.config.runtime)
            )
        initialize_defaults(app.integration.AppConfigHandlerClass.CONFIG_CLASS, app.config)

    def serve(self, commands: int) -> None:
        """Serve HTTP, and the parent's commands, until the end."""
        import uvicorn

        child = self

        class Server(uvicorn.Server):
            """A web server that says when it has started."""

            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                if self.started:
                    child._begin(listening.getsockname()[1], commands)

        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            self._app, host="127.0.0.1", port=0, log_config=None, access_log=False
        )
        self._server = Server(config)
        self._server.run(sockets=[listening])

    def _begin(self, port: int, commands: int) -> None:
        """The web server has started, and the integration with it."""
        from port_ocean.utils.async_http import http_async_client
        from port_ocean.version import __version__

        self._loop = asyncio.get_running_loop()
        _ = http_async_client.timeout, self._app.port_client.client.timeout  # makes both clients
        self._context = contextvars.copy_context()
        threading.Thread(target=self._listen, args=(commands,), daemon=True).start()
        strategy = self._app.integration.event_strategy
        resync = strategy["resync"] if isinstance(strategy, dict) else strategy.resync
        self._parent.send(
            "ready",
            port=port,
            version=__version__,
            kinds=sorted(str(kind) for kind in resync if kind is not None),
        )

    # -- commands ------------------------------------------------------------------------------

    def _listen(self, commands: int) -> None:
        """Read commands; the end of the file means that the parent has gone."""
        with open(commands, "rb", closefd=False) as stream:
            for line in stream:
                command = json.loads(line)
                assert self._loop is not None
                self._loop.call_soon_threadsafe(self._obey, command)
        end_group()

    def _obey(self, command: dict[str, Any]) -> None:
        match command["command"]:
            case "run":
                self._run(command["run"], command["id"])
            case "abort":
                self._abort(command["run"])
            case "exit":
                self._server.should_exit = True

    def _run(self, number: int, run_id: str) -> None:
        assert self._context is not None and self._loop is not None
        self._number, self._run_id = number, run_id
        self._kinds = Kinds(self._app)
        context = self._context.copy()
        self._task = self._loop.create_task(self._resync(number), context=context)

    def _abort(self, number: int) -> None:
        if self._task is not None and self._number == number and not self._task.done():
            assert self._loop is not None
            self._aborted.add(number)
            self._task.cancel()
            self._loop.call_later(CANCEL_SECONDS, self._abort, number)  # it may have been ignored

    # -- a resync ------------------------------------------------------------------------------

    async def _resync(self, number: int) -> None:
        progress = asyncio.create_task(self._tell_progress(number))
        status, failure = "failed", None
        try:
            status, failure = await self._result()
        except asyncio.CancelledError:
            if number not in self._aborted:
                raise  # the process ends, which the parent will see
            status = "aborted"
        except Exception as error:  # noqa: BLE001  (the integration's code may raise anything)
            failure = described(error)
        finally:
            progress.cancel()
        if status != "aborted":
            with contextlib.suppress(Exception):  # it is logged by upstream, and only metrics
                await self._end_metrics(status)
        assert self._kinds is not None
        data = self._kinds.as_data()
        self._number = self._run_id = self._task = None
        self._aborted.discard(number)
        self._parent.send("finished", run=number, status=status, failure=failure, **data)

    async def _result(self) -> tuple[str, str | None]:
        assert self._sync is not None and self._kinds is not None
        await self._app.resync_state_updater.update_before_resync()
        done = await self._sync({})
        if done:
            return "completed", None
        if done is None:
            return "failed", "Port aborted the resync"
        errors = self._kinds.errors
        more = f" (and {len(errors) - MOST_ERRORS} more)" if len(errors) > MOST_ERRORS else ""
        told = "; ".join(errors[:MOST_ERRORS]) + more
        return "failed", (told or "upstream says that the resync failed")[:LONGEST_REASON]

    async def _end_metrics(self, status: str) -> None:
        from port_ocean.utils.misc import IntegrationStateStatus

        await self._app.resync_state_updater.update_after_resync(IntegrationStateStatus(status))

    async def _tell_progress(self, number: int) -> None:
        told: dict[str, Any] = {}
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            assert self._kinds is not None
            data = self._kinds.as_data()
            if data != told:
                told = data
                self._parent.send("progressed", run=number, **data)

    async def _ask_parent(self, *_: object, **__: object) -> bool:
        """What `sync_raw_all` is for the integration: ask for a resync, and do not wait for it."""
        self._parent.send("requested")
        return True


def load_app() -> Any:
    """Returns the integration in the working folder, as upstream loads it."""
    try:
        from port_ocean.bootstrap import load_ocean_app
    except ImportError:  # before 0.50
        from inspect import getmembers
        from pathlib import Path

        from port_ocean.bootstrap import create_default_app
        from port_ocean.config.dynamic import default_config_factory
        from port_ocean.utils.misc import get_spec_file, load_module

        spec = get_spec_file(Path("."))
        factory = default_config_factory(spec.get("configurations", [])) if spec else None
        default = create_default_app(".", factory, {})
        module = load_module(str(Path("main.py")))
        return dict(getmembers(module)).get("app", default)
    return load_ocean_app(".")


def described(error: BaseException) -> str:
    """Returns an exception as one line; of a group, also what it holds."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, BaseExceptionGroup):
        text += ": " + "; ".join(described(each) for each in error.exceptions[:MOST_ERRORS])
    return " ".join(text.split())[:LONGEST_REASON]


def unusable(error: BaseException) -> str:
    """Returns why the integration cannot be loaded, and where in its code."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} ({error.filename}:{error.lineno})"
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.startswith(os.getcwd()):
            place = f" ({frame.filename}:{frame.lineno})"
    return described(error) + place


def end_group() -> None:
    """End this process and all that it has forked, at once."""
    with contextlib.suppress(OSError):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def end_with_parent() -> None:
    """Have Linux kill this process when the parent dies, also while C code blocks its threads."""
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it died before
        end_group()


def exit_code(error: BaseException) -> int:
    """Returns the exit code that Python would end with."""
    code = error.code if isinstance(error, SystemExit) else 1
    return code & 0xFF if isinstance(code, int) else int(code is not None)


def leave(code: int) -> None:
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


def main() -> None:
    """Run the integration in the working folder."""
    sys.path[:] = [os.getcwd(), *(each for each in sys.path if each != FOLDER)]
    commands, events = map(int, sys.argv[1:3])
    for descriptor in (commands, events):
        os.set_inheritable(descriptor, False)  # not for what the integration starts
    sys.argv[:] = ["main.py"]
    end_with_parent()
    parent = Parent(events)
    child = Child(parent)
    lasting = True
    try:
        child.load()
        lasting = False
        child.prepare()
        child.serve(commands)
    except BaseException as error:  # noqa: BLE001  (the integration's code may raise anything)
        level = "DEBUG" if lasting else "ERROR"
        parent.send("logged", level=level, text=traceback.format_exc()[-LONGEST_TEXT:], run=None)
        parent.send("failed", reason=unusable(error), lasting=lasting)
        leave(UNUSABLE if lasting else exit_code(error))
    leave(0)


if __name__ == "__main__":
    main()
