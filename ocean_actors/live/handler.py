"""The user's live handlers, and what their `handle` is given."""

from __future__ import annotations

import functools
import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from ocean_actors.actors import Backoff, CancelToken
from ocean_actors.errors import UsageError
from ocean_actors.live.call import LiveCall
from ocean_actors.messages import UpsertResult
from ocean_actors.text import one_line

if TYPE_CHECKING:
    from ocean_actors.log import RunLogger
    from ocean_actors.mapping.resources import Resource
    from ocean_actors.session import CancellableSession
    from ocean_actors.settings import Settings

OtherT = TypeVar("OtherT")

PATH = re.compile(r"[A-Za-z0-9._~-]{1,100}(/[A-Za-z0-9._~-]{1,100}){0,9}", re.ASCII)


class LiveHandlerError(UsageError, ValueError):
    """A live handler cannot be used; one readable line."""


class LivePort(Protocol):
    """`live.port`: writes entities to Port for one event."""

    def upsert(
        self,
        blueprint: str,
        entities: Iterable[Mapping[str, object]],
        *,
        merge: bool | None = None,
        create_missing_related_entities: bool | None = None,
    ) -> UpsertResult:
        """Create or update entities, as `run.port.upsert` does.

        Raises PortError if Port does not know the blueprint, refuses us or cannot be reached, and
        StillInFlight if a run has been sending one of them for too long: the event is retried.
        """

    def delete(self, blueprint: str, identifiers: Iterable[str | float]) -> int:
        """Delete entities; returns how many were there. Raises as `upsert` does.

        A number stands for its text, as in `upsert`.

        Entities that Port refuses to delete are kept, and logged.
        """


class Live(Protocol):
    """What `handle` is given besides the call. For its own thread, and threads that it joins."""

    @property
    def port(self) -> LivePort:
        """Writes entities to Port."""

    @property
    def settings(self) -> Settings:
        """The settings; those of the integration itself are `settings.integration.config`."""

    @property
    def logger(self) -> RunLogger:
        """The logger `ocean_actors.live.<path>`."""

    @property
    def session(self) -> CancellableSession:
        """A `requests.Session` for the third-party system's API, kept from event to event.

        Its calls have time-outs and retries, and end when the event's time is over.
        """

    def resources(self, kind: str) -> tuple[Resource, ...]:
        """Returns the entries of Port's mapping for a kind, as `run.resources` does.

        It is the mapping of the newest run. Before the first one, it raises RetryLater.
        """

    @property
    def token(self) -> CancelToken:
        """Cancelled when the event's time is over."""

    def check(self) -> None:
        """Raises Cancelled if the event's time is over."""


class LiveHandler(ABC):
    """Base class of live handlers: what to do when the third-party system reports a change.

    Calls of `POST /live/<path>` come to `authenticate`, then to `key`, in threads of the web
    server; both must be quick. The call is then queued and answered, and `handle` is called in
    another thread. One object serves all calls, several at a time: do not keep in it what calls
    change. What any of the methods raises concerns that call alone.

    The attributes `path` to `timeout` are read once, when the object has been built.

        class RepositoryChanged(LiveHandler):
            path = "repositories"  # POST /live/repositories

            def authenticate(self, call: LiveCall) -> bool:
                return signatures.github(call, "hook-secret")

            def handle(self, call: LiveCall, live: Live) -> None:
                name = call.json()["repository"]["name"]
                live.port.upsert("repository", [{"identifier": name}])
    """

    path: ClassVar[str]
    """The path below `/live/`, such as `tracker`."""

    capacity: ClassVar[int] = 1000
    """Events that may wait or be at work; further calls are answered 503."""

    capacity_bytes: ClassVar[int] = 64 * 1024 * 1024
    """Bytes of all their bodies together."""

    workers: ClassVar[int] = 4
    """Events of different keys that are handled at the same time."""

    attempts: ClassVar[int] = 5
    """How often an event is tried before it is given up."""

    backoff: ClassVar[Backoff] = Backoff(initial=0.5, maximum=60.0)
    """Between two attempts. Events of the same key wait."""

    timeout: ClassVar[float] = 60.0
    """Seconds for one attempt. Then its calls are ended; see docs/live.md."""

    settings: Settings
    """Those of its system, set once it was built: `settings.integration.config` may hold the secret
    that `authenticate` needs."""

    def authenticate(self, call: LiveCall) -> bool:  # noqa: ARG002  (for subclasses)
        """Returns True if the call comes from the third-party system; else it is answered 401.

        By default nobody may call. `ocean_actors.live.signatures` has the usual checks. A mere
        `return True` is enough only where the network keeps strangers away.
        """
        return False

    def key(self, call: LiveCall) -> str:  # noqa: ARG002  (for subclasses)
        """Returns what the call is about: events of one key are handled in order, one at a time.

        By default all events have one key. The id of the changed item is a good key.
        """
        return ""

    @abstractmethod
    def handle(self, call: LiveCall, live: Live) -> Awaitable[None] | None:
        """Bring the change to Port with `live.port`; may be `async def`.

        It may be called again for the same event: after a failure, or because the third-party
        system repeats a call. If it raises, the event is retried, except after `lasting` errors;
        `RetryLater(seconds)` says when.
        """

    def __init_subclass__(cls, **more: Any) -> None:
        """Raise TypeError for a `handle` that yields: it would do nothing."""
        super().__init_subclass__(**more)
        if inspect.isgeneratorfunction(cls.handle) or inspect.isasyncgenfunction(cls.handle):
            raise TypeError(f"{cls.__name__}.handle yields: hand entities to live.port.upsert")


