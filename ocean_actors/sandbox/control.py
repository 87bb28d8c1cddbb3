"""`/sandbox/…`: inspect and control the sandbox, without a token; docs/sandbox.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from ocean_actors.sandbox import schemas
from ocean_actors.sandbox.api import Reply, ok
from ocean_actors.sandbox.core import Core
from ocean_actors.sandbox.faults import Fault
from ocean_actors.sandbox.request import Request

Handler = Callable[..., Reply]  # (request, core, **identifiers in the path)


def show_state(_request: Request, core: Core) -> Reply:
    """GET /sandbox/state."""
    with core.looking() as state:
        counts: dict[str, int] = {}
        for entity in state.catalog.entities():
            counts[entity.blueprint] = counts.get(entity.blueprint, 0) + 1
        integrations = state.integrations.all()
        names = [item["identifier"] for item in integrations]
        return ok(
            organization=state.organization(),
            settings=state.behaviour.model_dump(),
            integrations=integrations,
            requests={name: state.integrations.request(name) for name in names},
            blueprints=[item["identifier"] for item in state.catalog.blueprints()],
            entities=counts,
            calls=state.calls.count,
            faults=len(state.faults.active()),
        )


def reset(_request: Request, core: Core) -> Reply:
    """POST /sandbox/reset: the initial state, also of faults and settings."""
    core.reset()
    return ok()


def put_settings(request: Request, core: Core) -> Reply:
    """PUT /sandbox/settings: changes the given settings."""
    with core.changing() as state:
        given = request.body(schemas.Behaviour).model_dump(exclude_unset=True)
        behaviour = state.behaviour.model_copy(update=given)
        state.behave(behaviour)
        return ok(settings=behaviour.model_dump())


def put_kafka_credentials(request: Request, core: Core) -> Reply:
    """PUT /sandbox/kafka-credentials."""
    with core.changing() as state:
        state.kafka_credentials = request.body(schemas.KafkaCredentials).model_dump()
        return ok()


def expire_tokens(_request: Request, core: Core) -> Reply:
    """POST /sandbox/tokens/expire."""
    with core.changing() as state:
        state.tokens.expire()
        return ok()


def list_calls(_request: Request, core: Core) -> Reply:
    """GET /sandbox/calls: the last calls, and the `count` of all."""
    with core.looking() as state:
        calls = [call.as_json() for call in state.calls.all()]
        return ok(count=state.calls.count, calls=calls)


def list_faults(_request: Request, core: Core) -> Reply:
    """GET /sandbox/faults: the faults in effect, with the times that are left."""
    with core.looking() as state:
        return ok(faults=[asdict(fault) for fault in state.faults.active()])


def add_fault(request: Request, core: Core) -> Reply:
    """POST /sandbox/faults."""
    with core.changing() as state:
        fault = Fault(**request.body(schemas.FaultOrder).model_dump())
        state.faults.add(fault)
        return ok(201, fault=asdict(fault))


def clear_faults(_request: Request, core: Core) -> Reply:
    """DELETE /sandbox/faults: removes all, and releases the calls that hang."""
    with core.changing() as state:
        state.faults.clear()
    core.release()
    return ok()


def release(_request: Request, core: Core) -> Reply:
    """POST /sandbox/release: releases the calls that hang."""
    core.release()
    return ok()


def put_config(request: Request, core: Core, identifier: str) -> Reply:
    """PUT /sandbox/integrations/{id}/config: the body is the new config."""
    config = schemas.check(schemas.ConfigChange, {"config": request.json}).config
    with core.changing() as state:
        return ok(integration=state.integrations.patch(identifier, {"config": config}))


def request_resync(_request: Request, core: Core, identifier: str) -> Reply:
    """POST /sandbox/integrations/{id}/resync."""
    with core.changing() as state:
        return ok(request=state.integrations.request_resync(identifier))


def list_reports(_request: Request, core: Core, identifier: str) -> Reply:
    """GET /sandbox/integrations/{id}/reports: in the order of their arrival."""
    with core.looking() as state:
        return ok(reports=state.integrations.reports(identifier))


def list_sync_metrics(_request: Request, core: Core, identifier: str) -> Reply:
    """GET /sandbox/integrations/{id}/sync-metrics: kind by kind, in the order of arrival."""
    with core.looking() as state:
        return ok(syncMetrics=list(state.page(identifier).rows))


def list_heartbeats(_request: Request, core: Core, identifier: str) -> Reply:
    """GET /sandbox/integrations/{id}/heartbeats: in the order of their arrival."""
    with core.looking() as state:
        return ok(heartbeats=list(state.page(identifier).heartbeats))


def list_logs(_request: Request, core: Core, identifier: str) -> Reply:
    """GET /sandbox/integrations/{id}/logs: the lines that were shipped, in that order."""
    with core.looking() as state:
        return ok(logs=list(state.page(identifier).logs))


def list_entities(request: Request, core: Core) -> Reply:
    """GET /sandbox/entities: all, or with `?blueprint=…` those of one blueprint."""
    with core.looking() as state:
        found = state.catalog.entities(request.query.get("blueprint"))
        return ok(entities=[{**item.as_json(), "writer": item.writer} for item in found])


def list_deliveries(_request: Request, core: Core) -> Reply:
    """GET /sandbox/deliveries: the webhooks that were sent, with their results."""
    with core.looking() as state:
        return ok(deliveries=[delivery.as_json() for delivery in state.deliveries])


INTEGRATION = "/sandbox/integrations/<identifier:part>"

ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", "/sandbox/state", show_state),
    ("POST", "/sandbox/reset", reset),
    ("PUT", "/sandbox/settings", put_settings),
    ("PUT", "/sandbox/kafka-credentials", put_kafka_credentials),
    ("POST", "/sandbox/tokens/expire", expire_tokens),
    ("GET", "/sandbox/calls", list_calls),
    ("GET", "/sandbox/faults", list_faults),
    ("POST", "/sandbox/faults", add_fault),
    ("DELETE", "/sandbox/faults", clear_faults),
    ("POST", "/sandbox/release", release),
    ("PUT", f"{INTEGRATION}/config", put_config),
    ("POST", f"{INTEGRATION}/resync", request_resync),
    ("GET", f"{INTEGRATION}/reports", list_reports),
    ("GET", f"{INTEGRATION}/sync-metrics", list_sync_metrics),
    ("GET", f"{INTEGRATION}/heartbeats", list_heartbeats),
    ("GET", f"{INTEGRATION}/logs", list_logs),
    ("GET", "/sandbox/entities", list_entities),
    ("GET", "/sandbox/deliveries", list_deliveries),
]
