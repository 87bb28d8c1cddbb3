"""One integration at work: what is started, in which order, and how it ends."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import pykka

from ocean_actors import endpoint
from ocean_actors._version import __version__
from ocean_actors.actors import (
    ActorSystem,
    Backoff,
    CancelToken,
    Clock,
    Message,
    Ref,
    SystemClock,
)
from ocean_actors.context import ActorSpec, IntegrationContext, actor_parts
from ocean_actors.endpoint import HttpEndpoint
from ocean_actors.listeners.schedule import ScheduleListener
from ocean_actors.listeners.spec import Listener, Services, WsgiApp, listener_spec
from ocean_actors.listeners.supervisor import ListenerSupervisor
from ocean_actors.log import get_logger
from ocean_actors.messages import Policy, ResyncRequested, RunInfo
from ocean_actors.metrics.snapshot import SystemMetrics, actor_metrics
from ocean_actors.port.client import PortClient
from ocean_actors.port.entities import EntityWriter
from ocean_actors.port.integration import IntegrationActor, Register
from ocean_actors.port.kind_metrics import Source
from ocean_actors.port.log_shipper import LogShipper
from ocean_actors.port.reporter import FlushReports, Reporter
from ocean_actors.port.reports import Schedule
from ocean_actors.port.sync_metrics import TIMEOUT as PAGE_TIMEOUT
from ocean_actors.port.sync_metrics import Flush, SyncMetrics
from ocean_actors.resync.client import ResyncClient
from ocean_actors.resync.coordinator import ResyncCoordinator
from ocean_actors.resync.generation import ConfigGeneration
from ocean_actors.resync.handlers import HandlerFactory, named_handlers
from ocean_actors.session import Timeout
from ocean_actors.settings import Settings
from ocean_actors.text import one_line
from ocean_actors.web.endpoint import EndpointApp
from ocean_actors.web.health import Health, judge
from ocean_actors.web.log import WebLog

if TYPE_CHECKING:
    from typing_extensions import Self

    from ocean_actors.control.adapter import Steerable
    from ocean_actors.control.setup import Control
    from ocean_actors.metrics.collector import SystemCollector

logger = get_logger(__name__)

PORT_BACKOFF = Backoff(initial=0.5, maximum=60.0)
FLUSH_SECONDS = 1.0  # for what is still to be sent to Port, at the end
SIGNAL_SECONDS = 1.0  # a signal that just misses the waiting thread is handled at the next turn
HTTP_STOP_SECONDS = 0.5  # for calls in flight; the coordinator, which they wait for, has stopped
CONTROL_SECONDS = 0.5  # for calls to the control server that are in flight at the end
STOP_SECONDS = 1.0  # for all actors, at the end; the coordinator has `resync.abortGrace` more


class OceanSystem:
    """One integration at work: listeners, coordinator, handlers and what reports to Port.

    `handlers` are `ResyncHandler` classes, `functools.partial`s of them, or callables without
    arguments that make one; TypeError says what is wrong with others. `actors` are classes of
    custom actors, or `functools.partial`s of them. `serve_http` says whether `wsgi_app` is served
    on `http.host` and `http.port`: by default under WEBHOOK, and if the settings name anything
    in `http`. With False, mount it yourself. `serve_control` says whether the
    control server is started, unless `control.enabled` is false: by default if the settings name
    anything in `control`. `clock` and `seed` are for tests; `debug` checks
    every message to be immutable.

    Safe to use from any thread. It starts once and stops once; `with` does both.
    """

    def __init__(
        self,
        settings: Settings,
        handlers: Sequence[HandlerFactory],
        actors: Sequence[ActorSpec] = (),
        *,
        serve_http: bool | None = None,
        serve_control: bool | None = None,
        clock: Clock | None = None,
        debug: bool = False,
        seed: int | None = None,
    ) -> None:
        self.settings = settings
        self.exit_code = 0
        self.cause: str | None = None
        self._handlers = named_handlers(handlers)
        self._custom = [actor_parts(spec) for spec in actors]
        self._custom_names: frozenset[str] = frozenset()
        self._own_clock = clock is None
        self._generation = ConfigGeneration()
        self._resync = ResyncClient(self._generation)
        self._actors = ActorSystem(
            clock=clock or SystemClock(),
            on_fatal=self._on_fatal,
            context=functools.partial(IntegrationContext, resync=self._resync, integration=self),
            debug=debug,
            seed=seed,
        )
        self._started = False
        self._started_at: datetime | None = None
        self._registered = threading.Event()
        self._stop_requested = threading.Event()
        self._stop_lock = threading.Lock()  # taken once, by the first who requests the stop
        self._stopped = threading.Event()
        self._stopper = threading.Thread(target=self._stop_when_asked, name="stopper", daemon=True)
        self._cancel = CancelToken()  # of all clients of Port
        self._clients: list[PortClient] = []
        self._port = PortClient(
            settings.port,
            settings.integration,
            clock=self._actors.clock,
            strict=settings.ssl.port.x509.strict,
        )
        self._spec = listener_spec(settings.event_listener.type)
        self._listener: Listener = self._spec.build(settings.event_listener, self._services())
        listens = self._listener.app is not None
        log = WebLog(self._actors.clock)
        self._app = EndpointApp(
            self._health,
            log,
            metrics=self.metrics if endpoint.has_metrics(settings.http, listens=listens) else None,
            mounted=self._listener.app,
        )
        self._flushed_last: list[tuple[Ref, Callable[[pykka.Future[None]], Message]]] = []
        self._http: HttpEndpoint | None = None
        if endpoint.is_served(serve_http, settings.http, listens=listens):
            self._http = HttpEndpoint(settings.http, self._app, log, listens=listens)
        self._control = self._make_control(serve_control)
        self._left_behind: list[str] = []

    # -- life --------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything and return; Port need not be reachable.

        If a port to be served on is in use, the system ends with exit code 1. Raises RuntimeError
        if the system was started before.
        """
        if self._started:
            raise RuntimeError("an OceanSystem starts once: make a new one")
        self._started = True
        self._started_at = self._actors.clock.now()
        try:
            self._stopper.start()  # the first: a system that cannot start threads can still stop
            if self._control is not None:
                self._control.server.start()  # before the rest, as its port may be taken
            if self._open_http():
                self._spawn_all()
        except BaseException as error:  # Ctrl-C among them
            if isinstance(error, RuntimeError) and self._stop_requested.is_set():
                return  # an actor has had the system stopped, so no more actors can be started
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
        if not self._stop_lock.acquire(blocking=False):  # a signal may call it within itself
            return
        self.exit_code, self.cause = exit_code, cause
        self._stop_requested.set()
        if self._stopper.ident is None:  # it was never started: nothing runs yet
            self._stop()

    def stop(self) -> bool:
        """Stop and wait for it, within `resync.abortGrace` and a few seconds; whether all ended.

        A run in flight is aborted and reported as aborted. Threads that do not end (a handler
        that ignores the abort) are named in the log and left behind; they are daemons.
        """
        if self._actors.forked:
            return True  # nothing of it runs in this process
        self.shutdown()
        grace = self.settings.resync.abort_grace
        bound = grace + FLUSH_SECONDS + 3 * STOP_SECONDS + CONTROL_SECONDS
        return self.wait(bound) and not self._left_behind

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
        if self._stop_requested.is_set():
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
        started_at = self._started_at
        return {
            "integration": self.settings.integration.identifier,
            "version": __version__,
            "startedAt": None if started_at is None else started_at.isoformat(),
            "now": self._actors.clock.now().isoformat(),
            "listener": self.settings.event_listener.type,
            "listening": _listening(actors, self._spec.name.lower()),
            "registered": self._registered.is_set(),
            "stopped": self._stopped.is_set(),
            "exitCode": self.exit_code,
            "cause": self.cause,
            "resync": None if self._actors.forked else self._resync.status(),
            "actors": actors,
            "deadLetters": dict(self._actors.dead_letters.counts),
            "leftBehind": self._left_behind or fenced,
        }

    def metrics(self) -> tuple[bytes, str]:
        """Returns all metrics in Prometheus' text format, and its content type.

        Waits for the coordinator a second at most; what it did not say is missing then.
        docs/observability.md explains each metric.
        """
        return self.collector.exposition()

    @property
    def collector(self) -> SystemCollector:
        """The metrics as a prometheus-client collector, for a registry of your own.

        Give the collector of several systems, `SystemCollector(first, second)`, to one registry.
        """
        from ocean_actors.metrics.collector import SystemCollector

        return SystemCollector(self)

    def measure(self) -> SystemMetrics:
        """Returns the values of all metrics now; see `metrics`."""
        return SystemMetrics(
            identifier=self.settings.integration.identifier,
            type=self.settings.integration.type,
            listener=self._spec.name,
            version=__version__,
            resync=None if self._actors.forked else self._resync.metrics(),
            calls=self._port.calls,
            restarts=self._actors.restarts.counts,
            dead_letters=sum(self._actors.dead_letters.counts.values()),
            left_behind=len(self._left_behind or self._actors.left_behind()),
            **actor_metrics(self._actors.snapshot(), listener=self._spec.name.lower()),
        )

    def log_state(self) -> None:
        """Log a line for every actor: what it is at, what waits, how often it failed."""
        self._actors.log_state()

    @property
    def control_url(self) -> str | None:
        """The address of the control server; None if this system has none."""
        return None if self._control is None else self._control.server.url

    @property
    def wsgi_app(self) -> WsgiApp:
        """The system's web application, to be mounted in a server of your own.

        It serves `GET /health/live` and `GET /health/ready`, `GET /metrics` as `http.metrics`
        says, and what the listener serves: `POST /resync` under WEBHOOK. It may be called at any
        time; unless the system works, it is not ready and answers `POST /resync` with 503.
        """
        return self._app

    @property
    def http_url(self) -> str | None:
        """The address at which `wsgi_app` is served on this machine; None if it is not served."""
        return None if self._http is None else self._http.url

    # -- parts -------------------------------------------------------------------------------

    def _spawn_all(self) -> None:
        settings, spawn = self.settings, self._actors.spawn
        listeners = {self._listener_name: self._listener}
        logger.info(
            "integration %s starts, listening by %s",
            settings.integration.identifier, self._spec.name,
        )  # fmt: skip
        spawn(
            ListenerSupervisor,
            self._registered,
            {**listeners, **self._schedule_listener()},
            name="listener-supervisor",
        )
        integration = spawn(
            IntegrationActor,
            self._client(),
            self._spec.destination(settings.event_listener),
            PORT_BACKOFF,
            requests=self._spec.answers_requests,
            start_timeout=settings.start_timeout if self._spec.job else None,
            name="integration",
        )
        reporter = spawn(Reporter, self._client(), self._schedule(), PORT_BACKOFF, name="reporter")
        self._flushed_last.append((reporter, FlushReports))
        sync_metrics = self._spawn_page_actors()
        coordinator = spawn(
            ResyncCoordinator,
            self._handlers,
            settings.resync,
            integration,
            reporter,
            self._open_writer,
            uuid.uuid4().hex[:8],
            active=not self._spec.standby,
            sync_metrics=sync_metrics,
            generation=self._generation,
            strict_tls=settings.ssl.third_party.x509.strict,
            name="coordinator",
        )
        self._resync.connect(coordinator)
        if self._control is not None:
            spawn(self._control.actor, *self._control.args, name="event-recorder")
        for actor_class, args, keywords in self._custom:
            ref = self._actors.spawn_child(None, actor_class, args, keywords, None)
            self._custom_names |= {ref.name}
        integration.tell(Register())  # the last, so that nobody misses an event

    def _spawn_page_actors(self) -> Ref:
        """Start what Port's page of the integration is told by; returns the one for runs."""
        settings = self.settings
        if settings.port.ship_logs:
            shipper = self._actors.spawn(LogShipper, self._client(PAGE_TIMEOUT), name="log-shipper")
            self._flushed_last.append((shipper, Flush))
        source = Source(settings.integration.identifier, settings.integration.type, __version__)
        kinds = {name: handler.kinds for name, handler in self._handlers.items()}
        sync_metrics = self._actors.spawn(
            SyncMetrics, self._client(PAGE_TIMEOUT), source, kinds, name="sync-metrics"
        )
        self._flushed_last.append((sync_metrics, Flush))
        return sync_metrics

    @property
    def _listener_name(self) -> str:
        return self._spec.name.lower()

    def _open_http(self) -> bool:
        """Serve the endpoint before Port is told to call; returns False if the system ends."""
        if self._http is not None:
            try:
                self._http.start()
            except OSError as error:
                self.shutdown(1, str(error))
                return False
        return True

    def _health(self) -> Health:
        """What probes are told; from any thread, and in forked processes."""
        working = (
            self._resync.connected and not self._stop_requested.is_set() and not self._actors.forked
        )
        return judge(
            () if self._actors.forked else self._actors.snapshot(),
            listener=self._listener_name,
            custom=self._custom_names,
            working=working,
            failed=self._stopped.is_set() and self.exit_code != 0,
            port=self._registered.is_set(),
            standby=self._spec.standby,
        )

    def _services(self) -> Services:
        return Services(
            settings=self.settings,
            client=self._client,
            resync=self._resync,
            clock=self._actors.clock,
            started_at=self._actors.clock.now(),
        )

    def _make_control(self, wanted: bool | None) -> Control | None:
        settings = self.settings
        named = "control" in settings.model_fields_set
        if not settings.control.enabled or not (named if wanted is None else wanted):
            return None
        from ocean_actors.control.setup import control  # imports the web server

        kinds = dict.fromkeys(kind for handler in self._handlers.values() for kind in handler.kinds)
        return control(
            settings,
            cast("Steerable", self),
            tuple(kinds),
            lambda: (self._actors.snapshot(), self._actors.dead_letters.counts),
            self._actors.clock,
            self.metrics,
        )

    def _schedule_listener(self) -> dict[str, Listener]:
        """The scheduled resync, beside whichever listener is configured."""
        minutes = self.settings.scheduled_resync_interval
        if minutes is None:
            return {}
        anchor = self._actors.clock.monotonic()
        policy = self.settings.resync.on_scheduled_resync
        return {"schedule": Listener(ScheduleListener, (minutes, anchor, policy.value))}

    def _client(self, timeout: Timeout | None = None) -> PortClient:
        client = self._port.clone(token=self._cancel, timeout=timeout)
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

    def _stop_when_asked(self) -> None:
        """The stopper's thread, which exists from the start: later none may be to be had."""
        self._stop_requested.wait()
        self._stop()

    def _stop(self) -> None:
        """Stop the run first, then send its last report, then stop everybody."""
        try:
            self._resync.stop(self.settings.resync.abort_grace + STOP_SECONDS)
            self._flush()
            self._left_behind = self._actors.stop(
                STOP_SECONDS, wake=lambda: self._cancel.cancel("stopping")
            )
            if self._http is not None:
                self._http.stop(HTTP_STOP_SECONDS)
            for client in (*self._clients, self._port):
                client.close()
            if self._own_clock:
                self._actors.clock.close()
            self._log_end()
            if self._control is not None:  # the last, so that the dashboard shows the end
                self._control.server.stop(CONTROL_SECONDS)
        finally:
            self._stopped.set()

    def _flush(self) -> None:
        """Have the last reports, metrics and lines of the log sent, if Port answers in time."""
        waiting = []
        for ref, flush in self._flushed_last:
            if ref.is_alive():
                flushed: pykka.Future[None] = pykka.ThreadingFuture()
                ref.tell(flush(flushed))
                waiting.append(flushed)
        until = time.monotonic() + FLUSH_SECONDS
        with contextlib.suppress(pykka.Timeout):
            for flushed in waiting:
                flushed.get(timeout=max(0.0, until - time.monotonic()))

    def _log_end(self) -> None:
        identifier = self.settings.integration.identifier
        if self._left_behind:
            logger.warning(
                "integration %s: threads left behind, as they did not end: %s",
                identifier, ", ".join(self._left_behind),
            )  # fmt: skip
        if self.cause is None:
            logger.info("integration %s stopped", identifier)
        else:
            logger.error("integration %s stopped: %s", identifier, self.cause)


def _listening(actors: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """Returns what the listener's actor shows, and its state.

    That is the listener's own if it shows one (`standby`), else its actor's; None without an actor.
    """
    listener = next((actor for actor in actors if actor["name"] == name), None)
    if listener is None:
        return {"state": None}
    state, details = listener["state"], listener["details"]
    return {"state": state, **details} if state == "running" else {**details, "state": state}
