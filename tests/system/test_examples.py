"""The examples do what they say."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import json
import queue
import socket
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, time, timezone
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn
from bottle import Bottle, request  # type: ignore[import-untyped]
from waiting import wait_until

from ocean_actors import (
    IntegrationRegistered,
    ResyncHandler,
    RunEnded,
    RunStarted,
    Settings,
)
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import ManualClock, SandboxedSystem, wait_idle
from ocean_actors.testing.sandboxed import port_of
from ocean_actors.web.server import HttpServer

EXAMPLES = Path(__file__).parents[2] / "examples"
CALM = {"type": "POLLING", "interval": 86_400}


def example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_checksums_of_all_folders_are_sent(tmp_path: Path) -> None:
    for folder, name in (("a", "one"), ("a", "two"), ("b", "three")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(name)
    handler = example("checksums").Checksums
    integration = {"identifier": "checksums", "config": {"folder": str(tmp_path)}}
    with SandboxedSystem(
        [handler], blueprints=handler.blueprints, integration=integration, eventListener=CALM
    ) as rig:
        assert rig.expect(RunEnded).status == "completed"
        digests = {
            each["identifier"]: each["properties"]["sha256"]
            for each in rig.sandbox.entities("file")
        }
    assert sorted(digests) == ["a/one", "a/two", "b/three"]
    assert digests["a/one"] == hashlib.sha256(b"one").hexdigest()


def test_a_changed_file_requests_a_resync_and_an_unchanged_one_does_not(
    quick: type[ResyncHandler], tmp_path: Path
) -> None:
    watched = tmp_path / "teams.csv"
    watched.write_text("a")
    watcher = functools.partial(example("file_watcher").FileWatcher, watched, 10.0)
    clock = ManualClock()
    with SandboxedSystem([quick], [watcher], eventListener=CALM, clock=clock) as rig:
        rig.expect(RunEnded)
        wait_idle(rig.system._actors)  # the time-outs of calls go by the same clock
        clock.advance(30.0)
        watched.write_text("a, b")
        clock.advance(10.0)
        ended = rig.expect(RunEnded)
        assert ended.run.reason == "teams.csv changed"
        assert ended.run.id.endswith("-2")


def test_the_file_may_come_and_go(quick: type[ResyncHandler], tmp_path: Path) -> None:
    watched = tmp_path / "absent.csv"
    watcher = functools.partial(example("file_watcher").FileWatcher, watched, 10.0)
    clock = ManualClock()
    with SandboxedSystem([quick], [watcher], eventListener=CALM, clock=clock) as rig:
        rig.expect(RunEnded)
        wait_idle(rig.system._actors)
        clock.advance(10.0)
        watched.write_text("now")
        clock.advance(10.0)
        assert rig.expect(RunEnded).run.reason == "absent.csv changed"


def delayed(rig: SandboxedSystem) -> object:
    """The triggers of the requests that wait for their delay to end."""
    actors = {actor["name"]: actor for actor in rig.system.status()["actors"]}
    return actors["gatekeeper"]["details"].get("delayed")


def test_requests_of_the_quiet_hours_wait_for_the_morning(quick: type[ResyncHandler]) -> None:
    clock = ManualClock(datetime(2026, 3, 1, 23, 0, tzinfo=timezone.utc))
    with SandboxedSystem(
        [quick], [example("quiet_hours").QuietHours], eventListener=CALM, clock=clock
    ) as rig:
        rig.expect(IntegrationRegistered)
        wait_idle(rig.system._actors)
        assert delayed(rig) == ["polling"]
        clock.advance(6 * 3600.0)
        wait_idle(rig.system._actors)
        assert delayed(rig) == ["polling"]
        rig.system.request_resync("urgent")
        assert rig.expect(RunEnded).run.reason == "urgent"
        wait_idle(rig.system._actors)
        clock.advance(3600.0)
        run = rig.expect(RunStarted).run
        assert (run.trigger, run.started_at.hour) == ("polling", 6)


def test_requests_of_the_day_do_not_wait(quick: type[ResyncHandler]) -> None:
    clock = ManualClock(datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc))
    with SandboxedSystem(
        [quick], [example("quiet_hours").QuietHours], eventListener=CALM, clock=clock
    ) as rig:
        assert rig.expect(RunEnded).run.trigger == "polling"


@pytest.mark.parametrize(
    ("moment", "is_quiet"), [(time(22), True), (time(2), True), (time(6), False), (time(12), False)]
)
def test_quiet_hours_reach_over_midnight(moment: Any, is_quiet: bool) -> None:
    assert example("quiet_hours").quiet(moment, time(22), time(6)) is is_quiet


@pytest.fixture
def chat() -> Iterator[Any]:
    """A chat's webhook: what was posted, and its address."""
    posted: queue.Queue[Any] = queue.Queue()
    app = Bottle()

    @app.post("/hook")  # type: ignore[untyped-decorator]
    def hook() -> str:
        posted.put(json.loads(request.body.read()))
        return "ok"

    server = HttpServer(app, "127.0.0.1", 0)
    server.start()
    yield posted, f"{server.url}/hook"
    server.stop()


