"""Several integrations in one process, with one pair of servers and one thread for timers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ocean_actors.actors import Clock, SystemClock
from ocean_actors.control.controlled import Controlled
from ocean_actors.control.events import EventRing
from ocean_actors.endpoint import PROBE_THREADS, HttpEndpoint, is_served
from ocean_actors.errors import UsageError
from ocean_actors.group.app import GroupApp, Mounted
from ocean_actors.group.members import Member, agreed
from ocean_actors.log import LogContext, get_logger, logging_context
from ocean_actors.servers import STOP_SECONDS as SERVERS_STOP_SECONDS
from ocean_actors.servers import Servers, is_control_served
from ocean_actors.stoppable import Stoppable
from ocean_actors.system import OceanSystem
from ocean_actors.web.log import WebLog
from ocean_actors.web.wsgi import WsgiApp

if TYPE_CHECKING:
    from ocean_actors.control.server import ControlServer

logger = get_logger(__name__)

LEAST_SHARE = 2
"""Calls that an integration serves at a time, at least, however many share `http.threads`."""

LONGEST_WAIT = 86_400.0  # seconds


class SystemGroup(Stoppable):
    """Runs several integrations in one process, each an `OceanSystem` of its own.

    They share the servers `http` and `control` and the thread that runs their timers, and nothing
    else: one that fails, ends or hangs leaves the others at work. The group ends once all of them
    have. `serve_http` and `serve_control`: see `OceanSystem`; what the members' settings say about
    the servers is united.

    Raises UsageError if their settings do not go together (see `agreed`) or if one of them cannot
    be made.
    """

    def __init__(
        self,
        members: Sequence[Member],
        *,
        serve_http: bool | None = None,
        serve_control: bool | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        members = agreed(members)
        self._own_clock = clock is None
        self._clock = clock or SystemClock()
        shared = members[0].settings
        controlled = is_control_served(serve_control, shared)
        rings = [EventRing() if controlled else None for _ in members]
        self.systems: tuple[OceanSystem, ...] = tuple(
            self._made(member, ring) for member, ring in zip(members, rings, strict=True)
        )
        """The integrations, in the order of the members."""
        log = WebLog(self._clock)
        taking = sum(each.takes_calls for each in self.systems)
        share = max(LEAST_SHARE, shared.http.threads // max(1, taking))
        # All share the port, which faces the internet if one listens by WEBHOOK.
        with_metrics = all(each.serves_metrics for each in self.systems)
        apps = [each.make_app(metrics=with_metrics) for each in self.systems]
        self._app = GroupApp(
            [
                Mounted(each.settings.integration.identifier, app, each.health, app.is_proxied)
                for each, app in zip(self.systems, apps, strict=True)
            ],
            log,
            share=share,
            metrics=self.metrics if with_metrics else None,
        )
        http = None
        if is_served(serve_http, shared.http, listens=taking > 0):
            threads = share * taking + PROBE_THREADS
            proxied = any(each.settings.ocean.path is not None for each in self.systems)
            http = HttpEndpoint(
                shared.http, self._app, log, listens=taking > 0, threads=threads,
                is_proxied=self._app.is_proxied if proxied else None,
            )  # fmt: skip
        self._servers = Servers(http, self._made_control(rings) if controlled else None)
        self._started = False
        self._exit_code = 0
        self._cause: str | None = None
        self._stop_requested = threading.Event()
        self._stop_lock = threading.Lock()  # taken once, by the first who requests the stop
        self._ender = threading.Thread(target=self._end, name="group", daemon=True)

    # -- life --------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the servers, then all integrations, and return.

        If a port to be served on is in use, the group ends with exit code 1. An integration that
        cannot be started (no threads, or a custom actor that raises) is logged; the others run.
        Raises RuntimeError if the group was started before.
        """
        if self._started:
            raise RuntimeError("a SystemGroup starts once: make a new one")
        self._started = True
        if self._stop_requested.is_set():
            return
        try:
            self._ender.start()
            if self._serve():
                for system in self.systems:
                    self._start(system)
        except BaseException:  # Ctrl-C among them
            self.stop()
            raise
        if self._stop_requested.is_set():  # perhaps before the servers were started
            self._stop_servers()

    def shutdown(self, exit_code: int = 0, cause: str | None = None) -> None:
        """Have all integrations stopped, at the same time; returns at once.

        The first call counts; see `exit_code` and `cause`.
        """
        if not self._stop_lock.acquire(blocking=False):  # a signal may call it within itself
            return
        self._exit_code, self._cause = exit_code, cause
        self._stop_requested.set()
        for system in self.systems:
            system.shutdown()
        if self._ender.ident is None:  # it was never started: nothing runs yet
            self._end()

    # -- looking -----------------------------------------------------------------------------

    @property
    def exit_code(self) -> int:
        """The highest of the integrations' exit codes, and of `shutdown`'s."""
        worst = max(each.exit_code for each in self.systems)
        return max(self._exit_code, worst)

    @property
    def cause(self) -> str | None:
        """Why integrations have failed, or the group has; None if nothing has."""
        told = [
            f"{each.settings.integration.identifier}: {each.cause}"
            for each in self.systems
            if each.cause
        ]
        return "; ".join([*([self._cause] if self._cause else []), *told]) or None

    @property
    def stop_seconds(self) -> float:
        """How long a stop may take, in seconds: that of the slowest, and of the servers."""
        return max(each.stop_seconds for each in self.systems) + SERVERS_STOP_SECONDS

    @property
    def left_behind(self) -> list[str]:
        """The names of the threads that have not ended; see `OceanSystem.left_behind`."""
        return [name for each in self.systems for name in each.left_behind]

    def metrics(self) -> tuple[bytes, str]:
        """Returns the metrics of all integrations; each has the label `integration`.

        See `OceanSystem.metrics`.
        """
        from ocean_actors.metrics.collector import SystemCollector

        return SystemCollector(*self.systems).exposition()

    def log_state(self) -> None:
        """Log a line for every actor of every integration."""
        for system in self.systems:
            with logging_context(LogContext(system.settings.integration.identifier)):
                system.log_state()

    @property
    def wsgi_app(self) -> WsgiApp:
        """The web application of the group, to be mounted in a server of your own.

        See `GroupApp` for its paths.
        """
        return self._app

    @property
    def http_url(self) -> str | None:
        """The address at which `wsgi_app` is served on this machine; None if it is not served."""
        return self._servers.http_url

    @property
    def control_url(self) -> str | None:
        """The address of the control server; None if there is none."""
        return self._servers.control_url

    # -- parts -------------------------------------------------------------------------------

    def _made(self, member: Member, ring: EventRing | None) -> OceanSystem:
        try:
            return OceanSystem(
                member.settings, member.handlers, member.actors,
                serve_http=False, serve_control=False, clock=self._clock, event_ring=ring,
            )  # fmt: skip
        except UsageError as error:
            raise UsageError(f"{member.label}: {error}") from None

    def _made_control(self, rings: Sequence[EventRing | None]) -> ControlServer:
        from ocean_actors.control.setup import control_server  # imports the web server

        controlled = [
            Controlled(system.settings.integration.identifier, system, ring)
            for system, ring in zip(self.systems, rings, strict=True)
            if ring is not None
        ]
        settings = [each.settings for each in self.systems]
        return control_server(settings[0].control, controlled, self._clock, self.metrics, settings)

    def _serve(self) -> bool:
        """Serve before Port is told to call; returns False if the group ends instead."""
        try:
            self._servers.start()
        except OSError as error:
            self.shutdown(1, str(error))
            return False
        return True

    def _start(self, system: OceanSystem) -> None:
        if self._stop_requested.is_set():
            return  # it is stopped already
        try:
            system.start()
        except Exception:  # no threads, or a custom actor that raises; the system has stopped
            logger.exception("integration %s cannot start", system.settings.integration.identifier)

    # -- the end -----------------------------------------------------------------------------

    def _stop_servers(self) -> None:
        self._servers.stop_http()
        self._servers.stop_control()

    def _end(self) -> None:
        """Wait for the end of all integrations, then stop what they share."""
        try:
            for system in self.systems:
                while not system.wait(LONGEST_WAIT):
                    pass
            self._stop_servers()
            if self._own_clock:
                self._clock.close()
            if self.cause is None:
                logger.info("all integrations have stopped")
            else:
                logger.error("all integrations have stopped; %s", self.cause)
        finally:
            self._stopped.set()
