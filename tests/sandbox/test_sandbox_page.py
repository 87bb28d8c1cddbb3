"""The sandbox takes sync metrics, heartbeats and logs, and shows what it was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import requests

from ocean_actors.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client

KIND: dict[str, Any] = {  # as upstream sends it
    "integrationType": "toy",
    "installationType": "OnPrem",
    "executionMode": "single_process",
    "integrationIdentifier": "demo",
    "integrationVersion": "0.0.1",
    "oceanVersion": "0.56.2",
    "kindIdentifier": "widget-0",
    "kind": "widget",
    "kindIndex": 0,
    "eventId": "abc",
    "syncState": "completed",
    "blueprint": '"bw"',
    "metrics": {
        "cpu_max_percent": 28.8,
        "phase": {
            "resync": {"duration_seconds": 0.27, "success": 1.0},
            "load": {"object_count_type": {"loaded": {"object_count": 3.0}}},
        },
    },
}
LINE = {"message": "hello", "level": "INFO", "timestamp": "2026-01-02T03:04:05Z", "extra": {}}
ONE = "/metrics/syncMetrics/resync/abc/kind/widget-0"


def address(client: Client, attributes: str, identifier: str = "demo") -> str:
    integration = client.ask("GET", f"/integration/{identifier}")["integration"]
    url: str = integration[attributes]["ingestUrl"]
    return url.removeprefix(f"{client.sandbox.url}/v1")


def shown(sandbox: Sandbox, what: str) -> Any:
    answer = requests.get(f"{sandbox.url}/sandbox/integrations/demo/{what}", timeout=30)
    return answer.json()


def test_what_is_sent_to_the_addresses_is_kept_and_shown(demo: Client, sandbox: Sandbox) -> None:
    metrics, logs = address(demo, "metricAttributes"), address(demo, "logAttributes")
    other = {**KIND, "kindIdentifier": "gadget-1", "kind": "gadget", "kindIndex": 1}
    demo.ask("POST", f"{metrics}/syncMetrics", json={"syncKindsMetrics": [KIND, other]})
    path = f"{metrics}/syncMetrics/resync/abc/kind/widget-0"
    demo.ask("PUT", path, json={"syncKindMetrics": KIND})
    demo.ask("POST", f"{metrics}/heartbeat", json={"eventId": "abc"})
    demo.ask("POST", logs, json={"logs": [LINE, {**LINE, "message": "bye"}]})
    rows = sandbox.sync_metrics("demo")
    assert [(row["method"], row["kind"]) for row in rows] == [
        ("POST", KIND), ("POST", other), ("PUT", KIND),
    ]  # fmt: skip
    assert [beat["eventId"] for beat in sandbox.heartbeats("demo")] == ["abc"]
    assert [line["message"] for line in sandbox.logs("demo")] == ["hello", "bye"]
    assert shown(sandbox, "sync-metrics") == {"ok": True, "syncMetrics": rows}
    assert shown(sandbox, "heartbeats") == {"ok": True, "heartbeats": sandbox.heartbeats("demo")}
    assert shown(sandbox, "logs") == {"ok": True, "logs": sandbox.logs("demo")}


@pytest.mark.parametrize("identifier", ["a b", "a/b", "a?b#c", "ü%41"])
def test_the_addresses_of_an_odd_identifier_lead_to_it(
    client: Client, sandbox: Sandbox, identifier: str
) -> None:
    client.ask("POST", "/integration", 201, json={"installationId": identifier})
    path = f"/integration/{quote(identifier, safe='')}"
    url = client.ask("GET", path)["integration"]["logAttributes"]["ingestUrl"]
    assert client.post(url, json={"logs": [LINE]}, timeout=30).status_code == 200
    assert sandbox.logs(identifier) == [LINE]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/metrics/syncMetrics", {"syncKindsMetrics": KIND}),
        ("POST", "/metrics/syncMetrics", {}),
        ("PUT", ONE, {"syncKindMetrics": {**KIND, "syncState": "done"}}),
        ("PUT", ONE, {"syncKindMetrics": {**KIND, "kindIndex": "0"}}),
        ("PUT", ONE, {"syncKindMetrics": {**KIND, "eventId": ""}}),
        ("PUT", ONE, {"syncKindMetrics": {**KIND, "metrics": {"phase": {"sleep": {}}}}}),
        ("PUT", ONE, {"syncKindMetrics": {**KIND, "metrics": {"phase": {"load": {"count": 1}}}}}),
        ("PUT", ONE, {"syncKindMetrics": {k: v for k, v in KIND.items() if k != "blueprint"}}),
        ("POST", "/metrics/heartbeat", {}),
        ("POST", "/logs", {"logs": ["hello"]}),
        ("POST", "/logs", {"logs": [{**LINE, "timestamp": "now"}]}),
    ],
)
def test_a_body_of_another_shape_is_refused_and_not_kept(
    demo: Client, sandbox: Sandbox, method: str, path: str, body: Any
) -> None:
    demo.ask(method, f"/ingest/demo{path}", 422, json=body)
    assert sandbox.sync_metrics("demo") == sandbox.heartbeats("demo") == sandbox.logs("demo") == []


def test_nobody_sends_without_a_token_or_for_an_unknown_integration(
    demo: Client, sandbox: Sandbox
) -> None:
    demo.ask("POST", "/ingest/other/logs", 404, json={"logs": []})
    del demo.headers["Authorization"]
    demo.ask("POST", "/ingest/demo/logs", 401, json={"logs": [LINE]})
    assert sandbox.logs("demo") == []


def test_integrations_name_no_addresses_if_told_so(demo: Client, sandbox: Sandbox) -> None:
    sandbox.configure(ingest_addresses=False)
    answers = [
        demo.ask("GET", "/integration/demo"),
        demo.ask("PATCH", "/integration/demo", json={"title": "x"}),
        demo.ask("PATCH", "/integration/demo/resync-state", json={"status": "running"}),
    ]
    for answer in answers:
        assert not {"logAttributes", "metricAttributes"} & answer["integration"].keys()


def test_a_reset_forgets_them(demo: Client, sandbox: Sandbox) -> None:
    demo.ask("POST", "/ingest/demo/logs", json={"logs": [LINE]})
    sandbox.reset()
    sandbox.create_integration("demo")
    assert sandbox.logs("demo") == []
