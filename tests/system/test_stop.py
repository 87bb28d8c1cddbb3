"""A stop in every state: it ends in time, leaves no thread behind and floods no log."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from scripted import Script

from ocean_actors import Actor, ResyncHandler, ResyncRun, RunEnded, Supervision
from ocean_actors.actors import Backoff
from ocean_actors.messages import IntegrationRegistered
from ocean_actors.sandbox import Sandbox
from ocean_actors.sandbox.legal import runs_of
from ocean_actors.testing import SandboxedSystem

NAME = "under-test"
GET = f"/integration/{NAME}$"
CALM = {"type": "POLLING", "interval": 3600}
COMMAND = [sys.executable, "-c", "import sys; from ocean_actors.cli import main; sys.exit(main())"]
WITHIN = 30.0


class Fragile(Actor):
    """Fails at once, and would be restarted in an hour."""

    supervision = Supervision(backoff=Backoff(initial=3600.0, maximum=3600.0))

    def on_start(self) -> None:
        raise ValueError("broken on purpose")


class Failing(ResyncHandler):
    def resync(self, run: ResyncRun) -> None:
        raise ValueError("broken on purpose")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        sandbox.create_blueprint("service")
        yield sandbox


@pytest.fixture
def hanging() -> Iterator[Any]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def state(rig: SandboxedSystem) -> Any:
    return rig.system.status()["resync"]["state"]


def calls(sandbox: Sandbox, end: Any) -> Any:
    return sum(call.path.endswith(end) for call in sandbox.calls)


def idle(rig: SandboxedSystem, _script: Script) -> None:
    rig.expect(RunEnded)


def running(_rig: SandboxedSystem, script: Script) -> None:
    script.wait_until_at_work()


def aborting(rig: SandboxedSystem, script: Script) -> None:
    script.wait_until_at_work()
    rig.system.request_resync("newer")
    rig.system.request_resync("and newer")


def debounce(rig: SandboxedSystem, _script: Script) -> None:
    rig.expect(IntegrationRegistered)
    rig.system.request_resync()
    assert state(rig) == "waiting"


def retry(rig: SandboxedSystem, _script: Script) -> None:
    rig.expect(RunEnded)
    assert state(rig) == "waiting"


def preparing(rig: SandboxedSystem, _script: Script) -> None:
    rig.expect(RunEnded)
    rig.sandbox.fail("hang", None, path=GET)
    rig.system.request_resync()
    assert state(rig) == "preparing"
    hangs = f"/integration/{NAME}"
    rig.sandbox.wait_for(
        lambda: any(each.path.endswith(hangs) and each.status is None for each in rig.sandbox.calls)
    )


def registering(rig: SandboxedSystem, _script: Script) -> None:
    rig.sandbox.wait_for(lambda: rig.sandbox.calls)
    assert not rig.system.status()["registered"]


def backoff(rig: SandboxedSystem, _script: Script) -> None:
    rig.expect(RunEnded)
    found = {actor["name"]: actor["state"] for actor in rig.system.status()["actors"]}
    assert found["Fragile"] == "restarting"


OPEN_SOCKETS: list[socket.socket] = []


def serving(rig: SandboxedSystem, _script: Script) -> None:
    url = rig.system.http_url
    assert url is not None
    port = int(url.rpartition(":")[2])
    half_sent = socket.create_connection(("127.0.0.1", port))
    OPEN_SOCKETS.append(half_sent)
    half_sent.sendall(b"POST /resync HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    rig.sandbox.wait_for(lambda: calls(rig.sandbox, "/resync-request"))


STATES: dict[str, tuple[Callable[[SandboxedSystem, Script], None], dict[str, Any]]] = {
    "idle": (idle, {}),
    "running": (running, {}),
    "aborting": (aborting, {}),
    "in a debounce": (debounce, {"resync": {"debounce": 3600}}),
    "before a retry": (retry, {"resync": {"retry": {"attempts": 1, "backoff": 3600}}}),
    "preparing while Port hangs": (preparing, {}),
    "registering while Port hangs": (registering, {}),
    "an actor's restart pending": (backoff, {}),
    "serving a webhook": (
        serving,
        {
            "eventListener": {"type": "WEBHOOK", "appHost": "http://127.0.0.1:9"},
            "http": {"host": "127.0.0.1", "port": 0},
        },
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_a_stop_ends_everything(
    name: Any,
    sandbox: Sandbox,
    script: Script,
    scripted: type[ResyncHandler],
    quick: type[ResyncHandler],
    caplog: pytest.LogCaptureFixture,
) -> None:
    reach, settings = STATES[name]
    handlers: dict[Any, type[ResyncHandler]] = {
        running: scripted, aborting: scripted, retry: Failing,
    }  # fmt: skip
    handler = handlers.get(reach, quick)
    if reach is registering:
        sandbox.fail("hang", None)
    before = set(threading.enumerate())
    actors = [Fragile] if reach is backoff else []
    settings = {"eventListener": CALM, **settings}
    with SandboxedSystem([handler], actors, sandbox=sandbox, **settings) as rig:
        reach(rig, script)
        told = len(caplog.records)
        assert rig.system.stop()
        assert rig.system.status()["leftBehind"] == []
        while OPEN_SOCKETS:
            OPEN_SOCKETS.pop().close()
    assert set(threading.enumerate()) <= before
    assert [item.message for item in caplog.records[told:] if item.levelname == "ERROR"] == []
    assert "running" not in runs_of(sandbox.reports(NAME))
    sandbox.clear_faults()


def test_a_stop_ends_the_search_for_a_port_that_is_away(
    quick: type[ResyncHandler], caplog: pytest.LogCaptureFixture, reserve_port: Callable[[], int]
) -> None:
    away = Sandbox(reserve_port())
    before = set(threading.enumerate())
    with SandboxedSystem([quick], sandbox=away, eventListener=CALM) as rig:
        assert rig.system.status()["registered"] is False
        assert rig.system.stop()
    assert set(threading.enumerate()) <= before
    assert "Traceback" not in caplog.text


# -- handlers that wait in calls ---------------------------------------------------------------


class Calling(ResyncHandler):
    """Waits in a call that is never answered; says so, and how it came out of it."""

    script: ClassVar[Script]
    wait: ClassVar[Callable[[ResyncRun], None]]

    def resync(self, run: ResyncRun) -> None:
        try:
            self.script.entered.put(run)
            type(self).wait(run)
        except BaseException as error:
            self.script.entered.put(error)
            raise


def calling(script: Script, wait: Any) -> Any:
    return type("Calling", (Calling,), {"script": script, "wait": staticmethod(wait)})


def first_byte(run: ResyncRun, url: str) -> None:
    run.session.get(url)


def busy_session(run: ResyncRun, _url: Any) -> None:
    run.session.get(run.config["busy"])


def upsert(run: ResyncRun, _url: Any) -> None:
    run.port.upsert("service", [{"identifier": "shop"}])


def upsert_again(run: ResyncRun, _url: Any) -> None:
    run.port.upsert("service", [{"identifier": "busy"}])


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (first_byte, None),
        (busy_session, {"kind": "status", "status": 503, "path": "/busy$"}),
        (upsert, {"kind": "hang", "path": "/entities/bulk$"}),
        (upsert_again, {"kind": "status", "status": 503, "path": "/entities/bulk$"}),
        (
            upsert_again,
            {
                "kind": "status", "status": 429, "path": "/entities/bulk$",
                "headers": {"Retry-After": "250"},
            },
        ),
    ],
    ids=[
        "session: first byte", "session: backoff",
        "upsert: first byte", "upsert: backoff", "upsert: Retry-After",
    ],
)  # fmt: skip
def test_an_abort_ends_the_call_that_a_handler_waits_in(
    sandbox: Sandbox,
    script: Script,
    hanging: Any,
    call: Any,
    fault: dict[str, Any] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ocean_actors.system.FLUSH_SECONDS", WITHIN)
    if fault is not None:
        sandbox.fail(times=None, **fault)
    sandbox.create_integration(NAME, config={"busy": f"{sandbox.url}/v1/busy"})
    handler = calling(script, lambda run: call(run, hanging))
    with SandboxedSystem([handler], sandbox=sandbox, eventListener=CALM) as rig:
        script.wait_until_at_work()
        if fault is not None:
            sandbox.wait_for(lambda: calls(sandbox, ("/entities/bulk", "/busy")))
        rig.system.request_resync("newer")
        assert rig.expect(RunEnded).status == "aborted"
        error = script.wait_until_at_work()
        assert type(error).__name__ == "ResyncAborted"
        assert "superseded: newer" in str(error)
        script.wait_until_at_work()
        assert rig.system.stop()
    sandbox.clear_faults()
    assert runs_of(sandbox.reports(NAME)) == ["aborted", "aborted"]


# -- handlers that do not end ------------------------------------------------------------------


def test_threads_that_do_not_end_are_named_and_do_not_hold_up_the_stop(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    freed = threading.Event()

    class Deaf(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            script.entered.put(run)
            freed.wait(WITHIN)

    with SandboxedSystem([Deaf], eventListener=CALM, resync={"abortGrace": 0.1}) as rig:
        script.wait_until_at_work()
        assert not rig.system.stop()
        assert rig.system.status()["leftBehind"] == ["handler-Deaf"]
        rig.sandbox.wait_for(lambda: rig.statuses() == ["running", "aborted"])
    assert "threads left behind, as they did not end: handler-Deaf" in caplog.text
    freed.set()
    for thread in threading.enumerate():
        if thread.name == "handler-Deaf":
            thread.join(WITHIN)


# -- as a process ------------------------------------------------------------------------------

HANDLERS = """
import threading, time
from ocean_actors import ResyncHandler

