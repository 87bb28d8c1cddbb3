"""The request bodies that the sandbox accepts; pydantic checks them, and others get a 422."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from ocean_actors.port_time import parse_time
from ocean_actors.sandbox.errors import ApiError, invalid
from ocean_actors.sandbox.faults import Kind

# Levels of nesting: all code that handles a value stays below the recursion limit.
MAX_DEPTH = 100

Json = dict[str, Any]


def _iso(text: str) -> str:
    if parse_time(text) is None:
        raise ValueError("must be a time in ISO 8601")
    return text


def _destination(value: Json) -> Json:
    """Require one of the three shapes of docs/port-wire.md, section 2."""
    rest = {key: item for key, item in value.items() if key != "agent"}
    if not isinstance(value.get("agent", False), bool):
        raise ValueError("agent must be a boolean")  # noqa: TRY004  (pydantic expects a ValueError)
    if value and rest != {"type": "KAFKA"}:
        if set(rest) != {"type", "url"} or rest["type"] != "WEBHOOK":
            raise ValueError('must be {}, {"type": "KAFKA"} or {"type": "WEBHOOK", "url": …}')
        if not isinstance(rest["url"], str) or not rest["url"].startswith(("http://", "https://")):
            raise ValueError("url must be an http(s) address")
    return value


Identifier = Annotated[str, Field(min_length=1)]
Iso = Annotated[str, AfterValidator(_iso)]
Destination = Annotated[Json, AfterValidator(_destination)]


class Camel(BaseModel):
    """A body in camelCase; unknown fields are accepted and ignored."""

    model_config = ConfigDict(strict=True, frozen=True, alias_generator=to_camel)

    def given(self) -> Json:
        """Returns the fields that were sent, as they were sent."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class Snake(BaseModel):
    """A body in snake_case; unknown fields are refused."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Credentials(Camel):
    """POST /auth/access_token."""

    client_id: str
    client_secret: str


class IntegrationChange(Camel):
    """PATCH /integration/{id}."""

    installation_app_type: str | None = None
    title: str | None = None
    version: str | None = None
    config: Json | None = None
    changelog_destination: Destination | None = None
    actions_processing_enabled: bool | None = None
    incremental_sync_enabled: bool | None = None
    are_port_resources_initialized: bool | None = None
    processing_mode: str | None = None


class NewIntegration(IntegrationChange):
    """POST /integration."""

    installation_id: Identifier
    create_port_resources_origin: Literal["Port", "Default", "Ocean", "Empty"] | None = None


class ConfigChange(Camel):
    """PATCH /integration/{id}/config."""

    config: Json | None


class StateReport(Camel):
    """PATCH /integration/{id}/resync-state; docs/port-wire.md, section 5, spelling included."""

    status: Literal["running", "completed", "failed", "aborted"] | None = None
    last_resync_start: Iso | None = None
    last_resync_end: Iso | None = None
    next_resync: Iso | None = None
    interval_in_minuets: int | None = None


class ObjectCount(Snake):
    """How many objects a phase has handled in one way."""

    object_count: float = Field(ge=0)


class PhaseMetrics(Snake):
    """One phase of a kind."""

    duration_seconds: float = Field(default=0, ge=0)
    success: float = Field(default=0, ge=0, le=1)
    object_count_type: dict[str, ObjectCount] = Field(default_factory=dict)


class Metrics(Snake):
    """What is measured of a kind; upstream adds figures of its process."""

    model_config = ConfigDict(extra="ignore")
    phase: dict[Literal["extract", "transform", "load", "delete", "resync"], PhaseMetrics]


class KindMetrics(Camel):
    """One kind of a run; docs/port-wire.md, section 13."""

    integration_type: Identifier
    installation_type: Identifier
    execution_mode: Identifier
    integration_identifier: Identifier
    integration_version: Identifier
    ocean_version: Identifier
    kind_identifier: Identifier
    kind: Identifier
    kind_index: int = Field(ge=0)
    event_id: Identifier
    sync_state: Literal["pending", "syncing", "completed", "failed", "aborted"]
    blueprint: str
    metrics: Metrics


class SyncKindsMetrics(Camel):
    """POST /ingest/{id}/metrics/syncMetrics."""

    sync_kinds_metrics: list[KindMetrics]


class SyncKindMetrics(Camel):
    """PUT /ingest/{id}/metrics/syncMetrics/resync/{event}/kind/{kind}."""

    sync_kind_metrics: KindMetrics


class Heartbeat(Camel):
    """POST /ingest/{id}/metrics/heartbeat."""

    event_id: Identifier


class LogLine(Camel):
    """One line of a log."""

    message: str
    level: Identifier
    timestamp: Iso
    extra: Json


class Logs(Camel):
    """POST /ingest/{id}/logs."""

    logs: list[LogLine]


class Relation(Camel):
    """One relation of a blueprint."""

    model_config = ConfigDict(extra="allow")
    target: Identifier


class Properties(Camel):
    """A blueprint's `schema`."""

    model_config = ConfigDict(extra="allow")
    properties: dict[str, Json] = Field(default_factory=dict)
    required: list[str] = Field(default_factory=list)


