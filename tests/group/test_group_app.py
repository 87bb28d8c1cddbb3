"""The web application of a group: whose call it is, and what probes are told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from ocean_actors.actors import SystemClock
from ocean_actors.group import app as group_app
from ocean_actors.group.app import GroupApp, Mounted, health, live, ready
from ocean_actors.web.health import Health
from ocean_actors.web.log import WebLog

WITHIN = 30.0
READY = Health(listening=True, port=True)
FAILED = Health(problems=("the system has ended because of a failure",), port=True)
ENDED = Health(port=True, ended=True)
STANDBY = Health(listening=True, port=True, standby=True)


def echo(environ: Mapping[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}".encode()]


def group(
    *identifiers: str, app: Callable[..., Any] = echo, share: int = 2, **apps: Any
) -> GroupApp:
    mounted = [Mounted(name, apps.get(name, app), lambda: READY) for name in identifiers]
    return GroupApp(mounted, WebLog(SystemClock()), share=share)


def call(app: GroupApp, path: str, method: str = "GET") -> tuple[str, bytes]:
    statuses: list[str] = []
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "SCRIPT_NAME": "/mounted"}
    body = b"".join(app(environ, lambda status, *_: statuses.append(status)))
    return statuses[0], body


@pytest.mark.parametrize(
    ("identifiers", "path", "seen"),
    [
        (["shop", "blog"], "/blog/resync", "/mounted/blog|/resync"),
        (["shop", "shop/eu"], "/shop/live/x/y", "/mounted/shop|/live/x/y"),
        (["shop", "shop/eu"], "/shop%2Feu/resync", "/mounted/shop%2Feu|/resync"),
        (["shop", "shop/eu"], "/shop/eu/resync", "/mounted/shop/eu|/resync"),  # decoded
        (["my ü"], "/my%20%C3%BC/resync", "/mounted/my%20%C3%BC|/resync"),
        (["my ü"], "/my \xc3\xbc/resync", "/mounted/my \xc3\xbc|/resync"),  # as PEP 3333 has it
        (["health"], "/health/resync", "/mounted/health|/resync"),
        (["health"], "/health/health/live", "/mounted/health|/health/live"),
    ],
)
def test_a_call_below_an_identifier_is_that_integrations(
    identifiers: list[str], path: str, seen: str
) -> None:
    assert call(group(*identifiers), path) == ("200 OK", seen.encode())


@pytest.mark.parametrize("path", ["/resync", "/other/resync", "/shop", "/shopping/resync", "/", ""])
def test_other_paths_are_refused(path: str) -> None:
    status, body = call(group("shop"), path, "POST")
    assert status == "404 Not Found"
    assert b"/health/ready" in body
    assert b"shop" not in body  # whoever calls need not learn who is here


def test_the_metrics_of_all_are_beside_those_of_each() -> None:
    page = Mounted("shop", echo, lambda: READY)
    shown = GroupApp([page], WebLog(SystemClock()), share=1, metrics=lambda: (b"all", "text/plain"))
    assert call(shown, "/shop/metrics") == ("200 OK", b"/mounted/shop|/metrics")
    assert call(shown, "/metrics") == ("200 OK", b"all")


def test_an_integration_called_health_does_not_hide_the_health_of_all() -> None:
    assert b'"integrations"' in call(group("health"), "/health/live")[1]


def test_calls_that_hang_take_no_place_of_other_integrations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_app, "PATIENCE", 0.01)
    entered, done = threading.Semaphore(0), threading.Event()

    def hang(environ: Any, start_response: Any) -> Any:
        entered.release()
        assert done.wait(WITHIN)
        return echo(environ, start_response)

    app = group("shop", "blog", share=2, shop=hang)
    hanging = [threading.Thread(target=call, args=(app, "/shop/resync")) for _ in range(2)]
    for thread in hanging:
        thread.start()
        assert entered.acquire(timeout=WITHIN)
    status, body = call(app, "/shop/resync")
    assert status == "503 Service Unavailable"
    assert b"too many calls to this integration are in progress" in body
    assert call(app, "/blog/resync")[0] == "200 OK"
    done.set()
    for thread in hanging:
        thread.join(WITHIN)
    assert call(app, "/shop/resync")[0] == "200 OK"


def test_a_place_is_given_back_by_a_call_that_fails() -> None:
    def fail(_environ: Any, _start_response: Any) -> Any:
        raise ValueError("broken on purpose")

    app = group("shop", share=1, shop=fail)
    for _ in range(3):
        with pytest.raises(ValueError, match="broken on purpose"):
            call(app, "/shop/resync")


def test_the_process_is_live_while_one_integration_works() -> None:
    assert live({"a": READY, "b": FAILED}) == (
        True,
        {
            "a": {"ok": True},
            "b": {"ok": False, "reason": "the system has ended because of a failure"},
        },
    )
    assert not live({"a": FAILED, "b": FAILED})[0]


def test_it_is_ready_once_every_integration_is() -> None:
    assert ready({"a": READY, "b": READY})[0]
    assert not ready({"a": READY, "b": Health()})[0]
    assert not ready({"a": READY, "b": STANDBY})[0]
    assert not ready({"a": READY, "b": FAILED})[0]


def test_an_integration_that_has_ended_as_asked_is_not_waited_for() -> None:
    ok, each = ready({"a": READY, "once": ENDED})
    assert ok
    assert each["once"] == {
        "ok": False, "listening": False, "port": True, "standby": False, "ended": True,
    }  # fmt: skip


def test_the_health_of_all_is_that_of_the_worst() -> None:
    ok, each = health({"a": READY, "b": FAILED})
    assert not ok
    assert each["a"] == {
        "ok": True, "listening": True, "port": True, "standby": False, "ended": False,
    }  # fmt: skip
    assert each["b"]["ok"] is False
    assert each["b"]["reason"] == "the system has ended because of a failure"


def test_the_health_of_one_that_has_ended_as_asked_is_good() -> None:
    ok, each = health({"a": READY, "once": ENDED})
    assert ok
    assert each["once"] == {
        "ok": True, "listening": False, "port": True, "standby": False, "ended": True,
    }  # fmt: skip
    assert not health({"a": READY, "b": STANDBY})[0]