@dataclass(frozen=True)
class LiveSpec:
    """A live handler, the name of its class, and its attributes when it was built.

    Our actors read them here, so they never see what its methods do to them later.
    """

    handler: LiveHandler
    name: str
    path: str
    capacity: int
    capacity_bytes: int
    workers: int
    attempts: int
    backoff: Backoff
    timeout: float


LiveHandlerFactory = Callable[[], LiveHandler]
"""A LiveHandler class, or a `functools.partial` of one."""


def split_handlers(
    factories: Sequence[Callable[[], OtherT] | LiveHandlerFactory],
) -> tuple[list[Callable[[], OtherT]], list[LiveHandlerFactory]]:
    """Returns the factories of other handlers, and those of live handlers.

    Raises TypeError unless `factories` can be listed.
    """
    if isinstance(factories, str) or not isinstance(factories, Iterable):
        raise TypeError(f"handlers: expected a list, got {one_line(factories, 80)}")
    others: list[Any] = []
    live: list[Any] = []
    for factory in factories:
        (live if _is_live(factory) else others).append(factory)
    return others, live


def _is_live(factory: object) -> bool:
    made = _unwrapped(factory)
    return isinstance(made, type) and issubclass(made, LiveHandler)


def built_handlers(factories: Sequence[LiveHandlerFactory]) -> tuple[LiveSpec, ...]:
    """Returns an object of each handler, with its attributes.

    Raises LiveHandlerError, which names the class, for one that cannot be built or used, and for
    a path that two have.
    """
    specs: dict[str, LiveSpec] = {}
    for factory in factories:
        spec = _built(factory)
        first = specs.setdefault(spec.path, spec)
        if first is not spec:
            names = sorted((first.name, spec.name))
            raise LiveHandlerError(
                f"handlers: {names[0]} and {names[1]} have the same path {spec.path!r}"
            )
    return tuple(specs.values())


def _built(factory: LiveHandlerFactory) -> LiveSpec:
    made: Any = _unwrapped(factory)
    name = one_line(made.__name__, 80)
    if inspect.isabstract(made):
        raise LiveHandlerError(f"handlers: {name} is abstract: it has no method handle(call, live)")
    try:
        return _spec(factory(), name)
    except KeyboardInterrupt:
        raise
    except LiveHandlerError as error:
        raise LiveHandlerError(f"handlers: {name}.{error}") from None
    except BaseException as error:  # user code may raise anything
        raise LiveHandlerError(f"handlers: {name} cannot be built: {one_line(error)}") from error


def _spec(handler: LiveHandler, name: str) -> LiveSpec:
    """Returns the attributes as plain values: a subclass of `str` or `int` may define anything."""
    given: object = getattr(handler, "path", None)
    path = str.__str__(given) if isinstance(given, str) else ""
    if PATH.fullmatch(path) is None or _climbs(path):
        raise LiveHandlerError(
            "path: expected letters, digits and -._~/, without a leading slash, as in 'tracker', "
            f"not {one_line(given, 80)!r}"
        )
    backoff: object = handler.backoff
    if type(backoff) is not Backoff:  # the `delay` of a subclass would run in an actor of ours
        raise LiveHandlerError(f"backoff: expected a Backoff, not {one_line(backoff)}")
    timeout: object = handler.timeout
    seconds = float(timeout) if isinstance(timeout, int | float) else 0.0
    if not 0 < seconds < float("inf"):
        raise LiveHandlerError(f"timeout: expected seconds above 0, not {one_line(timeout)}")
    return LiveSpec(
        handler=handler,
        name=name,
        path=path,
        capacity=_count(handler, "capacity"),
        capacity_bytes=_count(handler, "capacity_bytes"),
        workers=_count(handler, "workers"),
        attempts=_count(handler, "attempts"),
        backoff=backoff,
        timeout=seconds,
    )


def _count(handler: LiveHandler, name: str) -> int:
    given: object = getattr(handler, name)
    number = int.__index__(given) if isinstance(given, int) and not isinstance(given, bool) else 0
    if number < 1:
        raise LiveHandlerError(f"{name}: expected a whole number above 0, not {one_line(given)}")
    return number


def _climbs(path: str) -> bool:
    return any(part in {".", ".."} for part in path.split("/"))


def _unwrapped(factory: object) -> object:
    while isinstance(factory, functools.partial):
        factory = factory.func
    return factory