class Blueprint(Camel):
    """POST and PUT /blueprints."""

    model_config = ConfigDict(extra="allow")
    identifier: Identifier
    # `schema` is a method of pydantic's models
    fields: Properties = Field(default_factory=Properties, alias="schema")
    relations: dict[str, Relation] = Field(default_factory=dict)


class Entities(Camel):
    """POST /blueprints/{bp}/entities/bulk; the entities are checked one by one."""

    entities: list[Any]


class EntityNames(Camel):
    """POST /blueprints/{bp}/bulk/entities/delete."""

    entities: list[Identifier]


class Owned(Snake):
    """POST /blueprints/entities/datasource-entities."""

    datasource_prefix: str
    datasource_suffix: str
    limit: int = Field(default=5000, ge=1, le=5000)
    start: str | None = Field(default=None, alias="from")
    before: Iso | None = None


class Search(Snake):
    """POST /blueprints/{bp}/entities/search; `search` checks the query."""

    model_config = ConfigDict(extra="ignore")
    query: Any = None
    limit: int = Field(default=200, ge=1, le=1000)
    start: str | None = Field(default=None, alias="from")


class FaultOrder(Snake):
    """POST /sandbox/faults."""

    kind: Annotated[Kind, Field(strict=False)]
    times: int | None = 1
    method: str | None = None
    path: str | None = None
    seconds: float = 60.0
    status: int = 500
    headers: dict[str, str] = Field(default_factory=dict)
    rate: float = 1.0
    applied: bool = False


class Behaviour(Snake):
    """PUT /sandbox/settings."""

    token_lifetime: float = Field(default=3600.0, ge=0, le=10**9)
    refuse_credentials: bool = False
    config_change_creates_request: bool = True
    feature_flags: list[str] = Field(default_factory=list)
    webhook_signing: Literal["signed", "unsigned", "wrong"] = "signed"
    ingest_addresses: bool = True
    relations_need_targets: bool = False
    refuse_unknown_properties: bool = True


class KafkaCredentials(Snake):
    """PUT /sandbox/kafka-credentials."""

    username: str
    password: str
    brokers: list[str]


BodyT = TypeVar("BodyT", bound=BaseModel)


def check(model: type[BodyT], body: Any) -> BodyT:
    """Returns `body` as a `model`. Raises ApiError 422, which names the field."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise invalid(f"{where}: {first['msg']}") from None


def parse(raw: bytes) -> Any:
    """Returns the JSON of a body, None if it is empty. Raises ApiError 400 if it is not JSON."""
    if not raw.strip():
        return None
    try:
        value = json.loads(raw.decode(), parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "bad_request", f"the body is not JSON: {error}") from None
    if _deeper_than(value, MAX_DEPTH):
        raise ApiError(400, "bad_request", f"the body is nested deeper than {MAX_DEPTH} levels")
    return value


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _deeper_than(value: Any, levels: int) -> bool:
    """Returns whether a value is nested deeper; without recursion."""
    layer = [value]
    for _ in range(levels):
        nested = [item for item in layer if isinstance(item, (dict, list))]
        if not nested:
            return False
        layer = [
            item
            for container in nested
            for item in (container.values() if isinstance(container, dict) else container)
        ]
    return True
