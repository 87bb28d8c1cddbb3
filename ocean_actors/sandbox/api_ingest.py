"""Where the sandbox takes sync metrics, heartbeats and logs; docs/port-wire.md, section 13."""

from __future__ import annotations

from typing import Any

from ocean_actors.sandbox import schemas
from ocean_actors.sandbox.api import Handler, Json, Reply, ok
from ocean_actors.sandbox.request import Request
from ocean_actors.sandbox.state import State


def post_sync_metrics(request: Request, state: State, identifier: str) -> Reply:
    """POST …/metrics/syncMetrics: sync metrics of several kinds."""
    request.body(schemas.SyncKindsMetrics)
    rows: list[Json] = request.json["syncKindsMetrics"]
    state.page(identifier).add_rows("POST", rows, state.stamps.next())
    return ok()


def put_sync_metrics(request: Request, state: State, identifier: str, **_path: Any) -> Reply:
    """PUT …/metrics/syncMetrics/resync/{event}/kind/{kind}: sync metrics of one kind."""
    request.body(schemas.SyncKindMetrics)
    row: Json = request.json["syncKindMetrics"]
    state.page(identifier).add_rows("PUT", [row], state.stamps.next())
    return ok()


def post_heartbeat(request: Request, state: State, identifier: str) -> Reply:
    """POST …/metrics/heartbeat: a run is alive."""
    body = request.body(schemas.Heartbeat)
    state.page(identifier).add_heartbeat(body.event_id, state.stamps.next())
    return ok()


def post_logs(request: Request, state: State, identifier: str) -> Reply:
    """POST …/logs: lines of the log."""
    request.body(schemas.Logs)
    state.page(identifier).add_logs(request.json["logs"])
    return ok()


INGEST = "/v1/ingest/<identifier:part>"

ROUTES: list[tuple[str, str, Handler]] = [
    ("POST", f"{INGEST}/logs", post_logs),
    ("POST", f"{INGEST}/metrics/syncMetrics", post_sync_metrics),
    (
        "PUT",
        f"{INGEST}/metrics/syncMetrics/resync/<event:part>/kind/<kind:part>",
        put_sync_metrics,
    ),
    ("POST", f"{INGEST}/metrics/heartbeat", post_heartbeat),
]
