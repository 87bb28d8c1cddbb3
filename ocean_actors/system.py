"""One integration at work: how it starts, what can be asked of it, and how it ends."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ocean_actors import shards
from ocean_actors._version import __version__
from ocean_actors.actors import ActorSystem, Clock, SystemClock
from ocean_actors.actors.event_iterator import (
    MOST_WAITING,
    EventIterator,
    EventIterators,
    EventT,
)
from ocean_actors.assembly import Assembly
from ocean_actors.checked import checked_kinds, checked_parameters
from ocean_actors.context import ActorSpec, IntegrationContext
from ocean_actors.endpoint import HttpEndpoint, has_metrics, is_served
from ocean_actors.live.handler import LiveHandlerFactory, built_handlers, split_handlers
from ocean_actors.log import LogContext, get_logger, logging_context
from ocean_actors.messages import Policy, ResyncRequested
from ocean_actors.metrics.snapshot import SystemMetrics, actor_metrics
from ocean_actors.resync.client import ResyncClient
from ocean_actors.resync.generation import ConfigGeneration
from ocean_actors.resync.handlers import HandlerFactory, named_handlers
from ocean_actors.resync.scope import all_kinds
from ocean_actors.servers import STOP_SECONDS as SERVERS_STOP_SECONDS
from ocean_actors.servers import Servers, is_control_served
from ocean_actors.settings import Settings
from ocean_actors.stoppable import Stoppable
from ocean_actors.text import one_line
from ocean_actors.web.endpoint import EndpointApp
from ocean_actors.web.health import Health, health_of
from ocean_actors.web.log import WebLog
from ocean_actors.web.wsgi import WsgiApp

if TYPE_CHECKING:
    from ocean_actors.control.events import EventRing
    from ocean_actors.control.server import ControlServer
    from ocean_actors.metrics.collector import SystemCollector
    from ocean_actors.ocean.bridge import OceanBridge
    from ocean_actors.port.dry_run import DryRunResult

logger = get_logger(__name__)

FLUSH_SECONDS = 1.0  # for what Port and custom actors are still to hear, at the end
STOP_SECONDS = 1.0  # for all actors, at the end; the coordinator has `resync.abortGrace` more


class OceanSystem(Stoppable):
    """One integration at work: listeners, coordinator, handlers and what reports to Port.

    `handlers` holds at least one `ResyncHandler` class, `functools.partial` of one, or callable
    without arguments that makes one, and any number of `LiveHandler` classes or partials of them.
    Raises TypeError if one is none of these, BlueprintError if a blueprint that they declare
    cannot be used, LiveHandlerError if a live handler cannot be used.

    `actors` are classes of custom actors, or `functools.partial`s of them. `serve_http` says
    whether `wsgi_app` is served on `http.host` and `http.port`: by default if the listener has a
    web application, with live handlers, and if the settings name anything in `http`. With False,
    mount it yourself.
    `serve_control` says whether the control server is started, unless `control.enabled` is false:
    by default if the settings name anything in `control`. `event_ring` keeps the events for a
    control server that shows several systems. `show_dry_run` is called with the result of each
    run if the settings say `resync.dryRun`; by default it is logged. A `clock` is shared with
    others and not closed. `seed` is for tests; `debug` checks every message to be immutable.

    Safe to use from any thread. It starts once and stops once; `with` does both.

        settings = Settings.from_file("config.yaml")
        with OceanSystem(settings, [Repositories]) as system:
            system.request_resync("the catalog page was opened")
            system.wait()  # until `shutdown` is called, or a failure ends it
        print(system.exit_code, system.cause)
    """

    def __init__(
        self,
        settings: Settings,
        handlers: Sequence[HandlerFactory | LiveHandlerFactory],
        actors: Sequence[ActorSpec] = (),
        *,
        serve_http: bool | None = None,
        serve_control: bool | None = None,
        clock: Clock | None = None,
        debug: bool = False,
        seed: int | None = None,
        show_dry_run: Callable[[DryRunResult], object] | None = None,
        event_ring: EventRing | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.exit_code = 0
        self.cause: str | None = None
        resync_handlers, live_handlers = split_handlers(handlers)
        self._ocean = self._find_ocean(resync_handlers)
        named = self._ocean.handlers if self._ocean else named_handlers(resync_handlers)
        live = built_handlers(live_handlers)
        generation = ConfigGeneration()
        kinds = all_kinds({name: handler.kinds for name, handler in named.items()})
        self._resync = ResyncClient(generation, kinds)
        self._own_clock = clock is None
        self._log_context = LogContext(settings.integration.identifier)
        self._actors = ActorSystem(
            clock=clock or SystemClock(),
            on_fatal=self._on_fatal,
            context=functools.partial(
                IntegrationContext,
                resync=self._resync,
                integration=self,
                strict_tls=settings.ssl.third_party.x509.strict,
            ),
            debug=debug,
            seed=seed,
            log_context=self._log_context,
        )
        self._iterators = EventIterators(self._actors.events)
        self._parts = Assembly(
            settings,
            named,
            actors,
            self._actors,
            self._resync,
            generation,
            show_dry_run,
            live,
            self._ocean,
        )
        control = None
        if is_control_served(serve_control, settings):
            from ocean_actors.control.events import EventRing

            event_ring = event_ring or EventRing()
            control = self._make_control(event_ring)
        self._event_ring = event_ring
        self._web_log = WebLog(self._actors.clock)
        mounted = self._parts.listener.app
        self.serves_metrics = has_metrics(settings.http, listens=mounted is not None)
        """Whether `wsgi_app` serves `/metrics`."""
        self._proxy = None if self._ocean is None else self._ocean.proxy(self._web_log)
        self._app = self.make_app(metrics=self.serves_metrics)
        proxied = self._proxy is not None and not self._parts.spec.job
        self.takes_calls = mounted is not None or self._parts.live is not None or proxied
        """Whether others call `wsgi_app`: if the listener has a web application, with live
        handlers, and with an integration of Port Ocean unless it runs once.
        """
        http = None
        if is_served(serve_http, settings.http, listens=self.takes_calls):
            http = HttpEndpoint(
                settings.http, self._app, self._web_log, listens=self.takes_calls,
                is_proxied=None if self._proxy is None else self._app.is_proxied,
            )  # fmt: skip
        self._servers = Servers(http, control)
        self._started_at: datetime | None = None
        self._stop_requested = threading.Event()
        self._stop_lock = threading.Lock()  # taken once, by the first who requests the stop
        self._stopper = threading.Thread(target=self._stop_when_asked, name="stopper", daemon=True)
        self._left_behind: list[str] = []

    # -- life --------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything and return; Port need not be reachable.

        If a port to be served on is in use, the system ends with exit code 1. If the `__init__`
        of a custom actor raises, the system ends with exit code 1, and the error is raised here.
        Raises RuntimeError if the system was started before.
        """
        if self._started_at is not None:
            raise RuntimeError("an OceanSystem starts once: make a new one")
        if shards.in_worker:
            raise RuntimeError(
                "a worker process cannot start an OceanSystem: put what starts it below "
                '`if __name__ == "__main__":`'
            )
        self._started_at = self._actors.clock.now()
        try:
            self._stopper.start()  # the first: a system that cannot start threads can still stop
            with logging_context(self._log_context):
                integration = self._parts.connect()
                if self._serve():
                    self._parts.spawn(integration)
        except BaseException as error:  # Ctrl-C among them
            if isinstance(error, RuntimeError) and self._stop_requested.is_set():
                return  # an actor has had the system stopped, so no more actors can be started
            if isinstance(error, Exception):
                self.shutdown(1, f"cannot start: {one_line(error)}")
            self.stop()
            raise

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

    # -- steering ----------------------------------------------------------------------------

    def request_resync(
        self,
        reason: str = "manual",
        *,
        kinds: Iterable[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        policy: Policy | None = None,
    ) -> str:
        """Request a resync, with `manual` as its trigger; returns the request's id at once.

        `kinds` are those to resync; default: all. `parameters`, JSON-like data with dates and
        times, narrow the run down in ways that the handlers know. If one run covers several
        requests, it does what they ask for together: all their kinds, and the parameters only if
        they are equal.

        `policy` says what the request does to a run in flight; default: `resync.onNewRequest`.
        Raises ValueError for an unknown policy or kind, TypeError for parameters that are not
        JSON-like, RuntimeError unless the system is running, MailboxFull if it is flooded.
        """
        self._require_running()
        request = ResyncRequested(
            reason=reason,
            trigger="manual",
            requested_at=self._actors.clock.now(),
            policy=policy,
            kinds=checked_kinds(kinds),
            parameters=checked_parameters(parameters),
        )
        self._resync.submit(request)
        return request.id

    def abort(self, reason: str) -> bool:
        """Abort the run in flight; returns whether there was one.

        The requests that it covers are settled as aborted, and not run again. Requests that wait
        are served by the next run. Raises RuntimeError unless the system is running,
        pykka.Timeout if the coordinator does not answer.
        """
        self._require_running()
        return self._resync.abort(reason)

    def pause(self, reason: str, *, owner: str = "api", abort: bool = False) -> None:
        """Start no run until `owner` resumes; returns at once. Requests are taken and wait.

        A run in flight finishes; with `abort` it is aborted, and its requests wait as well. Pauses
        are counted by owner: runs start again once every owner has resumed. A pause does not
        survive a restart of the process. Raises RuntimeError unless the system is running.
        """
        self._require_running()
        self._resync.pause(reason, owner=owner, abort=abort)

    def resume(self, reason: str, *, owner: str = "api") -> None:
        """Lift the pause of `owner`; returns at once. No effect if it has none.

        Raises RuntimeError unless the system is running.
        """
        self._require_running()
        self._resync.resume(reason, owner=owner)

    def _require_running(self) -> None:
        if self._stop_requested.is_set():
            raise RuntimeError("the integration is stopped, or is about to be")

    # -- looking -----------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Returns everything an operator asks for, as plain JSON-able data without secrets.

        `leftBehind` names the threads of handlers that were fenced off and have not ended, and
        at the end whatever else has not. Waits for the coordinator for a second at most; what it
        did not answer is None then.
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
            "listening": self._listening(actors),
            "leader": self._leader(actors),
            "registered": self._parts.registered.is_set(),
            "stopped": self._stopped.is_set(),
            "exitCode": self.exit_code,
            "cause": self.cause,
            "resync": None if self._actors.forked else self._resync.status(),
            "live": self._live_status(),
            "ocean": None if self._ocean is None else self._ocean.status(actors),
            "actors": actors,
            "deadLetters": dict(self._actors.dead_letters.counts),
            "leftBehind": self._left_behind or fenced,
        }

    def metrics(self) -> tuple[bytes, str]:
        """Returns all metrics in Prometheus' text format, and its content type.

        Waits for the coordinator for a second at most; what it did not answer is missing then.
        docs/observability.md explains each metric.
        """
        return self.collector.exposition()

    @property
    def stop_seconds(self) -> float:
        """How long a stop may take, in seconds."""
        grace = self.settings.resync.abort_grace
        return grace + FLUSH_SECONDS + 4 * STOP_SECONDS + SERVERS_STOP_SECONDS

    @property
    def left_behind(self) -> list[str]:
        """The names of the threads that had not ended when the system had stopped."""
        return list(self._left_behind)

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
            listener=self._parts.spec.name,
            version=__version__,
            resync=None if self._actors.forked else self._resync.metrics(),
            calls=self._parts.port.calls,
            restarts=self._actors.restarts.counts,
            dead_letters=sum(self._actors.dead_letters.counts.values()),
            left_behind=len(self._left_behind or self._actors.left_behind()),
            live=self._live_status(),
            **actor_metrics(self._actors.snapshot(), listener=self._parts.listener_name),
        )

    def events(
        self, *event_types: type[EventT], limit: int = MOST_WAITING
    ) -> EventIterator[EventT]:
        """Returns an async iterator over the events of these types from now on.

        `async for event in system.events(RunEnded)` ends once the system has stopped. At most
        `limit` events wait to be read; then the oldest is dropped and counted, see
        `EventIterator`. It may be called before the start. Raises TypeError unless each is an
        event class, ValueError if there is none.
        """
        return self._iterators.open(event_types, limit)

    def log_state(self) -> None:
        """Log a line for every actor: what it does, what waits, how often it failed."""
        self._actors.log_state()

    def health(self) -> Health:
        """Returns what probes are told. It waits for nothing, also in forked processes."""
        forked = self._actors.forked
        return health_of(
            () if forked else self._actors.snapshot(),
            listener=self._parts.listener_name,
            custom=self._parts.custom_names,
            working=self._resync.connected and not self._stop_requested.is_set() and not forked,
            failed=self._stopped.is_set() and self.exit_code != 0,
            ended=self._stopped.is_set() and self.exit_code == 0,
            port=self._parts.registered.is_set(),
            standby=self._parts.standby,
        )

    def make_app(self, *, metrics: bool) -> EndpointApp:
        """Returns another `wsgi_app`, which serves `/metrics` if `metrics` is true."""
        return EndpointApp(
            self.health, self._web_log, metrics=self.metrics if metrics else None,
            mounted=self._parts.listener.app,
            live=None if self._parts.live is None else self._parts.live.app,
            proxy=self._proxy,
        )  # fmt: skip

    @property
    def wsgi_app(self) -> WsgiApp:
        """The system's web application, to be mounted in a server of your own.

        It serves `GET /health/live` and `GET /health/ready`, `GET /metrics` as `http.metrics`
        says, `POST /live/<path>` for each live handler, and the paths of the listener's web
        application, if it has one. With an integration of Port Ocean, every other call is passed
        on to it. It may be called at any time; unless the system works, it is not ready and
        answers the POSTs with 503.
        """
        return self._app

    @property
    def http_url(self) -> str | None:
        """The address at which `wsgi_app` is served on this machine; None if it is not served."""
        return self._servers.http_url

    @property
    def control_url(self) -> str | None:
        """The address of the control server; None if this system has none."""
        return self._servers.control_url

    # -- parts -------------------------------------------------------------------------------

    def _find_ocean(self, handlers: Sequence[HandlerFactory]) -> OceanBridge | None:
        """Returns the bridge to an integration of Port Ocean, if the settings name one."""
        if self.settings.ocean.path is None:
            return None
        from ocean_actors.ocean.bridge import ocean_bridge

        return ocean_bridge(self.settings, handlers)

    def _make_control(self, events: EventRing) -> ControlServer:
        from ocean_actors.control.controlled import Controlled
        from ocean_actors.control.setup import control_server  # imports the web server

        controlled = Controlled(self.settings.integration.identifier, self, events)
        return control_server(
            self.settings.control, [controlled], self._actors.clock, self.metrics,
            [self.settings],
        )  # fmt: skip

    def _serve(self) -> bool:
        """Serve before Port is told to call; returns False if the system ends instead."""
        if self._event_ring is not None:
            from ocean_actors.control.recorder import EventRecorder

            self._actors.spawn(
                EventRecorder, self._event_ring,
                lambda: (self._actors.snapshot(), self._actors.dead_letters.counts),
                name="event-recorder",
            )  # fmt: skip
        try:
            self._servers.start()
        except OSError as error:
            self.shutdown(1, str(error))
            return False
        return True

    def _live_status(self) -> dict[str, Mapping[str, int]]:
        return {} if self._parts.live is None else self._parts.live.status()

    def _listening(self, actors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the listener shows of itself; `state` is its actor's unless it has its own."""
        shown: dict[str, Any] = {"state": None}
        for actor in actors:
            if actor["name"] == self._parts.listener_name:
                own = actor["details"] if actor["state"] == "running" else {}
                shown = {**actor["details"], "state": actor["state"], **own}
        return {**shown, **self._parts.listener_details()}

    def _leader(self, actors: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        """What the leader's actor shows of the election; None if there is none."""
        shown = next((each["details"] for each in actors if each["name"] == "leader"), None)
        if shown is None:
            return None
        return dict(shown) or {  # the actor has not begun yet
            "engine": self.settings.leader.type,
            "state": "campaigning",
            "error": None,
            "since": (self._started_at or self._actors.clock.now()).isoformat(),
        }

    # -- the end -----------------------------------------------------------------------------

    def _on_fatal(self, name: str, error: BaseException) -> None:
        self.shutdown(1, f"actor {name} failed: {one_line(error)}")

    def _stop_when_asked(self) -> None:
        """The stopper's thread. It is started early, as later it may be impossible to start one."""
        self._stop_requested.wait()
        self._stop()

    def _stop(self) -> None:
        """Stop the run first, then send its last report, then stop everything else."""
        with logging_context(self._log_context):
            self._stop_everybody()

    def _stop_everybody(self) -> None:
        try:
            if self._parts.live is not None:
                self._parts.live.shut()
            self._resync.stop(self.settings.resync.abort_grace + STOP_SECONDS)
            self._flush(FLUSH_SECONDS)
            self._left_behind = self._actors.stop(STOP_SECONDS, wake=self._parts.cancel)
            self._left_behind += self._parts.end_workers()
            self._servers.stop_http()
            self._parts.close()
            if self._own_clock:
                self._actors.clock.close()
            self._servers.stop_control()
            self._log_end()
        finally:
            self._iterators.end()
            self._stopped.set()

    def _flush(self, seconds: float) -> None:
        """Send the last reports to Port, and let custom actors handle the last events."""
        until = time.monotonic() + seconds
        self._parts.flush(seconds)
        self._actors.wait_idle(max(0.0, until - time.monotonic()), among=self._parts.custom_names)

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
