"""The handlers that users write, and how they are named and checked."""

from __future__ import annotations

import functools
import inspect
import itertools
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ocean_actors.blueprints import Declaration, blueprints_of
from ocean_actors.errors import OceanError
from ocean_actors.frozen import FrozenDict
from ocean_actors.log import get_logger
from ocean_actors.resync.run import ResyncRun
from ocean_actors.text import one_line

logger = get_logger(__name__)

LONGEST_DURATION = 1e300  # seconds; more cannot be told as a float


class ResyncHandler(ABC):
    """Base class of handlers: implement `resync`, which does the integration's work.

    One object serves run after run in one thread. When it has to be fenced off, a fresh object
    in a new thread takes its place. Other handlers work at the same time in their own threads.

        class Repositories(ResyncHandler):
            kinds = ("repository",)
            blueprints = ({"identifier": "repository"},)

            def resync(self, run: ResyncRun) -> None:
                names = run.guard(["shop", "billing"])  # ends when the run is aborted
                run.port.upsert("repository", ({"identifier": name} for name in names))
                run.port.reconcile()
    """

    kinds: ClassVar[tuple[str, ...]] = ()
    """The kinds of entities that it sends to Port; shown in `status()`."""

    blueprints: ClassVar[Declaration] = ()
    """The blueprints that it needs: mappings in the form of Port's API, and paths of JSON or YAML
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
            raise ValueError(f"seconds: expected a number, 0 or more, got {one_line(seconds, 40)}")
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
            factory, kinds_of(name, declaring), blueprints_of(name, declaring)
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
            missing = missing_method(made)
            raise TypeError(f"handlers: {name} is abstract: it has no method {missing}")
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


def missing_method(made: type) -> str:
    """Returns the first method that an abstract class lacks, with its arguments."""
    names: frozenset[str] = getattr(made, "__abstractmethods__", frozenset())
    argument = {"resync": "run", "shards": "run", "resync_shard": "shard"}
    first = next((each for each in argument if each in names), min(names, default="resync"))
    return f"{first}(self, {argument.get(first, '…')})"


def _unwrapped(factory: object) -> object:
    while isinstance(factory, functools.partial):
        factory = factory.func
    return factory


def _require_no_arguments(name: str, factory: Any) -> None:
    missing = missing_arguments(factory)
    if missing is not None:
        raise TypeError(
            f"handlers: {name} {missing}; give functools.partial({name}, ...) with the arguments"
        )


def missing_arguments(factory: Any) -> str | None:
    """Returns why a class, or a `functools.partial` of one, cannot be built without arguments."""
    made: Any = _unwrapped(factory)
    partial = isinstance(factory, functools.partial)
    args, keywords = (factory.args, factory.keywords) if partial else ((), {})
    try:
        signature = inspect.signature(made)
    except (TypeError, ValueError):  # of a builtin, which says nothing about its arguments
        return None
    try:
        signature.bind(*args, **keywords)
    except TypeError as error:
        return f"is built without arguments, but: {error}"
    return None


def kinds_of(name: str, made: object) -> tuple[str, ...]:
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