def test_finished_runs_are_posted_to_the_chat(
    quick: type[ResyncHandler], failing: type[ResyncHandler], chat: Any
) -> None:
    posted, url = chat
    notifier = functools.partial(example("chat_notifier").ChatNotifier, url)
    with SandboxedSystem([quick, failing], [notifier]) as rig:
        run = rig.expect(RunEnded).run
        text = posted.get(timeout=30)["text"]
    assert text.startswith(f"Resync {run.id} (start) failed after ")
    assert text.endswith("Failing: ValueError: no such repository")


def test_a_chat_that_is_away_costs_a_line_in_the_log(
    quick: type[ResyncHandler], caplog: pytest.LogCaptureFixture
) -> None:
    notifier = functools.partial(example("chat_notifier").ChatNotifier, "http://127.0.0.1:9/hook")
    with SandboxedSystem([quick], [notifier]) as rig:
        rig.expect(RunEnded)
        rig.sandbox.request_resync(rig.identifier)
        assert rig.expect(RunEnded).status == "completed"
        wait_until(
            lambda: "was not posted: ConnectionError" in caplog.text, "the failure in the log"
        )
    assert "/hook" not in caplog.text


def test_a_chat_that_refuses_is_told_apart_without_its_address(
    quick: type[ResyncHandler], chat: Any, caplog: pytest.LogCaptureFixture
) -> None:
    _, url = chat
    notifier = functools.partial(example("chat_notifier").ChatNotifier, f"{url}/removed")
    with SandboxedSystem([quick], [notifier]) as rig:
        rig.expect(RunEnded)
        wait_until(lambda: "was not posted: status 404" in caplog.text, "the status in the log")
    assert "/hook" not in caplog.text


def test_the_packages_of_this_machine_are_catalogued() -> None:
    packages = example("python_packages")
    with SandboxedSystem([packages.PythonPackages]) as rig:
        assert rig.expect(RunEnded).status == "completed"
        found = {item["identifier"]: item for item in rig.sandbox.entities("pythonPackage")}
        assert "pykka" in found
        assert "requests" in found
        assert "urllib3" in found["requests"]["relations"]["requires"]
        only = {"resources": [{"kind": "pythonPackage", "selector": {"names": "py*"}}]}
        rig.sandbox.set_config(rig.identifier, only)
        ended = rig.expect(RunEnded)
        left = {item["identifier"] for item in rig.sandbox.entities("pythonPackage")}
        assert left == {name for name in found if name.startswith("py")}
        # What depends on a deleted package goes with it, and is then not counted.
        assert 0 < ended.written.deleted <= len(found) - len(left)


@contextlib.contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an ASGI application as `uvicorn` does; yields its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30.0)
        listening.close()
    assert not thread.is_alive()


def test_an_integration_lives_as_long_as_its_fastapi_application() -> None:
    with Sandbox() as sandbox:
        given = {
            "port": port_of(sandbox),
            "integration": {"identifier": "planets"},
            "eventListener": CALM,
        }
        with served(example("fastapi_app").application(Settings.from_dict(given, {}))) as url:

            def runs() -> Any:
                return requests.get(f"{url}/runs", timeout=30).json()

            wait_until(lambda: runs() == ["start: completed"], "the first run")
            assert len(sandbox.entities("planet")) == 3
            ready = requests.get(f"{url}/ocean/health/ready", timeout=30)
            assert (ready.status_code, requests.get(f"{url}/resync", timeout=30).status_code) == (
                200,
                405,
            )
            assert requests.post(f"{url}/resync", timeout=30).status_code == 202
            wait_until(lambda: len(runs()) == 2, "the second run")
            assert runs()[1] == "asked over HTTP: completed"
        left = [each.name for each in threading.enumerate() if "coordinator" in each.name]
        assert left == []
        assert sandbox.statuses("planets") == ["running", "completed"] * 2


def test_the_model_example_is_short() -> None:
    assert len((EXAMPLES / "python_packages.py").read_text().splitlines()) < 80
