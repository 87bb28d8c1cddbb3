"""The parts of one integration: its listener, its actors, and their clients of Port."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pykka

from ocean_actors import tracing
from ocean_actors._version import __version__
from ocean_actors.actors import ActorSystem, Backoff, CancelToken, Message, Ref
from ocean_actors.blueprints import united
from ocean_actors.connections import Timeout
from ocean_actors.context import ActorSpec, actor_parts, decides
from ocean_actors.listeners.spec import (
    Listener,
    Services,
    build_listener,
    destination_of,
    details_of,
    listener_spec,
)
from ocean_actors.listeners.supervisor import ListenerSupervisor
from ocean_actors.log import get_logger
from ocean_actors.messages import RunInfo
from ocean_actors.port.blueprint_owners import BlueprintOwners
from ocean_actors.port.client import PortClient
from ocean_actors.port.entities import EntityWriter
from ocean_actors.port.integration import Connect, IntegrationActor, Register
from ocean_actors.port.kind_metrics import Source
from ocean_actors.port.live_writes import LiveWrites
from ocean_actors.port.log_shipper import LogShipper
from ocean_actors.port.permit import ABORT_SECONDS, permit
from ocean_actors.port.reporter import FlushReports, Reporter
from ocean_actors.port.reports import Schedule
from ocean_actors.port.sync_metrics import TIMEOUT as PAGE_TIMEOUT
from ocean_actors.port.sync_metrics import Flush, SyncMetrics
from ocean_actors.redaction import Redaction, secrets_of
from ocean_actors.resync.client import ResyncClient
from ocean_actors.resync.coordinator import ResyncCoordinator
from ocean_actors.resync.generation import ConfigGeneration
from ocean_actors.resync.handlers import HandlerSpec
from ocean_actors.resync.scope import narrowed
from ocean_actors.resync.traces import FlushTraces, Traces
from ocean_actors.settings import Settings
from ocean_actors.shards.runner import ShardRunner

if TYPE_CHECKING:
    from ocean_actors.leader.spec import Election
    from ocean_actors.live.handler import LiveSpec
    from ocean_actors.live.setup import LiveEvents
    from ocean_actors.ocean.bridge import OceanBridge
    from ocean_actors.port.dry_run_writer import ShowDryRun

logger = get_logger(__name__)

PORT_BACKOFF = Backoff(initial=0.5, maximum=60.0)


class Assembly:
    """Knows every part of an integration, and how each is made from the settings.

    The listener is built at once, as its web application may be mounted before the start. Nothing
    runs before `connect`.
    """

    def __init__(
        self,
        settings: Settings,
        handlers: Mapping[str, HandlerSpec],
        custom: Sequence[ActorSpec],
        actors: ActorSystem,
        resync: ResyncClient,
        generation: ConfigGeneration,
        show_dry_run: ShowDryRun | None = None,
        live: Sequence[LiveSpec] = (),
        ocean: OceanBridge | None = None,
    ) -> None:
        """Raises TypeError for a custom actor that cannot be built.

        Raises BlueprintError if two handlers declare a blueprint differently, UsageError if the
        settings of `leader` or `resync.executor` cannot be used, or a package's listener cannot.
        """
        self.settings = settings
        self.spec = listener_spec(settings.event_listener.type)
        self._dry_run = settings.resync.dry_run
        self._ocean = ocean
        self._election = self._find_election(actors)
        self.standby = self.spec.standby or self._election is not None
        """Whether this instance stands by until it is told that it leads."""
        resync.lease.change(active=not self.standby, lease=None)
        self.handlers = handlers
        declared = united({name: each.blueprints for name, each in handlers.items()})
        self._blueprints = declared if settings.initialize_port_resources else ()
        self.kinds = {name: handler.kinds for name, handler in handlers.items()}
        factories = {name: handler.build for name, handler in handlers.items()}
        self._shards = ShardRunner(settings, actors.clock, factories)
        self._shards.require()
        self.registered = threading.Event()
        self.custom_names: frozenset[str] = frozenset()
        self._custom = [actor_parts(spec) for spec in custom]
        self._actors = actors
        self._resync = resync
        self._generation = generation
        self._owners = BlueprintOwners()
        self._schedule = self._make_schedule()
        self._show_dry_run = show_dry_run
        self._mask = Redaction(secrets_of(settings)).in_text
        self._cancel = CancelToken()  # of all clients
        self._clients: list[PortClient] = []
        self._flushed_last: list[tuple[Ref, Callable[[pykka.Future[None]], Message]]] = []
        self.port = PortClient(
            settings.port,
            settings.integration,
            clock=actors.clock,
            strict=settings.ssl.port.x509.strict,
            read_only=self._dry_run,
        )
        self._writes = LiveWrites()
        # Live handlers would write to Port.
        self.live = self._live_events(live) if live and not self._dry_run else None
        services = Services(settings, self._client, resync, actors.clock, actors.clock.now())
        self.listener: Listener = build_listener(self.spec, services)
        self._destination = None if self._dry_run else destination_of(self.spec, settings)

    @property
    def listener_name(self) -> str:
        """The name of the listener's actor."""
        return self.spec.name.lower()

    def listener_details(self) -> Mapping[str, Any]:
        """Returns what the listener shows besides what its actor does; see `Listener`."""
        return details_of(self.spec, self.listener)

    def connect(self) -> Ref:
        """Start the actor that registers the integration; returns it, for `spawn`.

        If the registration comes at once, it connects to Port while the rest starts.
        """
        settings, elects = self.settings, self._election is not None
        integration = self._actors.spawn(
            IntegrationActor,
            self._client(),
            self._destination,
            PORT_BACKOFF,
            requests=self.spec.answers_requests,
            start_timeout=settings.start_timeout if self.spec.job else None,
            blueprints=() if self._dry_run else self._blueprints,
            active=not self.standby,
            only_active=elects,
            schedule=self._schedule,
            register_on_demand=self._is_held,
            name="integration",
        )
        if not (self._is_held or elects):
            integration.tell(Connect())
        return integration

    @property
    def _is_held(self) -> bool:
        """Whether an integration inside registers first.

        It creates itself in Port, with its mapping, before we register it. Under KAFKA only the
        listener, which starts later, knows whether it may.
        """
        return self._ocean is not None and not self.spec.standby

    def spawn(self, integration: Ref) -> None:
        """Start all other actors, and have the integration registered with Port."""
        settings, spawn = self.settings, self._actors.spawn
        logger.info(
            "integration %s starts, listening by %s",
            settings.integration.identifier, self.spec.name,
        )  # fmt: skip
        listeners = {self.listener_name: self.listener, **self._schedule_listener()}
        spawn(
            ListenerSupervisor,
            self.registered,
            listeners,
            only_active=self._election is not None,
            name="listener-supervisor",
        )
        if self._ocean is not None:
            self._ocean.spawn(self._actors, self._client(), lambda: integration.tell(Register()))
        if self.live is not None:
            self._flushed_last += self.live.spawn(self._actors)  # before there is any event
        coordinator = spawn(
            ResyncCoordinator,
            self.handlers,
            settings,
            integration,
            None if self._dry_run else self._spawn_reporter(),
            self._open_writer if self._ocean is None else self._ocean.open_writer,
            uuid.uuid4().hex[:8],
            active=not self.standby,
            sync_metrics=None if self._dry_run else self._spawn_page_actors(),
            traces=self._spawn_traces(),
            generation=self._generation,
            sharding=self._shards,
            name="coordinator",
        )
        self._resync.connect(coordinator)
        self._spawn_custom(coordinator)
        self._spawn_leader()
        # An elected instance registers once it leads.
        if not (self._is_held or self._election is not None):
            integration.tell(Register())  # the last, so that nobody misses an event

    def _live_events(self, handlers: Sequence[LiveSpec]) -> LiveEvents:
        from ocean_actors.live.setup import live_events

        return live_events(
            handlers,
            self.settings,
            self._actors.clock,
            functools.partial(self.port.clone, permit=permit(self._resync.lease)),
            self._writes,
            standby=self.standby,
        )

    def flush(self, seconds: float) -> None:
        """Have the last reports, metrics and lines of the log sent, if Port answers in time."""
        waiting = []
        for ref, flush in self._flushed_last:
            if ref.is_alive():
                flushed: pykka.Future[None] = pykka.ThreadingFuture()
                ref.tell(flush(flushed))
                waiting.append(flushed)
        until = time.monotonic() + seconds
        with contextlib.suppress(pykka.Timeout):
            for flushed in waiting:
                flushed.get(timeout=max(0.0, until - time.monotonic()))

    def cancel(self) -> None:
        """End every call to Port."""
        self._cancel.cancel("stopping")

    def end_workers(self) -> list[str]:
        """End the workers of shards; returns the names of those that have not ended."""
        return self._shards.close()

    def close(self) -> None:
        """Close the clients of Port."""
        for client in (*self._clients, self.port):
            client.close()

    def _spawn_custom(self, coordinator: Ref) -> None:
        """Start the custom actors, and the gatekeeper if some of them decide on requests."""
        deciders: list[Ref] = []
        for actor_class, args, keywords in self._custom:
            ref = self._actors.spawn_child(None, actor_class, args, keywords, None)
            self.custom_names |= {ref.name}
            if decides(actor_class):
                deciders.append(ref)
        if deciders:
            from ocean_actors.resync.gatekeeper import Gatekeeper

            gatekeeper = self._actors.spawn(
                Gatekeeper, coordinator, tuple(deciders), name="gatekeeper"
            )
            self._resync.connect(coordinator, gatekeeper)

    def _spawn_reporter(self) -> Ref:
        reporter = self._actors.spawn(
            Reporter, self._client(writes=True), self._schedule, PORT_BACKOFF, name="reporter"
        )
        self._flushed_last.append((reporter, FlushReports))
        return reporter

    def _spawn_page_actors(self) -> Ref | None:
        """Start the actors that feed Port's page of the integration; returns the one for runs.

        An integration inside tells Port of its runs by itself.
        """
        settings = self.settings
        if settings.port.ship_logs:  # in addition to those that an integration inside sends
            shipper = self._actors.spawn(LogShipper, self._client(PAGE_TIMEOUT), name="log-shipper")
            self._flushed_last.append((shipper, Flush))
        if self._ocean is not None:
            return None
        source = Source(settings.integration.identifier, settings.integration.type, __version__)
        sync_metrics = self._actors.spawn(
            SyncMetrics,
            self._client(PAGE_TIMEOUT, writes=True),
            source,
            self.kinds,
            name="sync-metrics",
        )
        self._flushed_last.append((sync_metrics, Flush))
        return sync_metrics

    def _spawn_traces(self) -> Ref | None:
        """Start what ends the spans of runs, if the program uses OpenTelemetry."""
        if not tracing.is_available():
            return None
        traces = self._actors.spawn(Traces, name="traces")
        self._flushed_last.append((traces, FlushTraces))
        return traces

    def _schedule_listener(self) -> dict[str, Listener]:
        """Returns the scheduled resync, in addition to whichever listener is configured."""
        if self._schedule is None:
            return {}
        from ocean_actors.listeners.schedule import ScheduleListener

        policy = self.settings.resync.on_scheduled_resync
        return {"schedule": Listener(ScheduleListener, (self._schedule, policy.value))}

    def _find_election(self, actors: ActorSystem) -> Callable[[], Election] | None:
        """Returns what makes this instance's part in the election; None if there is no election.

        Raises UsageError if the settings cannot be used.
        """
        settings = self.settings.leader
        if self._dry_run or self.spec.standby:
            return None
        from ocean_actors.leader.spec import election_builder

        return election_builder(settings, actors.clock)

    def _spawn_leader(self) -> None:
        """Have this instance campaign, now that all actors that are told its role exist."""
        settings = self.settings
        if self._election is None:
            if settings.leader.type != "NONE" and self.spec.standby:
                logger.info(
                    "leader.type %s is not used: under %s the event listener decides who leads",
                    settings.leader.type, self.spec.name,
                )  # fmt: skip
            return
        from ocean_actors.leader.actor import LeaderActor

        self._actors.spawn(
            LeaderActor,
            settings.leader.type,
            self._election,
            self._client(),
            settings.integration.identifier,
            (self.listener_name, *self._schedule_listener()),
            settings.start_timeout if self.spec.job else None,
            name="leader",
        )

    def _make_schedule(self) -> Schedule | None:
        minutes = self.settings.scheduled_resync_interval
        return None if minutes is None else Schedule(self._actors.clock.now(), minutes)

    def _client(self, timeout: Timeout | None = None, *, writes: bool = False) -> PortClient:
        """Returns a client of an actor; one that `writes` does so only while the lease is valid."""
        allowed = permit(self._resync.lease) if writes else None
        client = self.port.clone(token=self._cancel, timeout=timeout, permit=allowed)
        self._clients.append(client)
        return client

    def _open_writer(self, run: RunInfo, token: CancelToken) -> EntityWriter:
        if self._dry_run:
            from ocean_actors.port.dry_run_writer import DryRunWriter, log_result

            return DryRunWriter(
                self.port.clone(token=token),
                run,
                run.handlers,
                narrowed=narrowed(run, self.kinds),
                owners=self._owners,
                show=self._show_dry_run or log_result,
                mask=self._mask,
                declared={each["identifier"]: each for each in self._blueprints},
            )
        return EntityWriter(
            self.port.clone(token=token, permit=permit(self._resync.lease, ABORT_SECONDS)),
            run,
            run.handlers,
            narrowed=narrowed(run, self.kinds),
            owners=self._owners,
            live=self._writes,
            concurrency=self.settings.port.concurrency,
        )
