"""Who may control the sandbox, and what a control call cannot do."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from ocean_actors.sandbox import Sandbox
from ocean_actors.sandbox.patterns import MAX_PATH, check, found


def post(sandbox: Sandbox, path: str, **options: Any) -> requests.Response:
    return requests.post(sandbox.url + path, timeout=30, **options)


FAULT = '{"kind": "drop", "times": null}'


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "localhost.evil:80", ""])
def test_a_control_call_under_another_name_is_refused(sandbox: Sandbox, host: str) -> None:
    headers = {"Host": host.format(port=sandbox.port)}
    assert post(sandbox, "/sandbox/reset", headers=headers).status_code in (400, 403)
    assert requests.get(
        f"{sandbox.url}/sandbox/state", headers=headers, timeout=30
    ).status_code in (400, 403)


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1", "[::1]:8099", "192.168.1.7:80"])
def test_a_control_call_by_address_is_accepted(sandbox: Sandbox, host: str) -> None:
    headers = {"Host": host.format(port=sandbox.port)}
    assert post(sandbox, "/sandbox/reset", headers=headers).status_code == 200


def test_the_name_that_the_sandbox_binds_is_accepted() -> None:
    with Sandbox(host="localhost") as sandbox:
        assert post(sandbox, "/sandbox/reset").status_code == 200


def test_a_page_of_another_site_controls_nothing(sandbox: Sandbox) -> None:
    origin = {"Origin": "http://evil.example"}
    assert post(sandbox, "/sandbox/reset", headers=origin).status_code == 403
    assert post(sandbox, "/sandbox/reset", headers={"Origin": "null"}).status_code == 403
    assert post(sandbox, "/sandbox/reset", headers={"Origin": sandbox.url}).status_code == 200
    for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        headers = {"Content-Type": content_type} if content_type else {}
        refused = post(sandbox, "/sandbox/faults", data=FAULT.encode(), headers=headers)
        assert refused.status_code == 415
        assert "application/json" in refused.json()["message"]
    assert requests.get(f"{sandbox.url}/sandbox/faults", timeout=30).json()["faults"] == []
    json_type = {"Content-Type": "application/json; charset=utf-8"}
    assert post(sandbox, "/sandbox/faults", data=FAULT, headers=json_type).status_code == 201


def test_ports_api_does_not_mind_under_which_name_it_is_called(sandbox: Sandbox) -> None:
    credentials = {"clientId": sandbox.client_id, "clientSecret": sandbox.client_secret}
    host = {"Host": "port.test"}
    answer = post(sandbox, "/v1/auth/access_token", json=credentials, headers=host)
    assert answer.status_code == 200


# --- patterns -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(a+)+$", "a group must not be repeated"),
        ("(?:a|aa)*$", "a group must not be repeated"),
        ("(a){2,}", "a group must not be repeated"),
        ("a*a*a*$", "at most 2 repeats"),
        ("a?" * 30 + "a" * 30, "at most 2 repeats"),
        ("(a|a)" * 5, "at most 4 alternatives"),
        (r"(a)\1", "back references"),
        ("(?=a)b", "look-arounds"),
        ("(?i)a", "look-arounds, flags"),
        ("a" * 201, "at most 200 characters"),
        ("[", "not a regular expression"),
        ("a{99999999999999999999}", "not a regular expression"),
    ],
)
def test_a_pattern_that_may_search_for_ever_is_refused(
    sandbox: Sandbox, pattern: str, said: str
) -> None:
    refused = post(sandbox, "/sandbox/faults", json={"kind": "drop", "path": pattern})
    assert refused.status_code == 422
    assert said in refused.json()["message"]


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("/resync-state$", "/v1/integration/demo/resync-state", True),
        ("^/v1/integration", "/v1/blueprints", False),
        ("/integration/[^/]+$", "/v1/integration/demo", True),
        (r"\(a\)+|\*", "/x*", True),
        ("/(entities|integration)/", "/v1/entities/bulk", True),
        (".*x", "/" + "y" * MAX_PATH + "x", False),
        ("x$", "/" + "y" * MAX_PATH + "x", True),
    ],
)
def test_a_usual_pattern_is_searched_in_the_path(pattern: str, path: str, fits: bool) -> None:
    check(pattern)
    assert found(pattern, path) is fits


@pytest.mark.parametrize(
    ("pattern", "end"),
    [("(a|a)(a|a)(a|a)(a|a)a*a*$", "!"), (".*.*[^a]$", ""), ("a{1,300}a{1,300}$", "!")],
)
def test_the_slowest_patterns_that_are_accepted_take_cubic_time(pattern: str, end: str) -> None:
    check(pattern)
    whole, half = (least_time_of_a_search(pattern, MAX_PATH // n, end) for n in (1, 2))
    assert whole < 12 * half  # cubic: 8 times as much; with one repeat more, 16 times


def least_time_of_a_search(pattern: str, length: int, end: str) -> float:
    """Of seven: the seconds of CPU that a search without a result takes, in this thread only."""
    path = "a" * length + end
    seconds = []
    for _ in range(7):
        began = time.thread_time()
        assert not found(pattern, path[-MAX_PATH:])
        seconds.append(time.thread_time() - began)
    return min(seconds)


# --- secrets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        '{"clientId": "sandbox", "clientSecret": "s3cr3t-value"',
        "clientId=sandbox&clientSecret=s3cr3t-value",
        '["s3cr3t-value"]',
        '"s3cr3t-value"',
        '{"credentials": {"clientSecret": "s3cr3t-value"}, "CLIENT_SECRET": "s3cr3t-value"}',
    ],
)
def test_the_record_of_malformed_token_calls_has_no_secret(sandbox: Sandbox, body: str) -> None:
    answer = post(sandbox, "/v1/auth/access_token?clientSecret=s3cr3t-value", data=body)
    assert answer.status_code in (400, 422)
    shown = requests.get(f"{sandbox.url}/sandbox/calls", timeout=30).text
    assert "/auth/access_token" in shown
    assert "s3cr3t-value" not in shown
    assert "s3cr3t-value" not in str(sandbox.calls[-1].body)
