from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import requests

from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import ManualClock

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
REPORT = {
    "status": "running",
    "lastResyncStart": "2026-10-01T08:00:00.123456+00:00",
    "lastResyncEnd": None,
    "nextResync": "2026-10-01T10:00:00+00:00",
    "intervalInMinuets": 120,
}


def test_an_unknown_integration_is_not_found_in_ports_shape(client: Client) -> None:
    body = client.ask("GET", "/integration/demo?oceanCoreVersion=0.48.12&isPolling=false", 404)
    assert body["ok"] is False
    assert body["error"] == "not_found"
    assert "demo" in body["message"]


def test_a_registered_integration_can_be_read(demo: Client) -> None:
    made = demo.ask("GET", "/integration/demo?oceanCoreVersion=0.48.12")["integration"]
    assert (made["identifier"], made["installationId"]) == ("demo", "demo")
    assert made["config"] == {}
    assert made["changelogDestination"] == {}
    assert made["installationType"] == "OnPrem"
    assert "resyncState" not in made
    assert STAMP.fullmatch(made["updatedAt"])


def test_it_cannot_be_registered_twice(demo: Client) -> None:
    assert demo.ask("POST", "/integration", 409, json={"installationId": "demo"})["ok"] is False


def test_one_whose_resources_port_makes_has_a_config_soon(client: Client) -> None:
    body = {"installationId": "demo", "createPortResourcesOrigin": "Port", "config": {}}
    client.ask("POST", "/integration?integration_modes=create_resources", 202, json=body)
    assert client.ask("GET", "/integration/demo")["integration"]["config"]


@pytest.mark.parametrize("name", ["a/b", "a b", "ümläut", "a%2Fb", "..", "config", "a?b#c"])
def test_an_identifier_may_hold_anything_when_percent_encoded(client: Client, name: str) -> None:
    client.ask("POST", "/integration", 201, json={"installationId": name})
    path = f"/integration/{quote(name, safe='').replace('.', '%2E')}"
    prepared = client.prepare_request(
        requests.Request("GET", client.sandbox.url + "/v1/integration/x")
    )
    prepared.url = f"{client.sandbox.url}/v1{path}"
    answer = client.send(prepared, timeout=30)
    assert answer.json()["integration"]["identifier"] == name


@pytest.mark.parametrize(
    "destination",
    [
        {},
        {"type": "KAFKA"},
        {"type": "WEBHOOK", "url": "http://127.0.0.1:1/resync"},
        {"type": "KAFKA", "agent": True},
    ],
)
def test_the_destination_can_be_changed(demo: Client, destination: dict[str, Any]) -> None:
    body = {"changelogDestination": destination}
    changed = demo.ask("PATCH", "/integration/demo", json=body)["integration"]
    assert changed["changelogDestination"] == destination


@pytest.mark.parametrize(
    "body",
    [
        {"changelogDestination": {"type": "SMOKE"}},
        {"changelogDestination": {"type": "WEBHOOK"}},
        {"changelogDestination": {"type": "WEBHOOK", "url": "ftp://x"}},
        {"changelogDestination": {"type": "KAFKA", "agent": 1}},
        {"changelogDestination": []},
        {"config": []},
        {"version": 5},
        {"unheard": "of"},
    ],
)
def test_a_change_that_does_not_fit_is_refused_and_changes_nothing(
    demo: Client, body: dict[str, Any]
) -> None:
    before = demo.ask("GET", "/integration/demo")
    refused = demo.ask("PATCH", "/integration/demo", 422, json=body)
    assert refused["ok"] is False
    assert next(iter(body)) in refused["message"]
    assert demo.ask("GET", "/integration/demo") == before


def test_there_is_no_request_at_first(demo: Client) -> None:
    assert demo.ask("GET", "/integration/demo/resync-request")["request"] is None


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("PATCH", "/integration/demo", {}), ("POST", "/integration/demo/resync", None)],
)
def test_a_resync_can_be_requested(
    demo: Client, method: str, path: str, body: dict[str, Any] | None
) -> None:
    demo.ask(method, path, json=body)
    first = demo.ask("GET", "/integration/demo/resync-request")["request"]
    demo.ask(method, path, json=body)
    second = demo.ask("GET", "/integration/demo/resync-request")["request"]
    assert first["id"] != second["id"]
    assert STAMP.fullmatch(first["updatedAt"])
    assert first["updatedAt"] < second["updatedAt"]


@pytest.mark.parametrize("path", ["/integration/demo", "/integration/demo/config"])
def test_saving_the_config_makes_a_resync_request(demo: Client, path: str) -> None:
    before = demo.ask("GET", "/integration/demo")["integration"]
    after = demo.ask("PATCH", path, json={"config": {"resources": [1]}})["integration"]
    assert after["config"] == {"resources": [1]}
    assert after["updatedAt"] > before["updatedAt"]
    assert demo.ask("GET", "/integration/demo/resync-request")["request"]["id"]


def test_saving_the_config_makes_no_request_when_told_so(demo: Client, sandbox: Sandbox) -> None:
    headers = {"x-skip-resync": "true"}
    demo.ask("PATCH", "/integration/demo/config", json={"config": {"a": 1}}, headers=headers)
    sandbox.configure(config_change_creates_request=False)
    demo.ask("PATCH", "/integration/demo/config", json={"config": {"a": 2}})
    assert demo.ask("GET", "/integration/demo/resync-request")["request"] is None


