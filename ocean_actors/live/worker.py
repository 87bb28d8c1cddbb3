"""The actor that runs a live handler's `handle`, one event at a time."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ocean_actors.actors import Actor, CancelToken, Clock, Message, OnFailure, Supervision, handles
from ocean_actors.errors import OceanError
from ocean_actors.frozen import EMPTY, FrozenDict
from ocean_actors.live.call import LiveCall
from ocean_actors.live.handler import LiveSpec
from ocean_actors.log import LogContext, RunLogger, get_logger, logging_context
from ocean_actors.mapping.resources import PortMapping, Resource
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.live_port import LiveEventPort
from ocean_actors.port.live_writes import LiveWrites
from ocean_actors.resync.awaiting import awaited
from ocean_actors.resync.handler_actor import end_if_forked
from ocean_actors.resync.handlers import RetryLater, retry_after
from ocean_actors.settings import Settings
from ocean_actors.text import one_line
from ocean_actors.throttle import Throttle
from ocean_actors.web.log import stack_of

if TYPE_CHECKING:
    from ocean_actors.session import CancellableSession


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed, as one line, and the frames of an error that does not explain itself.

    `lasting`: a retry cannot help. `after`: the handler asked to be called again in so many
    seconds.
    """

    text: str
    stack: str = ""
    lasting: bool = False
    after: float | None = None


@dataclass(frozen=True)
class HandleCall(Message):
    """To a worker: handle the event `number`; `token` is cancelled when its time is over."""

    slot: int
    number: int
    call: LiveCall
    token: CancelToken


@dataclass(frozen=True)
class CallHandled(Message):
    """From a worker: the attempt is over; `failure` is None if it succeeded."""

    slot: int
    number: int
    failure: Failure | None


class KnownConfig:
    """The newest config of the integration that is known. Routers write it, workers read it."""

    def __init__(self) -> None:
        self.value: FrozenDict = EMPTY


@dataclass(frozen=True)
class LiveServices:
    """What the live handlers of a system share.

    `client` makes a client of Port that ends with a token.
    """

    settings: Settings
    clock: Clock
    client: Callable[[CancelToken], PortClient]
    writes: LiveWrites
    config: KnownConfig


class LiveTools:
    """The `Live` of one worker, with its connections: they are kept from event to event."""

    def __init__(self, services: LiveServices, token: CancelToken, logger: RunLogger) -> None:
        self.token = token
        self.settings = services.settings
        self.logger = logger
        self._clock = services.clock
        self._client = services.client(token)
        self._session: CancellableSession | None = None
        self._config = services.config
        self._mapping: tuple[Mapping[str, Any], PortMapping] | None = None
        self.port = LiveEventPort(
            self._client, services.writes, lambda: services.config.value, Throttle(services.clock)
        )

    @property
    def session(self) -> CancellableSession:
        """A session for the third-party system's API."""
        if self._session is None:
            from ocean_actors.session import CancellableSession

            strict = self.settings.ssl.third_party.x509.strict
            self._session = CancellableSession(self.token, clock=self._clock, strict=strict)
        return self._session

    def resources(self, kind: str) -> tuple[Resource, ...]:
        """Returns the entries for a kind in the mapping of the newest run."""
        config = self._config.value
        if not config:
            raise RetryLater(1.0, "Port's mapping is not known before the first run")
        if self._mapping is None or self._mapping[0] is not config:
            self._close_mapping()
            self._mapping = config, PortMapping(config, self.token, self._clock, self.logger)
        return self._mapping[1].resources(kind)

    def check(self) -> None:
        """Raises Cancelled if the event's time is over."""
        self.token.check()

    def close(self) -> None:
        """Close the connections, and end the process that evaluates the mapping."""
        self._close_mapping()
        self._client.close()
        if self._session is not None:
            self._session.close()

    def _close_mapping(self) -> None:
        if self._mapping is not None:
            self._mapping[1].close()


class LiveWorker(Actor):
    """Calls `handle`. What that raises or returns affects the event only, never the actor."""

    supervision: ClassVar[Supervision] = Supervision(OnFailure.STOP)
    message_bound = None  # the router ends what takes too long

    def __init__(
        self, spec: LiveSpec, services: LiveServices, report: Callable[[CallHandled], None]
    ) -> None:
        super().__init__()
        self._handler = spec.handler
        self._services = services
        self._report = report
        self._tools: LiveTools | None = None
        self._process = os.getpid()
        identifier = services.settings.integration.identifier
        context = LogContext(identifier, None, f"live/{spec.path}", spec.name)
        self._logger = RunLogger(get_logger(f"ocean_actors.live.{spec.path}"), context)

    def on_stop(self) -> None:
        """Close the connections."""
        if self._tools is not None:
            self._tools.close()

    @handles(HandleCall)
    def on_call(self, command: HandleCall) -> None:
        """Handle one event, and tell the router how it went."""
        failure: Failure | None = Failure("failed")
        try:
            with logging_context(self._logger.context):
                error = self._attempt(command)
                end_if_forked(self._process, error)
                failure = None if error is None else _described(error)
        finally:  # the router waits for it
            self._report(CallHandled(command.slot, command.number, failure))

    def _attempt(self, command: HandleCall) -> BaseException | None:
        """Call the user's code. Returns what it raised."""
        try:
            tools = self._tools
            if tools is None or tools.token is not command.token:
                if tools is not None:
                    tools.close()
                tools = self._tools = LiveTools(self._services, command.token, self._logger)
            result = awaited(self._handler.handle(command.call, tools), command.token)
            if isinstance(result, Iterable | AsyncIterable) and not isinstance(result, str | bytes):
                raise TypeError(
                    f"handle returned a {type(result).__name__}, which is not used: hand entities "
                    "to live.port.upsert and return nothing"
                )
            command.token.check()  # an event whose time is over was not handled in time
        except BaseException as error:  # noqa: BLE001  (user code may raise anything)
            return error
        return None


def _described(error: BaseException) -> Failure:
    """Returns what is known of an error, whose own class may raise anything."""
    try:
        ours = isinstance(error, OceanError)
        return Failure(
            one_line(error),
            stack="" if ours else stack_of(error),
            lasting=_is_lasting(error),
            after=retry_after(error),
        )
    except BaseException as odd:  # noqa: BLE001  (raised by the class of the error)
        return Failure(f"an error that cannot be described: {one_line(odd)}")


def _is_lasting(error: BaseException) -> bool:
    """Returns whether a retry cannot help; a certificate or a name may be fixed without us."""
    if isinstance(error, PortError) and error.temporary is True:
        return False
    return isinstance(error, OceanError) and error.lasting is True
