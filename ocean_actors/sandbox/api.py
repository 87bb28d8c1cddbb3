"""Port's API for integrations, a function for each call; docs/port-wire.md, section 2.

A handler runs while it alone holds the lock of the state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from ocean_actors.sandbox import schemas
from ocean_actors.sandbox.errors import invalid, not_found
from ocean_actors.sandbox.request import Request
from ocean_actors.sandbox.state import State

Json = dict[str, Any]
Reply = tuple[int, Json]
Handler = Callable[..., Reply]  # (request, state, **identifiers in the path)


def ok(status: int = 200, **fields: Any) -> Reply:
    """Returns a successful answer in Port's shape."""
    return status, {"ok": True, **fields}


# -- token, organization -------------------------------------------------------------------------


def issue_token(request: Request, state: State) -> Reply:
    """POST /auth/access_token."""
    body = request.body(schemas.Credentials)
    return ok(**state.tokens.issue(body.client_id, body.client_secret))


def get_organization(_request: Request, state: State) -> Reply:
    """GET /organization."""
    return ok(organization=state.organization())


def get_kafka_credentials(_request: Request, state: State) -> Reply:
    """GET /kafka-credentials."""
    if state.kafka_credentials is None:
        raise not_found("Kafka credentials of organization", state.organization_id)
    return ok(credentials=state.kafka_credentials)


def accept_examples(_request: Request, _state: State, **_path: str) -> Reply:
    """POST /integration/{id}/kinds/{kind}/examples: accepts upstream's examples, keeps nothing."""
    return ok()


# -- integration ---------------------------------------------------------------------------------


def list_integrations(_request: Request, state: State) -> Reply:
    """GET /integration."""
    return ok(integrations=state.integrations.all())


def list_provisioned(_request: Request, _state: State) -> Reply:
    """GET /integration/provision-enabled: the types whose resources Port creates; none here."""
    return ok(integrations=[])


def get_integration(request: Request, state: State, identifier: str) -> Reply:
    """GET /integration/{id}."""
    return ok(integration=_shown(request, state, state.integrations.get(identifier)))


def create_integration(request: Request, state: State) -> Reply:
    """POST /integration: 202 if Port is asked to create the resources; there are none here."""
    body = request.body(schemas.NewIntegration)
    fields = body.given()
    by_port = fields.pop("createPortResourcesOrigin", None) == "Port"
    if by_port and not fields.get("config"):
        fields["config"] = {"resources": []}
    created = state.integrations.create(body.installation_id, fields)
    return ok(202 if by_port else 201, integration=_shown(request, state, created))


def patch_integration(request: Request, state: State, identifier: str) -> Reply:
    """PATCH /integration/{id}."""
    fields = request.body(schemas.IntegrationChange).given()
    if request.json and not fields:
        raise invalid(f"none of these can be changed: {', '.join(map(str, request.json))}")
    skip = _skips_resync(request)
    changed = state.integrations.patch(identifier, fields, skip_resync=skip)
    return ok(integration=_shown(request, state, changed))


def patch_config(request: Request, state: State, identifier: str) -> Reply:
    """PATCH /integration/{id}/config."""
    config = request.body(schemas.ConfigChange).config
    skip = _skips_resync(request)
    changed = state.integrations.patch(identifier, {"config": config}, skip_resync=skip)
    return ok(integration=_shown(request, state, changed))


def delete_integration(_request: Request, state: State, identifier: str) -> Reply:
    """DELETE /integration/{id}."""
    state.integrations.delete(identifier)
    return ok()


def request_resync(_request: Request, state: State, identifier: str) -> Reply:
    """POST /integration/{id}/resync."""
    return ok(request=state.integrations.request_resync(identifier))


def get_resync_request(_request: Request, state: State, identifier: str) -> Reply:
    """GET /integration/{id}/resync-request: the newest request, or null."""
    return ok(request=state.integrations.request(identifier))


def report_state(request: Request, state: State, identifier: str) -> Reply:
    """PATCH /integration/{id}/resync-state."""
    report = request.body(schemas.StateReport).given()
    return ok(integration=_shown(request, state, state.integrations.report(identifier, report)))


def _shown(request: Request, state: State, integration: Json) -> Json:
    """Returns the integration, with the addresses that take its logs and metrics."""
    if not state.behaviour.ingest_addresses:
        return integration
    host, name = request.headers.get("host", "localhost"), quote(integration["identifier"], safe="")
    ingest = f"http://{host}/v1/ingest/{name}"
    return {
        **integration,
        "logAttributes": {"ingestUrl": f"{ingest}/logs"},
        "metricAttributes": {"ingestUrl": f"{ingest}/metrics"},
    }


def _skips_resync(request: Request) -> bool:
    return request.headers.get("x-skip-resync", "").lower() == "true"


INTEGRATION = "/v1/integration/<identifier:part>"

PUBLIC: list[tuple[str, str, Handler]] = [("POST", "/v1/auth/access_token", issue_token)]
ROUTES: list[tuple[str, str, Handler]] = [
    ("POST", f"{INTEGRATION}/kinds/<rest:path>", accept_examples),
    ("GET", "/v1/organization", get_organization),
    ("GET", "/v1/kafka-credentials", get_kafka_credentials),
    ("GET", "/v1/integration", list_integrations),
    ("POST", "/v1/integration", create_integration),
    ("GET", "/v1/integration/provision-enabled", list_provisioned),
    ("GET", INTEGRATION, get_integration),
    ("PATCH", INTEGRATION, patch_integration),
    ("DELETE", INTEGRATION, delete_integration),
    ("PATCH", f"{INTEGRATION}/config", patch_config),
    ("POST", f"{INTEGRATION}/resync", request_resync),
    ("GET", f"{INTEGRATION}/resync-request", get_resync_request),
    ("PATCH", f"{INTEGRATION}/resync-state", report_state),
]