def test_a_report_moves_both_times_to_the_same(demo: Client) -> None:
    before = demo.ask("GET", "/integration/demo")["integration"]
    demo.ask("PATCH", "/integration/demo/resync-state", json=REPORT)
    after = demo.ask("GET", "/integration/demo")["integration"]
    assert after["resyncState"] == {**REPORT, "updatedAt": after["updatedAt"]}
    assert after["updatedAt"] > before["updatedAt"]


def test_the_report_of_the_end_keeps_the_start(demo: Client) -> None:
    demo.ask("PATCH", "/integration/demo/resync-state", json=REPORT)
    end = {"status": "completed", "lastResyncEnd": "2026-10-01T08:00:09Z"}
    answer = demo.ask("PATCH", "/integration/demo/resync-state", json=end)
    state = answer["integration"]["resyncState"]
    assert state["lastResyncStart"] == REPORT["lastResyncStart"]
    assert (state["status"], state["lastResyncEnd"]) == ("completed", end["lastResyncEnd"])


def test_reports_are_remembered_in_their_order(demo: Client, sandbox: Sandbox) -> None:
    for status in ("running", "aborted", "running", "completed"):
        demo.ask("PATCH", "/integration/demo/resync-state", json={"status": status})
    assert sandbox.statuses("demo") == ["running", "aborted", "running", "completed"]
    url = f"{sandbox.url}/sandbox/integrations/demo/reports"
    reports = requests.get(url, timeout=30).json()["reports"]
    assert reports == sandbox.reports("demo")
    times = [report["updatedAt"] for report in reports]
    assert times == sorted(set(times))


@pytest.mark.parametrize(
    "body",
    [{"status": "done"}, {"lastResyncStart": "yesterday"}, {"intervalInMinuets": "two"}, []],
)
def test_a_report_that_does_not_fit_is_refused(demo: Client, sandbox: Sandbox, body: Any) -> None:
    demo.ask("PATCH", "/integration/demo/resync-state", 422, json=body)
    assert sandbox.statuses("demo") == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/integration/no"),
        ("PATCH", "/integration/no/config"),
        ("PATCH", "/integration/no/resync-state"),
        ("POST", "/integration/no/resync"),
        ("GET", "/integration/no/resync-request"),
        ("DELETE", "/integration/no"),
    ],
)
def test_every_call_about_an_unknown_one_is_not_found(
    client: Client, method: str, path: str
) -> None:
    assert client.ask(method, path, 404, json={"config": {}})["error"] == "not_found"


def test_a_deleted_integration_is_gone(demo: Client) -> None:
    demo.ask("DELETE", "/integration/demo")
    demo.ask("GET", "/integration/demo", 404)
    assert demo.ask("GET", "/integration")["integrations"] == []


def test_the_organization_tells_its_flags(
    make_sandbox: Callable[..., Sandbox], client: Client, sandbox: Sandbox
) -> None:
    assert client.ask("GET", "/organization")["organization"]["id"] == "org_sandbox"
    sandbox.configure(feature_flags=["SOME_FLAG"])
    assert client.ask("GET", "/organization")["organization"]["featureFlags"] == ["SOME_FLAG"]


def test_kafka_credentials_are_those_that_were_set(client: Client, sandbox: Sandbox) -> None:
    client.ask("GET", "/kafka-credentials", 404)
    sandbox.set_kafka_credentials("user", "pass", ["a:1", "b:2"])
    expected = {"username": "user", "password": "pass", "brokers": ["a:1", "b:2"]}
    assert client.ask("GET", "/kafka-credentials")["credentials"] == expected


def test_times_increase_even_while_the_clock_stands(
    make_sandbox: Callable[..., Sandbox], clock: ManualClock
) -> None:
    sandbox = make_sandbox(clock=clock)
    times = [sandbox.create_integration("demo")["updatedAt"]]
    times += [sandbox.set_config("demo", {"n": n})["updatedAt"] for n in range(20)]
    assert times == sorted(set(times))


def test_the_config_can_be_changed_and_a_resync_requested_from_outside(
    demo: Client, sandbox: Sandbox
) -> None:
    url = f"{sandbox.url}/sandbox/integrations/demo"
    changed = requests.put(f"{url}/config", json={"a": [1]}, timeout=30)
    assert changed.json()["integration"]["config"] == {"a": [1]}
    requested = requests.post(f"{url}/resync", timeout=30).json()["request"]
    assert demo.ask("GET", "/integration/demo/resync-request")["request"] == requested
    assert (sandbox.integration("demo") or {})["config"] == {"a": [1]}


def test_what_was_given_in_python_is_copied(sandbox: Sandbox) -> None:
    config = {"list": [1]}
    sandbox.create_integration("demo", config=config)
    config["list"].append(2)
    assert (sandbox.integration("demo") or {})["config"] == {"list": [1]}


def test_two_sandboxes_know_nothing_of_each_other(
    make_sandbox: Callable[..., Sandbox], sandbox: Sandbox
) -> None:
    other = make_sandbox()
    sandbox.create_integration("demo")
    assert other.integration("demo") is None


def test_a_sandbox_started_again_still_knows_everything(
    make_sandbox: Callable[..., Sandbox], sandbox: Sandbox
) -> None:
    sandbox.create_integration("demo")
    sandbox.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(sandbox.url, timeout=30)
    sandbox.start()
    assert requests.get(f"{sandbox.url}/sandbox/state", timeout=30).json()["integrations"]


def test_upstreams_examples_and_questions_are_answered(demo: Client) -> None:
    demo.ask("POST", "/integration/demo/kinds/thing/examples", json={"examples": []})
    assert demo.ask("GET", "/integration/provision-enabled")["integrations"] == []
