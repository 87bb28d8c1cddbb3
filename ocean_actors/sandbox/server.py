"""The sandbox as one object: start it, point a client at it, inspect it, stop it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ocean_actors.actors.clock import Clock, SystemClock
from ocean_actors.blueprints import Declaration
from ocean_actors.sandbox.app import SandboxApp
from ocean_actors.sandbox.calls import Call
from ocean_actors.sandbox.core import Core
from ocean_actors.sandbox.faults import Fault, Kind
from ocean_actors.sandbox.publishers import Delivery, Publisher, WebhookPublisher
from ocean_actors.sandbox.schemas import Behaviour, NewIntegration, check
from ocean_actors.sandbox.schemas import Blueprint as BlueprintBody
from ocean_actors.sandbox.seeds import read_blueprints, read_mapping
from ocean_actors.sandbox.state import State
from ocean_actors.web.server import HttpServer

if TYPE_CHECKING:
    from typing_extensions import Self

MAX_READ = 16 * 1024 * 1024  # bytes of a body; over 1 MiB it is refused, as Port does

Json = dict[str, Any]
ResultT = TypeVar("ResultT")


class Sandbox:
    """A local stand-in for Port with one organisation in memory, at `host`:`port` (0: any port).

    All methods are safe in any thread, even while it is stopped. Do not change what they return.
    `start` after `stop` keeps the state, and the port if one was given.
    """

    def __init__(
        self,
        port: int = 0,
        host: str = "127.0.0.1",
        *,
        client_id: str = "sandbox",
        client_secret: str = "sandbox-secret",  # noqa: S107  (it protects nothing)
        organization_id: str = "org_sandbox",
        feature_flags: Iterable[str] = (),
        kafka_credentials: Mapping[str, Any] | None = None,
        token_lifetime: float = 3600.0,
        config_change_creates_request: bool = True,
        webhook_signing: Literal["signed", "unsigned", "wrong"] = "signed",
        ingest_addresses: bool = True,
        webhook_timeout: float = 5.0,
        publishers: Iterable[Publisher] = (),
        blueprints: Declaration = (),
        mapping: Mapping[str, Any] | str | PathLike[str] | None = None,
        seed: int = 0,
        threads: int = 16,
        clock: Clock | None = None,
    ) -> None:
        """Prepare; it serves from `start` on.

        `blueprints` exist from the beginning: mappings in the form of Port's API, and paths of JSON
        or YAML files with one or a list of them. `mapping`, or the JSON or YAML file that it
        names, is the config of every integration that is created without one. Raises SeedError
        if these cannot be used.
        """
        self.client_id = client_id
        self.client_secret = client_secret
        self.organization_id = organization_id
        clock = clock if clock is not None else SystemClock()
        behaviour = Behaviour(
            token_lifetime=token_lifetime,
            config_change_creates_request=config_change_creates_request,
            feature_flags=list(feature_flags),
            webhook_signing=webhook_signing,
            ingest_addresses=ingest_addresses,
        )

        seeds = read_blueprints(blueprints)
        config = read_mapping(mapping)

        def fresh() -> State:
            return State(
                client_id=client_id,
                client_secret=client_secret,
                organization_id=organization_id,
                behaviour=behaviour,
                kafka_credentials=dict(kafka_credentials) if kafka_credentials else None,
                seed=seed,
                clock=clock,
                blueprints=seeds,
                mapping=config,
            )

        self._core = Core(fresh)
        self._webhooks = WebhookPublisher(
            client_secret, self._signing, self._record, clock, timeout=webhook_timeout
        )
        self._core.publishers = [self._webhooks, *publishers]
        self._started: list[Publisher] = []
        self._running = False
        self._server = HttpServer(
            SandboxApp(self._core, host),
            host,
            port,
            threads=threads,
            max_request_body_size=MAX_READ,
            connections=1000,
            connection_limit=2000,
        )

    # -- running -----------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The base URL for clients, without /v1."""
        return self._server.url

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.port

    def start(self) -> None:
        """Serve. Raises OSError, which names host and port, if they cannot be bound."""
        self._core.open()
        self._server.start()
        self._running = True
        try:
            for publisher in self._core.publishers:
                self._start(publisher)
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout: float = 5.0) -> None:
        """Answer the calls that hang, close all connections and end all threads."""
        self._core.close()
        self._server.stop(timeout)
        self._running = False
        while self._started:
            self._started.pop().stop()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def add_publisher(self, publisher: Publisher) -> None:
        """Pass every change-log message to `publisher`, which starts and stops with the sandbox."""
        if self._running:
            self._start(publisher)
        self._core.publishers.append(publisher)

    def wait_for(self, predicate: Callable[[], ResultT], timeout: float = 30.0) -> ResultT:
        """Returns the first true value of `predicate`, which is evaluated after every change.

        Raises TimeoutError after `timeout` seconds.
        """
        return self._core.wait_for(predicate, timeout)

    # -- reading -----------------------------------------------------------------------------------

    @property
    def calls(self) -> tuple[Call, ...]:
        """The last 10,000 calls of the API, oldest first."""
        with self._core.looking() as state:
            return state.calls.all()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults in effect, with the times that are left."""
        with self._core.looking() as state:
            return state.faults.active()

    @property
    def call_count(self) -> int:
        """The number of all calls, including those that are no longer kept."""
        with self._core.looking() as state:
            return state.calls.count

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """The last 10,000 webhooks that were sent, oldest first."""
        with self._core.looking() as state:
            return tuple(state.deliveries)

    def integration(self, identifier: str) -> Json | None:
        """Returns the integration as the API shows it, None if there is none."""
        with self._core.looking() as state:
            return state.integrations.find(identifier)

    def reports(self, identifier: str) -> list[Json]:
        """Returns the reports of its resyncs, oldest first, each with Port's `updatedAt`."""
        with self._core.looking() as state:
            return state.integrations.reports(identifier)

    def statuses(self, identifier: str) -> list[str | None]:
        """Returns the statuses of its reports: running, completed, …"""
        return [report.get("status") for report in self.reports(identifier)]

    def sync_metrics(self, identifier: str) -> list[Json]:
        """Returns the sync metrics of its runs, oldest first: `{"method", "at", "kind": {…}}`.

        Raises ApiError 404, as do the next two.
        """
        with self._core.looking() as state:
            return list(state.page(identifier).rows)

    def heartbeats(self, identifier: str) -> list[Json]:
        """Returns the heartbeats of its runs, oldest first: `{"eventId", "at"}`."""
        with self._core.looking() as state:
            return list(state.page(identifier).heartbeats)

    def logs(self, identifier: str) -> list[Json]:
        """Returns the lines of its log, oldest first: message, level, timestamp, extra."""
        with self._core.looking() as state:
            return list(state.page(identifier).logs)

    def entities(self, blueprint: str | None = None) -> list[Json]:
        """Returns all entities, or one blueprint's, each with its `writer` (a User-Agent)."""
        with self._core.looking() as state:
            found = state.catalog.entities(blueprint)
        return [{**entity.as_json(), "writer": entity.writer} for entity in found]

    # -- changing ----------------------------------------------------------------------------------

    def create_blueprint(self, identifier: str, **fields: Any) -> Json:
        """Create a blueprint, as POST /blueprints does; without a schema it has no properties."""
        blueprint = check(BlueprintBody, _plain({**fields, "identifier": identifier}))
        with self._core.changing() as state:
            return state.catalog.create_blueprint(blueprint.given())

    def create_integration(self, identifier: str, **fields: Any) -> Json:
        """Create an integration, as POST /integration does; `fields` are in camelCase."""
        body = check(NewIntegration, _plain({**fields, "installationId": identifier}))
        with self._core.changing() as state:
            return state.integrations.create(identifier, body.given())

    def set_config(self, identifier: str, config: Json, *, skip_resync: bool = False) -> Json:
        """Save a new config, as a user of Port does; this also makes a resync request.

        Raises ApiError 404.
        """
        changes = {"config": _plain(config)}
        with self._core.changing() as state:
            return state.integrations.patch(identifier, changes, skip_resync=skip_resync)

    def request_resync(self, identifier: str) -> Json:
        """Request a resync, as the button in Port does. Raises ApiError 404."""
        with self._core.changing() as state:
            return state.integrations.request_resync(identifier)

    def delete_integration(self, identifier: str) -> None:
        """Delete an integration. Raises ApiError 404."""
        with self._core.changing() as state:
            state.integrations.delete(identifier)

    def fail(self, kind: Kind | str, times: int | None = 1, **order: Any) -> None:
        """Let the next calls go wrong; `faults.Fault` describes the fields."""
        with self._core.changing() as state:
            state.faults.add(Fault(Kind(kind), times, **order))

    def clear_faults(self) -> None:
        """Remove all faults and release the calls that hang."""
        with self._core.changing() as state:
            state.faults.clear()
        self._core.release()

    def release(self) -> None:
        """Release the calls that hang."""
        self._core.release()

    def expire_tokens(self) -> None:
        """Invalidate all tokens issued so far."""
        with self._core.changing() as state:
            state.tokens.expire()

    def configure(self, **settings: Any) -> None:
        """Change fields of `schemas.Behaviour`: token_lifetime, refuse_credentials, …"""
        with self._core.changing() as state:
            state.behave(Behaviour.model_validate({**state.behaviour.model_dump(), **settings}))

    def set_kafka_credentials(self, username: str, password: str, brokers: Iterable[str]) -> None:
        """Set the answer of GET /kafka-credentials."""
        found = {"username": username, "password": password, "brokers": list(brokers)}
        with self._core.changing() as state:
            state.kafka_credentials = found

    def reset(self) -> None:
        """Return to the initial state: what it was seeded with and nothing else."""
        self._core.reset()

    def _start(self, publisher: Publisher) -> None:
        publisher.start()
        self._started.append(publisher)

    def _signing(self) -> str:
        with self._core.looking() as state:
            return state.behaviour.webhook_signing

    def _record(self, delivery: Delivery) -> None:
        with self._core.changing() as state:
            state.deliveries.append(delivery)


def _plain(value: Json) -> Json:
    """Returns a copy of a JSON value: the caller may change the original."""
    copy: Json = json.loads(json.dumps(value))
    return copy
