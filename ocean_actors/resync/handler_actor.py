"""The actors that run the handlers, and their messages with the coordinator."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from dataclasses import dataclass

from ocean_actors.actors import Actor, CancelToken, Message, Ref, handles
from ocean_actors.errors import OceanError
from ocean_actors.log import get_logger, logging_context
from ocean_actors.messages import Progress, RunEnded
from ocean_actors.resync.awaiting import awaited
from ocean_actors.resync.handlers import HandlerFactory, ResyncHandler, kinds_of, retry_after
from ocean_actors.resync.run import ResyncAborted, ResyncRun
from ocean_actors.text import one_line

logger = get_logger(__name__)


@dataclass(frozen=True)
class StartResync(Message):
    """To a handler's actor: do your part of this run."""

    run: ResyncRun


@dataclass(frozen=True)
class HandlerProgressed(Message):
    """From a handler at work in run `number`; at most ten a second of each handler."""

    number: int
    progress: Progress


@dataclass(frozen=True)
class HandlerFinished(Message):
    """From a handler's actor: the handler returned (`failure` is None) or raised (one line).

    `lasting`: a retry cannot fix the failure. `retry_after`: it asked to be run again after so
    many seconds.
    """

    number: int
    handler: str
    failure: str | None
    lasting: bool = False
    retry_after: float | None = None


class HandlerActor(Actor):
    """Runs one handler. Whatever the user's code raises or returns fails the run, not the actor."""

    message_bound = None  # a resync takes as long as it takes; `resync.timeout` may limit it

    def __init__(self, handler_name: str, build: HandlerFactory, coordinator: Ref) -> None:
        super().__init__()
        self._name = handler_name
        self._build = build
        self._coordinator = coordinator
        self._handler: ResyncHandler | None = None
        self._process = os.getpid()
        self._latest: ResyncRun | None = None  # the run that it served last

    @handles(StartResync)
    def on_start_resync(self, command: StartResync) -> None:
        """Do this handler's part of the run and tell the coordinator how it ended."""
        self._latest = command.run
        with logging_context(command.run.logger.context):
            self._do(command.run)

    @handles(RunEnded)
    def on_ended(self, event: RunEnded) -> None:
        """Tell the handler how its run ended, unless this actor replaced the one that ran it."""
        run, handler = self._latest, self._handler
        if run is None or handler is None:
            return
        self._latest = None
        with logging_context(run.logger.context):
            self._hook(event.run.id, lambda: handler.on_run_ended(event.status), CancelToken())

    def _hook(self, run_id: str, call: Callable[[], object], token: CancelToken) -> None:
        """Call a hook of the user's. An abort of the run passes; all else is logged."""
        failure: BaseException | None = None
        try:
            _require_no_items("the hook", awaited(call(), token), "do the work and return nothing")
        except BaseException as error:  # noqa: BLE001  (user code may raise anything, SystemExit too)
            failure = error
        end_if_forked(self._process, failure)
        if failure is None:
            return
        if isinstance(failure, ResyncAborted) and token.cancelled:
            raise failure
        with _describing(f"a hook of handler {self._name}", run_id):
            logger.error(
                "a hook of handler %s failed in run %s: %s", self._name, run_id, one_line(failure),
                exc_info=None if isinstance(failure, OceanError) else failure,
            )  # fmt: skip

    def _do(self, run: ResyncRun) -> None:
        run.begun = True
        info = run.info  # the handler may change its `run`
        finished = HandlerFinished(info.number, self._name, f"{self._name}: failed")
        try:
            error = self._attempt(run)
            end_if_forked(self._process, error)
            with _describing(f"handler {self._name}", info.id):
                finished = self._result(run, error)
                if finished.failure is not None and error is not None:
                    self._log_failure(info.id, error, finished)
        finally:  # the coordinator waits for it, even if the log raises
            self._coordinator.tell(finished)

    def _attempt(self, run: ResyncRun) -> BaseException | None:
        """Call the user's code. Returns what it raised."""
        failure: BaseException | None = None
        try:
            with contextlib.nullcontext() if run.trace is None else run.trace.handler(self._name):
                self._call(run)
        except BaseException as error:  # noqa: BLE001  (user code may raise anything, SystemExit too)
            failure = error
        try:
            run.close()
        except BaseException as error:  # noqa: BLE001  (an adapter of the user's in run.session)
            failure = error if failure is None else failure
        return failure

    def _call(self, run: ResyncRun) -> None:
        if self._handler is None:  # built in the thread that runs it
            built: object = self._build()
            if not isinstance(built, ResyncHandler):
                raise TypeError(
                    f"the handler was built as a {type(built).__name__}, which is not a "
                    "ResyncHandler"
                )
            self._handler = built
        run.note_kinds(kinds_of(self._name, self._handler))
        handler = self._handler
        self._hook(run.info.id, lambda: handler.on_run_started(run), run.token)
        result = awaited(handler.resync(run), run.token)
        _require_no_items("resync", result, "hand entities to run.port.upsert and return nothing")

    def _result(self, run: ResyncRun, error: BaseException | None) -> HandlerFinished:
        """Returns what the coordinator is told. A handler that obeyed an abort has not failed."""
        number = run.info.number
        if error is None or (isinstance(error, ResyncAborted) and run.aborted):
            return HandlerFinished(number, self._name, None)
        return HandlerFinished(
            number, self._name, f"{self._name}: {one_line(error)}",
            lasting=isinstance(error, OceanError) and error.lasting is True,
            retry_after=retry_after(error),
        )  # fmt: skip

    def _log_failure(self, run_id: str, error: BaseException, finished: HandlerFinished) -> None:
        """An error of ours explains itself; any other is logged with its traceback."""
        if finished.retry_after is not None:
            logger.warning(
                "handler %s in run %s asked to be run again in %g s: %s",
                self._name, run_id, finished.retry_after, one_line(error),
            )  # fmt: skip
        elif isinstance(error, OceanError):
            logger.error("handler %s failed in run %s: %s", self._name, run_id, one_line(error))
        else:
            logger.error(
                "handler %s failed in run %s: %s",
                self._name, run_id, one_line(error), exc_info=error,
            )  # fmt: skip


@contextlib.contextmanager
def _describing(what: str, run_id: str) -> Iterator[None]:
    """Log another line instead if the block, which describes an error of user code, raises."""
    try:
        yield
    except BaseException as odd:  # noqa: BLE001  (the error's own class may raise anything)
        logger.error(  # noqa: TRY400  (its traceback may not be describable, too)
            "%s failed in run %s with an error that cannot be described: %s",
            what, run_id, one_line(odd),
        )  # fmt: skip


def _require_no_items(what: str, result: object, advice: str) -> None:
    """Raise TypeError for a collection or generator, which nobody would read."""
    if isinstance(result, Iterable | AsyncIterable) and not isinstance(result, str | bytes):
        raise TypeError(f"{what} returned a {type(result).__name__}, which is not used: {advice}")


def end_if_forked(process: int, error: BaseException | None) -> None:
    """End a process that a handler has forked and that came back from its method.

    It has no actors that could go on. Its exit code is that of a script with the same end.
    """
    if os.getpid() == process:
        return
    code = 1
    if error is None:
        code = 0
    elif isinstance(error, SystemExit):
        given: object = error.code
        code = given & 0xFF if isinstance(given, int) else int(given is not None)
    else:
        logger.error("a process that a handler has forked failed: %s", one_line(error))
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os._exit(code)
