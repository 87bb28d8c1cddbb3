"""Health over HTTP, under every listener: what Kubernetes asks, and who serves it."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pykka
import pytest
import requests
from scripted import WITHIN, Quick, Script
from waiting import wait_until

from ocean_actors import ResyncHandler, RunEnded
from ocean_actors.messages import Ignore, Reception, ResyncRequested
from ocean_actors.resync.admission import Admit
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import ManualClock, SandboxedSystem, wait_idle

HTTP = {"host": "127.0.0.1", "port": 0}
LISTENERS: dict[str, dict[str, Any]] = {
    "POLLING": {"eventListener": {"type": "POLLING", "interval": 0.1}},
    "WEBHOOK": {"eventListener": {"type": "WEBHOOK", "appHost": "http://127.0.0.1:9"}},
    "schedule": {
        "eventListener": {"type": "POLLING", "interval": 0.1},
        "scheduledResyncInterval": 1,
    },
}
NOWHERE = {
    "type": "KAFKA", "brokers": "127.0.0.1:9", "kafkaSecurityEnabled": False,
}  # fmt: skip


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def probe(rig: SandboxedSystem, path: str = "ready") -> tuple[int, dict[str, Any]]:
    answer = requests.get(f"{rig.system.http_url}/health/{path}", timeout=WITHIN)
    return answer.status_code, answer.json()


def is_ready(rig: SandboxedSystem) -> bool:
    return probe(rig)[0] == 200


READY = {"ok": True, "listening": True, "port": True, "standby": False}


@pytest.mark.parametrize("name", LISTENERS)
def test_it_is_live_and_becomes_ready(name: str) -> None:
    with SandboxedSystem([Quick], http=HTTP, **LISTENERS[name]) as rig:
        assert probe(rig, "live") == (200, {"ok": True})
        wait_until(lambda: is_ready(rig), "readiness")
        assert probe(rig) == (200, READY)


def test_once_is_ready_while_its_run_is_in_flight(
    script: Script, scripted: type[ResyncHandler]
) -> None:
    with SandboxedSystem([scripted], http=HTTP, eventListener={"type": "ONCE"}) as rig:
        script.wait_until_at_work()
        assert probe(rig, "live") == (200, {"ok": True})
        wait_until(lambda: is_ready(rig), "readiness")
        script.let_finish()
        assert rig.system.wait(WITHIN)
        assert rig.system.http_url is None
        assert rig.system.exit_code == 0


def test_standing_by_it_is_live_and_not_ready() -> None:
    with SandboxedSystem([Quick], http=HTTP, eventListener=NOWHERE) as rig:
        wait_until(
            lambda: probe(rig)[1]["port"] is True and probe(rig)[1]["listening"] is True,
            "Port and the listener",
        )
        assert probe(rig) == (503, {**READY, "ok": False, "standby": True})
        assert probe(rig, "live") == (200, {"ok": True})
        rig.system._resync.set_role(active=True)
        wait_until(lambda: is_ready(rig), "readiness")


def test_it_is_live_while_port_is_away(reserve_port: Callable[[], int]) -> None:
    sandbox = Sandbox(port=reserve_port())
    with SandboxedSystem([Quick], sandbox=sandbox, http=HTTP) as rig:
        assert probe(rig)[0] == 503
        assert probe(rig)[1]["port"] is False
        assert probe(rig, "live") == (200, {"ok": True})
        with sandbox:
            wait_until(lambda: is_ready(rig), "readiness")


def test_it_is_live_while_port_hangs(sandbox: Sandbox) -> None:
    clock = ManualClock()
    with SandboxedSystem([Quick], sandbox=sandbox, clock=clock, http=HTTP) as rig:
        rig.expect(RunEnded)
        wait_idle(rig.system._actors, WITHIN)  # then the next poll is due
        sandbox.fail("hang", None)
        hanging = len(sandbox.calls) + 1
        clock.advance(0.2)
        sandbox.wait_for(lambda: len(sandbox.calls) >= hanging)
        clock.advance(100)  # longer than an actor that calls nobody may take
        assert probe(rig, "live") == (200, {"ok": True})


class Stuck(pykka.ThreadingFuture[Reception]):
    """Holds whoever sets it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go_on = threading.Event(), threading.Event()

    def set(self, value: Any = None) -> None:
        self.reached.set()
        self.go_on.wait(WITHIN)


