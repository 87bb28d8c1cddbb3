from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests

from ocean_actors.sandbox import Sandbox
from ocean_actors.sandbox.calls import Call, CallLog

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client


def call(path: str = "/", raw: bytes = b"") -> Any:
    return Call(number=0, at="", method="GET", path=path, query={}, headers={}, raw=raw)


def test_every_call_is_remembered_as_it_came_and_was_answered(
    sandbox: Sandbox, demo: Client
) -> None:
    demo.ask("PATCH", "/integration/demo?x=1", 422, json={"version": 5})
    newest = sandbox.calls[-1]
    assert (newest.method, newest.path, newest.query) == (
        "PATCH",
        "/v1/integration/demo",
        {"x": "1"},
    )
    assert (newest.body, newest.status) == ({"version": 5}, 422)
    assert newest.headers["user-agent"] == demo.headers["User-Agent"]
    assert "authorization" not in newest.headers


def test_calls_can_be_read_from_outside(sandbox: Sandbox, demo: Client) -> None:
    demo.ask("GET", "/organization")
    remembered = requests.get(f"{sandbox.url}/sandbox/calls", timeout=30).json()
    assert remembered["count"] == sandbox.call_count == 3
    assert [item["path"] for item in remembered["calls"]][-1] == "/v1/organization"
    assert remembered["calls"][1]["body"]["installationId"] == "demo"


def test_a_body_that_is_no_json_is_remembered_as_text(sandbox: Sandbox, client: Client) -> None:
    client.ask("POST", "/integration", 400, data=b"\xffnonsense")
    assert sandbox.calls[-1].body == "\N{REPLACEMENT CHARACTER}nonsense"


def test_old_calls_are_forgotten_but_counted() -> None:
    log = CallLog(kept=3)
    for number in range(10):
        log.arrived(call(str(number)))
    log.answered(1, 200, None)
    assert [item.path for item in log.all()] == ["7", "8", "9"]
    assert log.count == 10


def test_large_bodies_are_forgotten_earlier() -> None:
    log = CallLog(kept_bytes=100)
    for number in range(5):
        log.arrived(call(str(number), b"x" * 40))
    assert [item.path for item in log.all()] == ["3", "4"]


def test_something_to_wait_for_happens_with_every_call(sandbox: Sandbox, client: Client) -> None:
    before = sandbox.call_count
    client.ask("GET", "/organization")
    sandbox.wait_for(lambda: sandbox.call_count == before + 1, timeout=30)
