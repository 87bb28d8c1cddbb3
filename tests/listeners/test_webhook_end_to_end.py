"""WEBHOOK with real actors and sockets; the sandbox plays Port's part and calls."""

from __future__ import annotations

import functools
import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from scripted import Quick

from ocean_actors import OceanSystem, ResyncHandler, ResyncRun, RunEnded, RunStarted, Settings
from ocean_actors.listeners.port_watcher import Observed
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import ManualClock, wait_idle
from ocean_actors.testing.sandboxed import EventRecorder, port_of
from ocean_actors.web.server import HttpServer
from ocean_actors.web.signature import sign

WITHIN = 30.0
DEMO = "demo"
REQUEST = json.dumps({"action": "RESYNC", "context": {"integrationId": DEMO}}).encode()
JSON = {"Content-Type": "application/json"}
NOTHING: Any = None  # where something else is expected


class Webhook:
    """A system that listens by WEBHOOK. Its application is mounted in a server of the test's,
    which has a port before the system has settings; with `own_server` it serves by itself.
    """

    def __init__(
        self, sandbox: Sandbox, handlers: Any = (Quick,), *,
        clock: ManualClock | None = None, own_server: bool = False, port: int = 0,
        http_port: int = 0, resync: Any = None, **listener: Any,
    ) -> None:  # fmt: skip
        self.sandbox = sandbox
        self.events: queue.Queue[Any] = queue.Queue()
        self.front = HttpServer(self._forward, "127.0.0.1", port)
        self.front.start()
        settings = {
            "port": port_of(sandbox),
            "integration": {"identifier": DEMO},
            "eventListener": {"type": "WEBHOOK", "appHost": self.front.url, **listener},
            "http": {"host": "127.0.0.1", "port": http_port},
            "resync": {"abortGrace": 5, **(resync or {})},
        }
        self.system = OceanSystem(
            Settings.from_dict(settings, {}),
            handlers,
            [functools.partial(EventRecorder, self.events)],
            clock=clock,
            serve_http=None if own_server else False,
            debug=True,
        )
        self.url = self.front.url

    def __enter__(self) -> Any:
        self.system.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.system.stop()
        self.front.stop()

    def _forward(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        return self.system.wsgi_app(environ, start_response)

    def expect(self, event_type: Any) -> Any:
        until = time.monotonic() + WITHIN
        while True:
            event = self.events.get(timeout=max(0.0, until - time.monotonic()))
            if isinstance(event, event_type):
                return event

    def post(self, body: bytes = b"", headers: Any = JSON) -> requests.Response:
        return requests.post(self.url + "/resync", data=body, headers=headers, timeout=WITHIN)

    def post_signed(self, body: bytes = REQUEST, timestamp: int | None = None) -> requests.Response:
        moment = int(time.time()) if timestamp is None else timestamp
        signature = sign(self.sandbox.client_secret.encode(), moment, body)
        signed = {**JSON, "x-port-timestamp": str(moment), "x-port-signature": signature}
        return self.post(body, signed)

    def ready(self) -> requests.Response:
        return requests.get(self.url + "/health/ready", timeout=WITHIN)

    def settle(self) -> None:
        wait_idle(self.system._actors)

    def statuses(self) -> list[str | None]:
        return self.sandbox.statuses(DEMO)

    def questions(self) -> int:
        return sum(call.path.endswith("/resync-request") for call in self.sandbox.calls)

    def wait_for_questions(self, count: int) -> None:
        self.sandbox.wait_for(lambda: self.questions() >= count, WITHIN)

    def wait_for_statuses(self, *expected: Any) -> None:
        self.sandbox.wait_for(lambda: self.statuses() == list(expected), WITHIN)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def unsigned() -> Iterator[Sandbox]:
    with Sandbox(webhook_signing="unsigned") as sandbox:
        yield sandbox


# -- registration and events -----------------------------------------------------------------


def test_port_is_told_where_to_call(sandbox: Sandbox) -> None:
    with Webhook(sandbox) as webhook:
        webhook.wait_for_questions(1)
        known = sandbox.integration(DEMO)
        assert known is not None
        assert known["changelogDestination"] == {"type": "WEBHOOK", "url": webhook.url + "/resync"}


def test_a_destination_that_differs_is_changed(sandbox: Sandbox) -> None:
    sandbox.create_integration(DEMO, changelogDestination={"type": "KAFKA"})
    with Webhook(sandbox) as webhook:
        webhook.wait_for_questions(1)
        known = sandbox.integration(DEMO)
        assert known is not None
        assert known["changelogDestination"]["type"] == "WEBHOOK"


def test_a_resync_request_is_one_run_and_reports_that_come_back_are_none(sandbox: Sandbox) -> None:
    with Webhook(sandbox) as webhook:
        webhook.wait_for_questions(1)
        sandbox.request_resync(DEMO)
        assert webhook.expect(RunStarted).run.trigger == "webhook"
        webhook.wait_for_statuses("running", "completed")
        reports = [f"{status}" for status in webhook.statuses()]
        sandbox.wait_for(lambda: _delivered_reports(sandbox) == [(r, 200) for r in reports], WITHIN)
        webhook.settle()
        assert webhook.statuses() == ["running", "completed"]


def test_a_saved_config_is_the_config_of_the_run(sandbox: Sandbox) -> None:
    with Webhook(sandbox) as webhook:
        webhook.wait_for_questions(1)
        sandbox.set_config(DEMO, {"resources": [1]}, skip_resync=True)
        run = webhook.expect(RunStarted).run
        assert (run.reason, run.config) == ("configuration changed", {"resources": [1]})


def _delivered_reports(sandbox: Sandbox) -> Any:
    """The status of each report that Port sent back to us, and what it was answered."""
    found = []
    for delivery in sandbox.deliveries:
        after = (delivery.message.get("diff") or {}).get("after") or {}
        state = after.get("resyncState") or {}
        if state and after.get("updatedAt") == state.get("updatedAt"):
            found.append((state["status"], delivery.status))
    return found


def test_an_answer_never_waits_for_the_resync(sandbox: Sandbox) -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Slow(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            entered.set()
            go_on.wait(WITHIN)

    try:
        with Webhook(sandbox, [Slow], resync={"onNewRequest": "queue"}) as webhook:
            webhook.wait_for_questions(1)
            assert webhook.post_signed().status_code == 202
            assert entered.wait(WITHIN)
            assert webhook.post_signed(b"").status_code == 202
            go_on.set()
            webhook.wait_for_statuses("running", "completed", "running", "completed")
    finally:
        go_on.set()


def test_a_burst_while_a_run_is_in_flight_leads_to_one_more(sandbox: Sandbox) -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Slow(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            entered.set()
            go_on.wait(WITHIN)

    now = int(time.time())
    try:
        with Webhook(sandbox, [Slow], resync={"abortGrace": 60}) as webhook:
            webhook.wait_for_questions(1)
            webhook.post_signed()
            assert entered.wait(WITHIN)
            for number in range(200):
                assert webhook.post_signed(timestamp=now - 1 - number).status_code == 202
            go_on.set()
            webhook.wait_for_statuses("running", "aborted", "running", "completed")
            webhook.settle()
            assert len(webhook.statuses()) == 4
    finally:
        go_on.set()


def test_under_ignore_a_request_is_answered_as_ignored(sandbox: Sandbox) -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Slow(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            entered.set()
            go_on.wait(WITHIN)

    try:
        with Webhook(sandbox, [Slow], resync={"onNewRequest": "ignore"}) as webhook:
            webhook.wait_for_questions(1)
            webhook.post_signed()
            assert entered.wait(WITHIN)
            assert webhook.post_signed(b"").json()["status"] == "ignored"
            go_on.set()
    finally:
        go_on.set()


# -- calls that prove nothing ----------------------------------------------------------------


def test_an_unsigned_call_of_port_leads_to_one_run(unsigned: Sandbox) -> None:
    with Webhook(unsigned) as webhook:
        webhook.wait_for_questions(1)
        unsigned.request_resync(DEMO)
        assert webhook.expect(RunStarted).run.reason == "resync requested"
        webhook.wait_for_statuses("running", "completed")


def test_a_stranger_has_port_asked_once_a_second_and_starts_nothing(unsigned: Sandbox) -> None:
    clock = ManualClock()
    with Webhook(unsigned, clock=clock) as webhook:
        webhook.wait_for_questions(1)
        for _ in range(20):
            assert webhook.post(REQUEST).json()["status"] == "checking"
        webhook.settle()
        assert webhook.questions() == 1
        clock.advance(0.9)
        webhook.settle()
        assert webhook.questions() == 1
        clock.advance(0.1)
        webhook.settle()
        assert webhook.questions() == 2
        clock.advance(100)
        webhook.settle()
        assert webhook.questions() == 2
        webhook.post(REQUEST)
        webhook.settle()
        assert webhook.questions() == 3
        assert webhook.statuses() == []


def test_a_stranger_cannot_abort_a_run(unsigned: Sandbox) -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Slow(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            entered.set()
            go_on.wait(WITHIN)

    clock = ManualClock()
    try:
        with Webhook(unsigned, [Slow], clock=clock) as webhook:
            webhook.wait_for_questions(1)
            webhook.system.request_resync()
            assert entered.wait(WITHIN)
            webhook.post(REQUEST)
            clock.advance(1)
            webhook.wait_for_questions(2)
            go_on.set()
            assert webhook.expect(RunEnded).status == "completed"
    finally:
        go_on.set()


def test_a_signature_that_is_wrong_starts_nothing(sandbox: Sandbox) -> None:
    sandbox.configure(webhook_signing="wrong")
    with Webhook(sandbox) as webhook:
        webhook.wait_for_questions(1)
        sandbox.request_resync(DEMO)
        sandbox.wait_for(lambda: [d.status for d in sandbox.deliveries][-1:] == [401], WITHIN)
        webhook.settle()
        assert webhook.statuses() == []


# -- the safety net --------------------------------------------------------------------------


def test_what_no_call_told_is_found_by_asking(sandbox: Sandbox) -> None:
    clock = ManualClock()
    sandbox.configure(webhook_signing="wrong")  # so that every call is lost
    with Webhook(sandbox, clock=clock) as webhook:
        webhook.wait_for_questions(1)
        webhook.settle()
        sandbox.request_resync(DEMO)
        clock.advance(299)
        webhook.settle()
        assert webhook.questions() == 1
        clock.advance(1)
        assert webhook.expect(RunStarted).run.reason == "resync requested"
        webhook.settle()  # the time-outs of calls go by the same clock
        sandbox.set_config(DEMO, {"resources": [1]}, skip_resync=True)
        clock.advance(300)
        assert webhook.expect(RunStarted).run.config == {"resources": [1]}


def test_what_an_authentic_call_told_is_not_found_again(sandbox: Sandbox) -> None:
    with Webhook(sandbox, checkInterval=0.1) as webhook:
        webhook.wait_for_questions(1)
        sandbox.request_resync(DEMO)
        webhook.wait_for_statuses("running", "completed")
        webhook.wait_for_questions(webhook.questions() + 2)
        webhook.settle()
        assert webhook.statuses() == ["running", "completed"]


def test_while_port_fails_it_is_asked_ever_more_slowly(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    with Webhook(sandbox, clock=clock) as webhook:
        webhook.wait_for_questions(1)
        webhook.settle()
        sandbox.fail("status", times=None, status=500, path=f"/v1/integration/{DEMO}")
        sandbox.request_resync(DEMO)
        for _ in range(6):
            clock.advance(300)
            webhook.settle()
        sandbox.clear_faults()
        clock.advance(300)
        assert webhook.expect(RunStarted).run.reason == "resync requested"
    assert any("Port cannot be asked" in record.getMessage() for record in caplog.records)


# -- what was missed -------------------------------------------------------------------------


@pytest.mark.parametrize("missed", ["request", "config", "running"])
def test_what_was_missed_while_down_is_caught_up(sandbox: Sandbox, missed: str) -> None:
    with Webhook(sandbox) as webhook:
        webhook.wait_for_questions(1)
        webhook.post_signed()
        webhook.wait_for_statuses("running", "completed")
    if missed == "request":
        sandbox.request_resync(DEMO)
    elif missed == "config":
        sandbox.set_config(DEMO, {"resources": [1]}, skip_resync=True)
    else:
        _report(sandbox, "running")
    with Webhook(sandbox, port=webhook.front.port) as webhook:  # so that Port is told nothing new
        run = webhook.expect(RunStarted).run
        assert run.trigger == "webhook"
        webhook.sandbox.wait_for(lambda: webhook.statuses()[-1:] == ["completed"], WITHIN)


def test_when_nothing_was_missed_nothing_runs(sandbox: Sandbox) -> None:
    with Webhook(sandbox) as webhook:
        webhook.wait_for_questions(1)
        webhook.post_signed()
        webhook.wait_for_statuses("running", "completed")
    questions = webhook.questions()
    with Webhook(sandbox, port=webhook.front.port) as again:  # else its address had changed
        again.wait_for_questions(questions + 1)
        again.settle()
        assert again.statuses() == ["running", "completed"]


def _report(sandbox: Sandbox, status: str) -> None:
    """A report that some process made."""
    token = requests.post(
        sandbox.url + "/v1/auth/access_token",
        json={"clientId": sandbox.client_id, "clientSecret": sandbox.client_secret},
        timeout=WITHIN,
    ).json()["accessToken"]
    answer = requests.patch(
        f"{sandbox.url}/v1/integration/{DEMO}/resync-state",
        json={"status": status, "lastResyncStart": "2026-01-01T00:00:00.000Z"},
        headers={"Authorization": f"Bearer {token}"},
        timeout=WITHIN,
    )
    assert answer.ok


HANDLER = """
import sys, time
from ocean_actors import ResyncHandler

class Stuck(ResyncHandler):
    def resync(self, run):
        print("at work", flush=True)
        run.sleep(3600)

class Quick(ResyncHandler):
    def resync(self, run):
        pass
"""


def command(tmp_path: Path, sandbox: Sandbox, port: int, handler: str) -> list[str]:
    (tmp_path / "handlers.py").write_text(HANDLER)
    config = tmp_path / "config.yaml"
    settings = {
        "port": port_of(sandbox),
        "integration": {"identifier": DEMO},
        "eventListener": {"type": "WEBHOOK", "appHost": f"http://127.0.0.1:{port}"},
        "http": {"host": "127.0.0.1", "port": port},
    }
    config.write_text(json.dumps(settings))  # JSON is YAML
    return [
        sys.executable, "-c", "import sys, ocean_actors.cli as cli; sys.exit(cli.main())",
        "run", str(config),
        "--handler", f"{tmp_path / 'handlers.py'}:{handler}",
    ]  # fmt: skip


def test_after_a_kill_between_202_and_the_end_of_the_run_it_is_run_at_the_next_start(
    sandbox: Sandbox, tmp_path: Path, reserve_port: Callable[[], int]
) -> None:
    port = reserve_port()
    first = subprocess.Popen(
        command(tmp_path, sandbox, port, "Stuck"), stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None
    try:
        sandbox.wait_for(lambda: _looked(sandbox), WITHIN)
        sandbox.request_resync(DEMO)
        assert first.stdout.readline() == "at work\n"
        sandbox.wait_for(lambda: 202 in [d.status for d in sandbox.deliveries], WITHIN)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait(WITHIN)
        first.stdout.close()
    assert "completed" not in sandbox.statuses(DEMO)
    second = subprocess.Popen(command(tmp_path, sandbox, port, "Quick"))
    try:
        sandbox.wait_for(lambda: sandbox.statuses(DEMO)[-1:] == ["completed"], WITHIN)
    finally:
        second.send_signal(signal.SIGTERM)
        assert second.wait(WITHIN) == 0


def _looked(sandbox: Sandbox) -> bool:
    return any(call.path.endswith("/resync-request") for call in sandbox.calls)


# -- life of the server ----------------------------------------------------------------------


def test_a_port_in_use_is_one_line_and_exit_code_1(sandbox: Sandbox, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            command(tmp_path, sandbox, port, "Quick"),
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    last = ended.stderr.strip().splitlines()[-1]
    assert f"cannot listen on 127.0.0.1:{port}" in last
    assert "http.port" in last


def test_it_serves_by_itself_and_frees_the_port_at_its_stop(sandbox: Sandbox) -> None:
    before = set(threading.enumerate())
    with Webhook(sandbox, own_server=True) as webhook:
        webhook.url = webhook.system.http_url
        webhook.wait_for_questions(1)
        assert webhook.ready().status_code == 200
        assert webhook.post_signed().status_code == 202
        webhook.expect(RunEnded)
        assert webhook.system.stop()
        with pytest.raises(requests.ConnectionError):
            webhook.ready()
        port = int(webhook.url.rpartition(":")[2])
        with socket.create_server(("127.0.0.1", port)):
            pass
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not [name for name in left if "webhook" in name or "http" in name]


def test_after_a_crash_the_listener_serves_again(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    with Webhook(sandbox, own_server=True) as webhook:
        webhook.url = webhook.system.http_url
        webhook.wait_for_questions(1)
        webhook.settle()
        cells = webhook.system._actors._cells.values()
        listener = next(cell.ref for cell in cells if cell.name == "webhook")
        listener.tell(Observed(NOTHING, None, None))
        webhook.wait_for_questions(2)
        assert webhook.post_signed().status_code == 202
        webhook.expect(RunEnded)
    assert "webhook failed and restarts" in caplog.text


def test_it_is_ready_once_port_was_reached(reserve_port: Callable[[], int]) -> None:
    sandbox = Sandbox(port=reserve_port())
    with Webhook(sandbox) as webhook:
        answer = webhook.ready()
        assert answer.status_code == 503
        assert answer.json()["port"] is False
        with sandbox:
            webhook.wait_for_questions(1)
            assert webhook.ready().status_code == 200


def test_mounted_elsewhere_it_answers_503_before_the_start_and_after_the_stop(
    sandbox: Sandbox,
) -> None:
    webhook = Webhook(sandbox)
    assert webhook.post_signed(b"").status_code == 503
    with webhook:
        webhook.wait_for_questions(1)
        assert webhook.post_signed(b"").status_code == 202
        webhook.system.stop()
        assert webhook.post_signed(REQUEST).status_code == 503


def test_two_systems_in_one_process_do_not_touch(sandbox: Sandbox) -> None:
    with Sandbox(client_secret="another") as other:  # noqa: SIM117
        with Webhook(sandbox) as one, Webhook(other) as two:
            one.wait_for_questions(1)
            two.wait_for_questions(1)
            assert one.post_signed().status_code == 202
            one.wait_for_statuses("running", "completed")
            assert two.statuses() == []
