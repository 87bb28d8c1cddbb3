"""The whole of one integration: what is started, in which order, and how it ends."""

from __future__ import annotations

import functools
import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ocean_actors.actors import ActorSystem, Backoff, CancelToken, Clock, Ref, SystemClock, handles
from ocean_actors.actors.actor import Actor as AnyActor
from ocean_actors.context import Actor, IntegrationContext
from ocean_actors.listeners.once import OnceListener
from ocean_actors.listeners.polling import PollingListener
from ocean_actors.listeners.schedule import ScheduleListener
from ocean_actors.messages import (
    CoordinatorStopped,
    IntegrationRegistered,
    Policy,
    ReportsFlushed,
    ResyncRequested,
    RunInfo,
)
from ocean_actors.port.client import PortClient
from ocean_actors.port.entities import EntityWriter
from ocean_actors.port.integration import IntegrationActor, Register
from ocean_actors.port.reporter import FlushReports, Reporter
from ocean_actors.port.reports import Schedule
from ocean_actors.resync.client import ResyncClient
from ocean_actors.resync.coordinator import ResyncCoordinator
from ocean_actors.resync.handlers import HandlerFactory, named_handlers
from ocean_actors.settings import (
    KafkaSettings,
    OnceSettings,
    PollingSettings,
    Settings,
    WebhookSettings,
)
from ocean_actors.text import one_line

if TYPE_CHECKING:
    from typing_extensions import Self

    from ocean_actors.listeners.webhook.setup import Webhook, WsgiApp

logger = logging.getLogger(__name__)

PORT_BACKOFF = Backoff(initial=0.5, maximum=60.0)
FLUSH_SECONDS = 1.0  # for the last report, at the end
SIGNAL_SECONDS = 1.0  # a signal that just misses the waiting thread is handled at the next turn
STOP_SECONDS = 1.0  # for all actors, at the end; the coordinator has `resync.abortGrace` more

ActorSpec = Callable[[], Actor]
"""A custom actor: its class, or a `functools.partial` of its class that holds the arguments."""