def test_a_coordinator_that_hangs_fails_the_liveness_probe_until_it_goes_on() -> None:
    clock, stuck = ManualClock(), Stuck()
    with SandboxedSystem([Quick], clock=clock, http=HTTP) as rig:
        try:
            rig.expect(RunEnded)
            wait_idle(rig.system._actors, WITHIN)  # the time-outs of calls go by the same clock
            coordinator = rig.system._resync._coordinator
            assert coordinator is not None
            request = ResyncRequested(reason="please", trigger="test", requested_at=clock.now())
            coordinator.tell(Admit(request, stuck, Ignore("to hang when it answers")))
            assert stuck.reached.wait(WITHIN)
            clock.advance(29)
            assert probe(rig, "live") == (200, {"ok": True})
            clock.advance(1)
            status, answer = probe(rig, "live")
            assert status == 503
            assert answer == {"ok": False, "reason": "coordinator has been in Admit for 30 s"}
        finally:
            stuck.go_on.set()
        wait_until(lambda: probe(rig, "live")[0] == 200, "liveness")


def test_an_unknown_path_names_those_that_are_served() -> None:
    with SandboxedSystem([Quick], http=HTTP) as rig:
        answer = requests.get(f"{rig.system.http_url}/", timeout=WITHIN)
        assert answer.status_code == 404
        assert "GET /health/live, GET /health/ready" in answer.json()["message"]
        assert requests.post(f"{rig.system.http_url}/resync", timeout=WITHIN).status_code == 404


@pytest.mark.parametrize(
    ("listener", "metrics", "status"),
    [
        ("POLLING", None, 200),
        ("POLLING", False, 404),
        ("WEBHOOK", None, 404),
        ("WEBHOOK", True, 200),
    ],
)
def test_metrics_are_served_beside_the_probes_unless_strangers_call_here(
    listener: str, metrics: bool | None, status: int
) -> None:
    http = {**HTTP, "metrics": metrics}
    with SandboxedSystem([Quick], http=http, **LISTENERS[listener]) as rig:
        answer = requests.get(f"{rig.system.http_url}/metrics", timeout=WITHIN)
        assert answer.status_code == status


# -- who serves it -------------------------------------------------------------------------------


def test_an_embedded_system_serves_nothing_unless_its_settings_name_http() -> None:
    before = {thread.name for thread in threading.enumerate()}
    with SandboxedSystem([Quick]) as rig:
        rig.expect(RunEnded)
        assert rig.system.http_url is None
        started = {thread.name for thread in threading.enumerate()} - before
    own = str(rig.sandbox.port)
    assert [name for name in started if name.startswith("http-") and own not in name] == []


def test_the_application_can_be_mounted_under_any_listener() -> None:
    with SandboxedSystem([Quick]) as rig:
        rig.expect(RunEnded)
        statuses: list[str] = []
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/health/ready"}
        body = rig.system.wsgi_app(environ, lambda status, *_: statuses.append(status))
        assert (statuses, b"".join(body)[:11]) == (["200 OK"], b'{"ok": true')


@pytest.mark.parametrize("listener", ["POLLING", "WEBHOOK"])
def test_a_port_in_use_that_was_set_ends_the_system(listener: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        http = {"host": "127.0.0.1", "port": port}
        with SandboxedSystem([Quick], http=http, **LISTENERS[listener]) as rig:
            assert rig.system.wait(WITHIN)
    assert rig.system.exit_code == 1
    assert rig.system.cause is not None
    assert f"cannot listen on 127.0.0.1:{port}" in rig.system.cause
    assert "http.port" in rig.system.cause
    # Port was not told of an integration that does not work.
    assert {call.path for call in rig.sandbox.calls} <= {"/v1/auth/access_token"}


def test_the_default_port_in_use_costs_only_the_probes(caplog: pytest.LogCaptureFixture) -> None:
    try:
        taken = socket.create_server(("127.0.0.1", 8000))
    except OSError as error:  # somebody else has it
        assert error.errno == errno.EADDRINUSE  # noqa: PT017  (not what is tested)
        taken = socket.socket()
    with taken, SandboxedSystem([Quick], http={"host": "127.0.0.1"}) as rig:
        assert rig.expect(RunEnded).status == "completed"
        assert rig.system.http_url is None
    warnings = [text for text in caplog.messages if "cannot listen on 127.0.0.1:8000" in text]
    assert len(warnings) == 1
    assert "http.port" in warnings[0]


def test_its_port_is_free_after_the_stop() -> None:
    with SandboxedSystem([Quick], http=HTTP) as rig:
        url = rig.system.http_url
        assert url is not None
        wait_until(lambda: is_ready(rig), "readiness")
    with socket.create_server(("127.0.0.1", int(url.rpartition(":")[2]))):
        pass
