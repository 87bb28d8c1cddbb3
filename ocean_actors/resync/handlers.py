"""The user's handlers, and the actors that run them."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Awaitable, Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ocean_actors.actors import Actor, CancelToken, Message, Ref, handles
from ocean_actors.blueprints import Declaration, blueprints_of
from ocean_actors.errors import OceanError
from ocean_actors.frozen import FrozenDict
from ocean_actors.log import get_logger, logging_context
from ocean_actors.messages import Progress, RunEnded
from ocean_actors.resync.awaiting import awaited
from ocean_actors.resync.run import ResyncAborted, ResyncRun
from ocean_actors.text import one_line

logger = get_logger(__name__)

LONGEST_DURATION = 1e300  # seconds; more cannot be told as a float


class ResyncHandler(ABC):
    """Base class of handlers: implement `resync`, which does the integration's work.

    One object serves run after run in one thread. When it has to be fenced off, a fresh object
    in a new thread takes its place. Other handlers work at the same time in their own threads.
    """

    kinds: ClassVar[tuple[str, ...]] = ()
    """The kinds of entities that it sends to Port; shown in `status()`."""

    blueprints: ClassVar[Declaration] = ()
    """The blueprints that it needs: mappings as Port's API has them, and paths of JSON or YAML
    files, beside the class's module, with one or a list of them. Those that Port lacks are created
    before the first run; those that it has are never changed."""

    @abstractmethod
    def resync(self, run: ResyncRun) -> Awaitable[None] | None:
        """Do one run; may be `async def`.

        The handler has succeeded when this returns None, and failed when it raises. Call
        `run.check()` often, or use `run.guard`, `run.sleep`, `run.session` and `run.port`, so
        that an abort is noticed; an `async def` is cancelled at its next await. A handler that
        does not return within `resync.abortGrace` seconds of an abort is fenced off: its results
        are dropped.
        """

    def on_run_started(  # noqa: B027  (does nothing unless it is overridden)
        self, run: ResyncRun
    ) -> Awaitable[None] | None:
        """Called before each `resync`, in the handler's thread; may be `async def`.

        What it raises is logged, and `resync` is called all the same.
        """

    def on_run_ended(  # noqa: B027  (does nothing unless it is overridden)
        self, status: str
    ) -> Awaitable[None] | None:
        """Called after the run has ended, in the handler's thread; may be `async def`.

        `status` is `completed`, `failed` or `aborted`. What it raises is logged and changes
        nothing. The handler's next run starts after it has returned. It is not called in a
        handler that was fenced off, nor in the object that takes its place.
        """

    def __init_subclass__(cls, **more: Any) -> None:
        """Raise TypeError for a `resync` or a hook that yields: it would do nothing."""
        super().__init_subclass__(**more)
        if _yields(cls.resync):  # as Port Ocean's do
            raise TypeError(f"{cls.__name__}.resync yields: hand entities to run.port.upsert")
        for name in ("on_run_started", "on_run_ended"):
            if _yields(getattr(cls, name)):
                raise TypeError(f"{cls.__name__}.{name} yields, so it would do nothing")


def _yields(method: object) -> bool:
    return inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method)


HandlerFactory = Callable[[], ResyncHandler]
"""A ResyncHandler class, or a callable without arguments that returns a ResyncHandler."""


class RetryLater(OceanError):
    """Raised by a handler: this run failed and is to be retried after `seconds`.

    It is retried whatever `resync.retry` says, up to ten times in a row, after at least 0.1 s
    and at most an hour. A newer request comes first. Raises ValueError unless `seconds` is a
    finite number that is not negative.
    """

    def __init__(self, seconds: float, why: str = "asked to be run again later") -> None:
        super().__init__(seconds, why)  # pickle builds it anew from these
        if not _is_duration(seconds):
            raise ValueError(f"seconds: expected a number from 0 on, got {one_line(seconds, 40)}")
        self.seconds = float(seconds)
        self.why = why

    def __str__(self) -> str:
        why = getattr(self, "why", None)  # a subclass may not have called our __init__
        return why if isinstance(why, str) else super().__str__()


@dataclass(frozen=True)
class HandlerSpec:
    """How one handler is built, and the kinds and blueprints that it declares."""

    build: HandlerFactory
    kinds: tuple[str, ...] = ()
    blueprints: tuple[FrozenDict, ...] = ()


def named_handlers(factories: Sequence[HandlerFactory]) -> dict[str, HandlerSpec]:
    """Returns the handlers by name: the name of the class, numbered if several have the same.

    Raises ValueError if there are none, and TypeError for one that could not be built: only a
    ResyncHandler class, a `functools.partial` of one, or a callable without arguments can.
    Raises BlueprintError for blueprints that cannot be used.
    """
    if isinstance(factories, str) or not isinstance(factories, Iterable):
        raise TypeError(f"handlers: expected a list, got {one_line(factories, 80)}")
    named: dict[str, HandlerSpec] = {}
    for factory in factories:
        name = _checked_name(factory)
        declaring = _unwrapped(factory)
        named[numbered(name, named)] = HandlerSpec(
            factory, _kinds_of(name, declaring), blueprints_of(name, declaring)
        )
    if not named:
        raise ValueError("handlers: expected at least one ResyncHandler class")
    return named


def numbered(name: str, taken: Container[str]) -> str:
    """Returns `name`, with the first free number from 2 on if it is taken."""
    more = (f"{name}-{number}" for number in itertools.count(2))
    return next(each for each in itertools.chain((name,), more) if each not in taken)


def _checked_name(factory: object) -> str:
    made = _unwrapped(factory)
    if isinstance(made, type):
        name = made.__name__
        if not issubclass(made, ResyncHandler):
            raise TypeError(f"handlers: {name} is not a subclass of ResyncHandler")
        if inspect.isabstract(made):
            raise TypeError(f"handlers: {name} is abstract: it has no method resync(self, run)")
    elif isinstance(made, ResyncHandler):
        name = type(made).__name__
        raise TypeError(f"handlers: expected the class {name}, not an object of it")
    elif not callable(made) or inspect.iscoroutinefunction(made):
        raise TypeError(f"handlers: expected ResyncHandler classes, got {one_line(made, 80)}")
    else:
        given: object = getattr(made, "__name__", None)
        name = given if isinstance(given, str) else type(made).__name__
    _require_no_arguments(name, factory)
    return one_line(name, 80)


def _unwrapped(factory: object) -> object:
    while isinstance(factory, functools.partial):
        factory = factory.func
    return factory


def _require_no_arguments(name: str, factory: Any) -> None:
    made: Any = _unwrapped(factory)
    partial = isinstance(factory, functools.partial)
    args, keywords = (factory.args, factory.keywords) if partial else ((), {})
    try:
        signature = inspect.signature(made)
    except (TypeError, ValueError):  # of a builtin, which says nothing about its arguments
        return
    try:
        signature.bind(*args, **keywords)
    except TypeError as error:
        raise TypeError(
            f"handlers: {name} is built without arguments, but: {error}; "
            f"give functools.partial({name}, ...) with the arguments"
        ) from None


def _kinds_of(name: str, made: object) -> tuple[str, ...]:
    """Returns what the class declares as `kinds`, read once, as plain text."""
    try:
        declared: Any = getattr(made, "kinds", ())
        kinds = (declared,) if isinstance(declared, str) else tuple(declared)
    except Exception:  # noqa: BLE001  (a property or metaclass of the user's may raise anything)
        logger.warning(
            "handler %s: kinds cannot be read from its class: expected a tuple of texts; "
            "status() shows none", name,
        )  # fmt: skip
        return ()
    return tuple(one_line(kind) for kind in kinds)


# -- messages between the coordinator and the handlers' actors -------------------------------------


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

    `lasting`: a retry cannot mend the failure. `retry_after`: it asked to be run again after so
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
        """Tell the handler how its run ended, unless the actor that this one replaced served it."""
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
        try:
            logger.error(
                "a hook of handler %s failed in run %s: %s", self._name, run_id, one_line(failure),
                exc_info=None if isinstance(failure, OceanError) else failure,
            )  # fmt: skip
        except BaseException as odd:  # noqa: BLE001  (the error's own class may raise anything)
            logger.error(  # noqa: TRY400  (its traceback may not be describable, too)
                "a hook of handler %s failed in run %s with an error that cannot be described: %s",
                self._name, run_id, one_line(odd),
            )  # fmt: skip

    def _do(self, run: ResyncRun) -> None:
        run.begun = True
        info = run.info  # the handler may change its `run`
        finished = HandlerFinished(info.number, self._name, f"{self._name}: failed")
        try:
            error = self._attempt(run)
            end_if_forked(self._process, error)
            try:
                finished = self._result(run, error)
                if finished.failure is not None and error is not None:
                    self._log_failure(info.id, error, finished)
            except BaseException as odd:  # noqa: BLE001  (the error's own class may raise anything)
                logger.error(  # noqa: TRY400  (its traceback may not be describable, too)
                    "handler %s failed in run %s with an error that cannot be described: %s",
                    self._name, info.id, one_line(odd),
                )  # fmt: skip
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
        run.note_kinds(_kinds_of(self._name, self._handler))
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


def _require_no_items(what: str, result: object, advice: str) -> None:
    """Raise TypeError for a collection or generator, which nobody would read."""
    if isinstance(result, Iterable | AsyncIterable) and not isinstance(result, str | bytes):
        raise TypeError(f"{what} returned a {type(result).__name__}, which is not used: {advice}")


def end_if_forked(process: int, error: BaseException | None) -> None:
    """End a process that a handler has forked and that came back from its method.

    It has no actors that could go on. Its exit code is that of a script that ends so.
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


def retry_after(error: BaseException) -> float | None:
    """Returns the seconds of a RetryLater; None if its subclass set none that can be used."""
    if not isinstance(error, RetryLater):
        return None
    try:
        seconds: Any = error.seconds
        return float(seconds) if _is_duration(seconds) else None
    except Exception:  # noqa: BLE001  (a subclass may not call our __init__, or define a property)
        return None


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= LONGEST_DURATION