class Patient(ResyncHandler):
    def resync(self, run):
        run.sleep(3600)

class Loop(ResyncHandler):
    def resync(self, run):
        while True:
            pass
"""


@pytest.mark.parametrize(
    ("handler", "fault", "wait_for"),
    [
        ("Patient", None, "/resync-state"),
        ("Loop", None, "/resync-state"),
        ("Patient", {"kind": "hang", "times": None}, "/access_token"),
        ("Patient", {"kind": "hang", "times": None, "path": "/integration"}, "/integration/demo"),
        ("Patient", {"kind": "status", "times": None, "status": 503}, "/access_token"),
    ],
    ids=["cooperative", "endless loop", "token hangs", "registration hangs", "Port fails"],
)
def test_sigterm_ends_the_process_in_every_state(
    tmp_path: Path, sandbox: Sandbox, handler: str, fault: dict[str, Any] | None, wait_for: str
) -> None:
    if fault is not None:
        sandbox.fail(**fault)
    (tmp_path / "work.py").write_text(HANDLERS)
    (tmp_path / "config.yaml").write_text(
        textwrap.dedent(f"""
        port:
          clientId: {sandbox.client_id}
          clientSecret: {sandbox.client_secret}
          baseUrl: {sandbox.url}
        integration: {{identifier: demo}}
        resync: {{abortGrace: 0.2}}
        """)
    )
    environment = {key: value for key, value in os.environ.items() if "OCEAN__" not in key}
    with subprocess.Popen(
        [*COMMAND, "run", "config.yaml", "--handler", f"work.py:{handler}"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
    ) as process:  # fmt: skip
        try:
            sandbox.wait_for(lambda: calls(sandbox, wait_for), WITHIN)
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=WITHIN)
        finally:
            process.kill()
    sandbox.clear_faults()
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert runs_of(sandbox.reports("demo")) == (["aborted"] if fault is None else [])
    assert ("left behind" in output) == (handler == "Loop")
