from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests

from ocean_actors.sandbox import Sandbox
from ocean_actors.sandbox.core import Core

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client


def order(sandbox: Sandbox, expected: Any = 201, /, **fault: Any) -> Any:
    answer = requests.post(f"{sandbox.url}/sandbox/faults", json=fault, timeout=30)
    assert answer.status_code == expected, answer.text
    return answer.json()


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_the_next_calls_answer_with_an_error_and_then_no_more(
    sandbox: Sandbox, client: Client, status: int
) -> None:
    order(sandbox, kind="status", status=status, times=2)
    for _ in range(2):
        body = client.ask("GET", "/organization", status)
        assert body["ok"] is False
        assert body["error"]
    assert client.ask("GET", "/organization")["ok"]


@pytest.mark.parametrize(
    "headers", [{"Retry-After": "7"}, {"x-ratelimit-reset": "3", "x-ratelimit-remaining": "0"}]
)
def test_an_error_carries_the_headers_it_was_given(
    sandbox: Sandbox, client: Client, headers: dict[str, Any]
) -> None:
    order(sandbox, kind="status", status=429, headers=headers)
    answer = client.call("GET", "/organization")
    assert {name: answer.headers[name] for name in headers} == headers


def test_the_answer_may_be_garbage(sandbox: Sandbox, client: Client) -> None:
    order(sandbox, kind="garbage")
    answer = client.call("GET", "/organization")
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"."):
        answer.json()


def test_the_answer_may_be_a_page_of_html(sandbox: Sandbox, client: Client) -> None:
    order(sandbox, kind="html", status=502)
    answer = client.call("GET", "/organization")
    assert (answer.status_code, answer.headers["Content-Type"]) == (502, "text/html")
    assert "<html>" in answer.text


@pytest.mark.parametrize(("kind", "expected"), [("list", [{"ok": True}]), ("empty", {})])
def test_the_answer_may_be_json_of_another_shape(
    sandbox: Sandbox, client: Client, kind: str, expected: Any
) -> None:
    order(sandbox, kind=kind)
    assert client.ask("GET", "/organization") == expected


@pytest.mark.parametrize("kind", ["truncate", "drop"])
def test_the_connection_may_be_closed_before_the_answer_is_whole(
    sandbox: Sandbox, client: Client, kind: str
) -> None:
    order(sandbox, kind=kind)
    with pytest.raises(requests.RequestException):
        client.call("GET", "/organization")
    assert client.ask("GET", "/organization")["ok"]
    assert [call.fault for call in sandbox.calls][-2:] == [kind, None]


def test_a_spoilt_call_takes_effect_only_if_told_so(sandbox: Sandbox, demo: Client) -> None:
    for applied, expected in ((False, []), (True, ["running"])):
        order(sandbox, kind="drop", applied=applied)
        with pytest.raises(requests.ConnectionError):
            demo.call("PATCH", "/integration/demo/resync-state", json={"status": "running"})
        assert sandbox.statuses("demo") == expected


def test_a_fault_hits_only_the_calls_it_is_for(sandbox: Sandbox, demo: Client) -> None:
    order(sandbox, kind="status", method="PATCH", path="/resync-state$")
    demo.ask("GET", "/integration/demo")
    demo.ask("PATCH", "/integration/demo", json={})
    demo.ask("PATCH", "/integration/demo/resync-state", 500, json={"status": "running"})
    demo.ask("PATCH", "/integration/demo/resync-state", json={"status": "running"})


def test_faults_are_taken_in_their_order(sandbox: Sandbox, client: Client) -> None:
    order(sandbox, kind="status", status=503)
    order(sandbox, kind="status", status=500, times=None)
    for status in (503, 500, 500, 500):
        client.ask("GET", "/organization", status)
    requests.delete(f"{sandbox.url}/sandbox/faults", timeout=30).raise_for_status()
    client.ask("GET", "/organization")


def test_the_faults_that_stand_can_be_read(sandbox: Sandbox, client: Client) -> None:
    order(sandbox, kind="status", times=3)
    client.ask("GET", "/organization", 500)
    (fault,) = requests.get(f"{sandbox.url}/sandbox/faults", timeout=30).json()["faults"]
    assert (fault["kind"], fault["times"]) == ("status", 2)