class OceanSystem:
    """One integration at work: listeners, coordinator, handlers and what reports to Port.

    `handlers` are `ResyncHandler` classes, `functools.partial`s of them, or callables without
    arguments that make one; TypeError says what is wrong with others. `actors` are classes of
    custom actors, or `functools.partial`s of them. With `serve_http=False` the web application
    is not served here: mount `wsgi_app` yourself. `clock` and `seed` are for tests; `debug`
    checks every message to be immutable.

    Safe to use from any thread. It starts once and stops once; `with` does both.
    """

    def __init__(
        self,
        settings: Settings,
        handlers: Sequence[HandlerFactory],
        actors: Sequence[ActorSpec] = (),
        *,
        serve_http: bool = True,
        clock: Clock | None = None,
        debug: bool = False,
        seed: int | None = None,
    ) -> None:
        self.settings = settings
        self.exit_code = 0
        self.cause: str | None = None
        self._handlers = named_handlers(handlers)
        self._custom = [_parts(spec) for spec in actors]
        self._own_clock = clock is None
        self._resync = ResyncClient()
        self._actors = ActorSystem(
            clock=clock or SystemClock(),
            on_fatal=self._on_fatal,
            context=functools.partial(IntegrationContext, resync=self._resync, integration=self),
            debug=debug,
            seed=seed,
        )
        self._started = False
        self._registered = threading.Event()
        self._coordinator_stopped = threading.Event()
        self._reports_flushed = threading.Event()
        self._stopping = threading.Lock()  # taken once, by the first who has it stopped
        self._stopped = threading.Event()
        self._cancel = CancelToken()  # of all clients of Port
        self._clients: list[PortClient] = []
        self._port = PortClient(settings.port, settings.integration, clock=self._actors.clock)
        self._webhook = self._make_webhook(serve_http=serve_http)
        self._reporter: Ref | None = None
        self._left_behind: list[str] = []

    # -- life --------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything, and return; Port need not be reachable.

        Raises RuntimeError if it was started before.
        """
        if self._started:
            raise RuntimeError("an OceanSystem starts once: make a new one")
        self._started = True
        try:
            self._spawn_all()
        except BaseException as error:  # Ctrl-C among them
            if isinstance(error, RuntimeError) and self._stopping.locked():
                return  # one of the first has had it stopped, so no more actors can be started
            self.stop()
            raise

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the system has stopped, by whomever; whether it has.

        Without a `timeout` (seconds) for as long as it takes. `exit_code` and `cause` say then
        how it ended. The library takes no signals: an exception that a signal's handler raises
        in the waiting thread, as KeyboardInterrupt, comes through.
        """
        if timeout is not None:
            return self._stopped.wait(timeout)
        while not self._stopped.wait(SIGNAL_SECONDS):
            pass
        return True

    def shutdown(self, exit_code: int = 0, cause: str | None = None) -> None:
        """Have the system stopped, in a thread of its own; returns at once.

        The first call counts: its `exit_code` and `cause` are the system's.
        """
        if self._stopping.acquire(blocking=False):
            self.exit_code, self.cause = exit_code, cause
            threading.Thread(target=self._stop, name="shutdown", daemon=True).start()

    def stop(self) -> bool:
        """Stop and wait for it, within `resync.abortGrace` and a few seconds; whether all ended.

        A run in flight is aborted and reported as aborted. Threads that do not end (a handler
        that ignores the abort) are named in the log and left behind; they are daemons.
        """
        self.shutdown()
        grace = self.settings.resync.abort_grace
        return self.wait(grace + FLUSH_SECONDS + 3 * STOP_SECONDS) and not self._left_behind

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    # -- use ---------------------------------------------------------------------------------

    def request_resync(self, reason: str = "manual", *, policy: Policy | None = None) -> str:
        """Request a resync, with `manual` as its trigger; returns the request's id at once.

        `policy` says what the request does to a run in flight; default: `resync.onNewRequest`.
        Raises ValueError for an unknown policy, RuntimeError unless the system is running,
        MailboxFull if it is flooded.
        """
        if self._stopping.locked():
            raise RuntimeError("the OceanSystem is stopped, or about to be")
        request = ResyncRequested(
            reason=reason,
            trigger="manual",
            requested_at=self._actors.clock.now(),
            policy=policy,
        )
        self._resync.submit(request)
        return request.id

    def status(self) -> dict[str, Any]:
        """Everything an operator asks for, as plain JSON-able data without secrets.

        `leftBehind` names the threads of handlers that were fenced off and have not ended, and
        at the end whatever else has not. Waits for the coordinator a second at most; what it did
        not say is None then.
        """
        actors = self._actors.snapshot()
        fenced = [actor["name"] for actor in actors if actor["state"] == "abandoned"]
        return {
            "integration": self.settings.integration.identifier,
            "listener": self.settings.event_listener.type,
            "registered": self._registered.is_set(),
            "stopped": self._stopped.is_set(),
            "exitCode": self.exit_code,
            "cause": self.cause,
            "resync": self._resync.status(),
            "actors": actors,
            "deadLetters": dict(self._actors.dead_letters.counts),
            "leftBehind": self._left_behind or fenced,
        }

    def log_state(self) -> None:
        """Log a line for every actor: what it is at, what waits, how often it failed."""
        self._actors.log_state()

    @property
    def wsgi_app(self) -> WsgiApp:
        """The web application of the WEBHOOK listener, to be mounted in a server of your own.

        It answers 503 until the system is started. Raises RuntimeError for other listeners.
        """
        if self._webhook is None:
            raise RuntimeError("there is a web application only with eventListener.type: WEBHOOK")
        return self._webhook.app

    # -- parts -------------------------------------------------------------------------------

    def _spawn_all(self) -> None:
        settings, spawn = self.settings, self._actors.spawn
        logger.info(
            "integration %s starts, listening by %s",
            settings.integration.identifier, settings.event_listener.type,
        )  # fmt: skip
        spawn(  # the first, as all others may end it all
            ListenerSupervisor,
            self._registered, self._coordinator_stopped, self._reports_flushed, self._listeners(),
            name="listener-supervisor",
        )  # fmt: skip
        integration = spawn(
            IntegrationActor,
            self._client(), self._destination(), PORT_BACKOFF,
            before_asking=_nothing if self._webhook is None else self._webhook.config_asked,
            requests=isinstance(settings.event_listener, PollingSettings | WebhookSettings),
            name="integration",
        )  # fmt: skip
        self._reporter = spawn(
            Reporter, self._client(), self._schedule(), PORT_BACKOFF, name="reporter"
        )
        coordinator = spawn(
            ResyncCoordinator,
            self._handlers, settings.resync, integration, self._reporter, self._open_writer,
            uuid.uuid4().hex[:8],
            active=not isinstance(settings.event_listener, KafkaSettings),
            name="coordinator",
        )  # fmt: skip
        self._resync.connect(coordinator)
        for actor_class, args, keywords in self._custom:
            self._actors.spawn_child(None, actor_class, args, keywords, None)
        if self._webhook is not None:  # before Port knows us: it may call as soon as it does
            self._webhook.spawn(self._actors, self._client())
        integration.tell(Register())  # the last, so that nobody misses an event

    def _destination(self) -> dict[str, str] | None:
        """Where Port is to send the integration's changes; None leaves that to others."""
        match self.settings.event_listener:
            case PollingSettings():
                return {}
            case KafkaSettings():
                return {"type": "KAFKA"}
            case WebhookSettings(app_host=host):
                return {"type": "WEBHOOK", "url": f"{host}/resync"}
            case OnceSettings():
                return None

    def _listeners(self) -> list[Callable[[IntegrationContext], Ref]]:
        """What spawns the listeners, once Port knows the integration."""
        settings = self.settings
        spawns: list[Callable[[IntegrationContext], Ref]] = []

        def add(actor_class: type[Actor], name: str, *args: Any) -> None:
            spawns.append(lambda context: context.spawn(actor_class, *args, name=name))

        match settings.event_listener:
            case PollingSettings() as polling:
                add(PollingListener, "polling", self._client(), polling)
            case OnceSettings():
                add(OnceListener, "once")
            case KafkaSettings() as kafka:
                from ocean_actors.listeners.kafka.listener import KafkaListener

                started_at = self._actors.clock.now()
                add(
                    KafkaListener, "kafka",
                    self._client(), kafka, settings.integration, started_at,
                )  # fmt: skip
        if settings.scheduled_resync_interval is not None:
            anchor = self._actors.clock.monotonic()
            minutes = settings.scheduled_resync_interval
            policy = settings.resync.on_scheduled_resync
            add(ScheduleListener, "schedule", minutes, anchor, policy.value)
        return spawns

    def _make_webhook(self, *, serve_http: bool) -> Webhook | None:
        if not isinstance(self.settings.event_listener, WebhookSettings):
            return None
        from ocean_actors.listeners.webhook.setup import Webhook

        return Webhook(
            self.settings.event_listener,
            self.settings,
            offer=self._resync.offer,
            reached=self._registered.is_set,
            clock=self._actors.clock,
            serve_http=serve_http,
        )

    def _client(self) -> PortClient:
        client = self._port.clone(token=self._cancel)
        self._clients.append(client)
        return client

    def _schedule(self) -> Schedule | None:
        minutes = self.settings.scheduled_resync_interval
        return None if minutes is None else Schedule(self._actors.clock.now(), minutes)

    def _open_writer(self, run: RunInfo, token: CancelToken) -> EntityWriter:
        return EntityWriter(self._port.clone(token=token), run, tuple(self._handlers))

    # -- the end -----------------------------------------------------------------------------

    def _on_fatal(self, name: str, error: BaseException) -> None:
        self.shutdown(1, f"actor {name} failed: {one_line(error)}")

    def _stop(self) -> None:
        """In its own thread: the run first, then its last report, then everybody."""
        try:
            if self._resync.stop():
                grace = self.settings.resync.abort_grace
                self._coordinator_stopped.wait(grace + STOP_SECONDS)
            if self._reporter is not None and self._reporter.is_alive():
                self._reporter.tell(FlushReports())
                self._reports_flushed.wait(FLUSH_SECONDS)
            self._left_behind = self._actors.stop(
                STOP_SECONDS, wake=lambda: self._cancel.cancel("stopping")
            )
            for client in (*self._clients, self._port):
                client.close()
            if self._left_behind:
                logger.warning("left behind, as they do not end: %s", ", ".join(self._left_behind))
            if self._own_clock:
                self._actors.clock.close()
            if self.cause is None:
                logger.info("integration %s stopped", self.settings.integration.identifier)
            else:
                logger.error(
                    "integration %s stopped: %s",
                    self.settings.integration.identifier, self.cause,
                )  # fmt: skip
        finally:
            self._stopped.set()


def _nothing() -> None:
    """Nobody wants to know."""


class ListenerSupervisor(Actor):
    """Starts the listeners once Port knows the integration, and says when the work is over."""

    subscribes_to = (IntegrationRegistered, CoordinatorStopped, ReportsFlushed)

    def __init__(
        self,
        registered: threading.Event,
        coordinator_stopped: threading.Event,
        reports_flushed: threading.Event,
        listeners: list[Callable[[IntegrationContext], Ref]],
    ) -> None:
        super().__init__()
        self._registered = registered
        self._coordinator_stopped = coordinator_stopped
        self._reports_flushed = reports_flushed
        self._listeners = listeners

    def on_start(self) -> None:
        """Begin; if this is another life, with the listeners."""
        if self._registered.is_set():
            self._spawn_listeners()

    @handles(IntegrationRegistered)
    def on_registered(self, _event: IntegrationRegistered) -> None:
        """Start listening."""
        if not self._registered.is_set():
            self._registered.set()
            self._spawn_listeners()

    @handles(CoordinatorStopped)
    def on_coordinator_stopped(self, _event: CoordinatorStopped) -> None:
        """Tell the thread that stops the system."""
        self._coordinator_stopped.set()

    @handles(ReportsFlushed)
    def on_reports_flushed(self, _event: ReportsFlushed) -> None:
        """Tell it that as well."""
        self._reports_flushed.set()

    def _spawn_listeners(self) -> None:
        for spawn in self._listeners:
            spawn(self.context)


def _parts(spec: ActorSpec) -> tuple[type[AnyActor], tuple[Any, ...], dict[str, Any]]:
    """The class of a custom actor and what it is built from, in each of its lives."""
    actor_class: Any = spec
    args: tuple[Any, ...] = ()
    keywords: dict[str, Any] = {}
    if isinstance(spec, functools.partial):
        actor_class, args, keywords = spec.func, spec.args, spec.keywords
    if not (isinstance(actor_class, type) and issubclass(actor_class, AnyActor)):
        raise TypeError(
            f"actors: expected Actor classes, or functools.partials of them, not {spec}"
        )
    return actor_class, args, keywords