def test_a_share_of_the_calls_fails_the_same_ones_for_the_same_seed(
    make_sandbox: Callable[..., Sandbox],
) -> None:
    def outcomes(seed: Any) -> Any:
        sandbox = make_sandbox(seed=seed)
        sandbox.fail("status", times=None, rate=0.3)
        with requests.Session() as session:
            url = f"{sandbox.url}/v1/organization"
            return [session.get(url, timeout=30).status_code == 500 for _ in range(100)]

    first = outcomes(1)
    assert 15 < sum(first) < 45
    assert first == outcomes(1) != outcomes(2)


def test_a_delay_ends_by_itself(sandbox: Sandbox, client: Client) -> None:
    order(sandbox, kind="delay", seconds=0.01)
    assert client.ask("GET", "/organization")["ok"]


def test_a_release_also_ends_a_call_that_is_recorded_and_about_to_hang(
    sandbox: Sandbox, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    hold = Core.hold

    def wait_and_hold(core: Core, *args: Any) -> None:
        assert released.wait(30)
        hold(core, *args)

    monkeypatch.setattr(Core, "hold", wait_and_hold)
    order(sandbox, kind="hang", path="organization", seconds=600)
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(client.call, "GET", "/organization")
        sandbox.wait_for(lambda: sandbox.calls[-1].path.endswith("organization"))
        sandbox.release()
        released.set()
        try:
            assert hanging.result(30)
        finally:
            sandbox.stop()


@pytest.mark.parametrize("way", ["release", "clear", "stop", "reset", "http"])
def test_a_call_that_hangs_is_answered_once_released(
    sandbox: Sandbox, client: Client, way: str
) -> None:
    order(sandbox, kind="hang", path="organization")
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(client.call, "GET", "/organization")
        sandbox.wait_for(lambda: sandbox.calls[-1].path.endswith("organization"))
        assert sandbox.calls[-1].status is None
        assert not hanging.done()
        if way == "http":
            requests.post(f"{sandbox.url}/sandbox/release", timeout=30).raise_for_status()
        else:
            {
                "release": sandbox.release,
                "clear": sandbox.clear_faults,
                "stop": sandbox.stop,
                "reset": sandbox.reset,
            }[way]()
        assert hanging.result(30).status_code == (401 if way == "reset" else 200)


def test_the_sandbox_itself_can_always_be_reached(sandbox: Sandbox) -> None:
    order(sandbox, kind="drop", times=None)
    order(sandbox, kind="drop", times=None)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({}, "kind"),
        ({"kind": "smoke"}, "kind"),
        ({"kind": "status", "times": 0}, "times"),
        ({"kind": "status", "status": 99}, "status"),
        ({"kind": "status", "path": "("}, "path"),
        ({"kind": "hang", "seconds": -1}, "seconds"),
        ({"kind": "drop", "rate": 0}, "rate"),
        ({"kind": "drop", "rat": 1}, "rat"),
        ({"kind": "status", "headers": {"A\nB": "x"}}, "headers"),
        ({"kind": "status", "headers": {"Connection": "close"}}, "headers"),
        ({"kind": "status", "headers": {"A": "x\r\ny"}}, "headers"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(
    sandbox: Sandbox, fault: dict[str, Any], said: str
) -> None:
    refused = order(sandbox, 422, **fault)
    assert refused["ok"] is False
    assert said in refused["message"]


def test_waiting_for_what_does_not_happen_ends(sandbox: Sandbox) -> None:
    with pytest.raises(TimeoutError, match="within"):
        sandbox.wait_for(lambda: False, timeout=0.01)


def test_those_who_wait_and_those_who_change_do_not_stand_in_each_others_way(
    sandbox: Sandbox, client: Client
) -> None:
    """Predicates look at the sandbox under its lock while others publish."""
    sandbox.create_integration("demo")
    done = threading.Event()

    def change() -> None:
        for number in range(200):
            sandbox.set_config("demo", {"number": number})
        done.set()

    threads = [
        threading.Thread(
            target=sandbox.wait_for,
            args=(lambda: (sandbox.integration("demo") or {})["config"].get("number") == 199, 20),
        )
        for _ in range(4)
    ]
    threads.append(threading.Thread(target=change))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert done.is_set()
    assert not any(thread.is_alive() for thread in threads)
