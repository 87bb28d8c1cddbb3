"""kill -9 in the middle of a run: what the next process does, and what Port sees of it all."""

from __future__ import annotations

import functools
import os
import random
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ocean_actors.sandbox import Sandbox
from ocean_actors.sandbox.legal import runs_of

WITHIN = 30.0
DEMO = "demo"
POLLING = "{type: POLLING, interval: 0.1}"
QUIET = "{type: POLLING, interval: 0.1, resyncOnStart: false}"

# Runs an integration whose clock is turned by what it reads, in seconds. That of the first
# process is behind, so that the second one's is later however far the first was turned.
PROGRAM = """
import sys
from datetime import datetime, timedelta, timezone

from ocean_actors import OceanSystem, ResyncHandler, Settings
from ocean_actors.testing import ManualClock, wait_idle

class Patient(ResyncHandler):
    def resync(self, run):
        run.sleep(3600)

class Quick(ResyncHandler):
    def resync(self, run):
        pass

class Faithful(ResyncHandler):
    def resync(self, run):
        run.sleep(0.02)
        kind = run.config["resources"][0]["kind"]
        run.port.upsert("seen", [{"identifier": "config", "title": kind}])

if sys.argv[1] == "Faithful":
    with OceanSystem(Settings.from_file("config.yaml", {}), [Faithful]) as system:
        system.wait()
    sys.exit()

handler, behind = {"Patient": (Patient, 1), "Quick": (Quick, 0)}[sys.argv[1]]
clock = ManualClock(datetime.now(timezone.utc) - timedelta(hours=behind))
with OceanSystem(Settings.from_file("config.yaml", {}), [handler], clock=clock) as system:
    for line in sys.stdin:
        wait_idle(system._actors)
        clock.advance(float(line))
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def start(tmp_path: Path, sandbox: Sandbox) -> Iterator[Any]:
    """Starts the integration as a process of its own."""
    (tmp_path / "program.py").write_text(PROGRAM)
    running = []

    def start(handler: Any, listener: Any, more: str = "") -> Any:
        (tmp_path / "config.yaml").write_text(
            textwrap.dedent(f"""
            port:
              clientId: {sandbox.client_id}
              clientSecret: {sandbox.client_secret}
              baseUrl: {sandbox.url}
            integration: {{identifier: {DEMO}}}
            eventListener: {listener}
            {more}
            """)
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(
            [sys.executable, "program.py", handler],
            cwd=tmp_path, stdin=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=WITHIN)


def turn(process: Any, seconds: float) -> None:
    process.stdin.write(f"{seconds}\n")
    process.stdin.flush()


def wait_for(sandbox: Sandbox, *statuses: Any) -> None:
    sandbox.wait_for(lambda: sandbox.statuses(DEMO) == list(statuses), WITHIN)


def questions(sandbox: Sandbox) -> int:
    return sum(call.path.endswith("/resync-request") for call in sandbox.calls)


def has_looked(sandbox: Sandbox, before: int) -> bool:
    return questions(sandbox) > before


@pytest.mark.parametrize("listener", [POLLING, QUIET], ids=["resyncOnStart", "quiet"])
def test_a_run_that_was_killed_is_ended_and_run_anew(
    sandbox: Sandbox, start: Any, listener: Any
) -> None:
    first = start("Patient", listener)
    sandbox.wait_for(lambda: questions(sandbox) > 0, WITHIN)
    sandbox.request_resync(DEMO)
    turn(first, 0.1)
    wait_for(sandbox, "running")
    first.kill()
    first.wait(WITHIN)
    start("Quick", listener)
    wait_for(sandbox, "running", "aborted", "running", "completed")
    assert runs_of(sandbox.reports(DEMO)) == ["aborted", "completed"]


def test_a_scheduled_run_that_was_killed_is_run_anew_and_covers_what_came_meanwhile(
    sandbox: Sandbox, start: Any
) -> None:
    first = start("Patient", QUIET, "scheduledResyncInterval: 1")
    sandbox.wait_for(lambda: questions(sandbox) > 0, WITHIN)
    turn(first, 60)
    wait_for(sandbox, "running")
    first.kill()
    first.wait(WITHIN)
    sandbox.request_resync(DEMO)
    sandbox.set_config(DEMO, {"resources": [{"kind": "new"}]}, skip_resync=True)
    second = start("Quick", QUIET, "scheduledResyncInterval: 1")
    wait_for(sandbox, "running", "aborted", "running", "completed")
    seen = questions(sandbox)
    for _ in range(3):
        turn(second, 0.1)
    sandbox.wait_for(lambda: questions(sandbox) >= seen + 3, WITHIN)
    assert runs_of(sandbox.reports(DEMO)) == ["aborted", "completed"]


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_any_moment_what_was_asked_for_is_run_in_the_end(
    sandbox: Sandbox, start: Any, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311  (repeatable, not secret)
    sandbox.create_blueprint("seen")
    sandbox.create_integration(DEMO, config={"resources": [{"kind": "none"}]})
    for number in range(4):
        process = start("Faithful", QUIET.replace("0.1", "0.01"))
        seen = questions(sandbox)
        sandbox.wait_for(functools.partial(has_looked, sandbox, seen), WITHIN)
        sandbox.set_config(DEMO, {"resources": [{"kind": f"change {number}"}]})
        threading.Event().wait(rng.uniform(0.0, 0.15))
        process.kill()
        process.wait(WITHIN)
    start("Faithful", QUIET)
    sandbox.wait_for(lambda: titles(sandbox) == ["change 3"], WITHIN)
    sandbox.wait_for(lambda: sandbox.statuses(DEMO)[-1:] == ["completed"], WITHIN)
    assert runs_of(sandbox.reports(DEMO))[-1] == "completed"


def titles(sandbox: Sandbox) -> Any:
    return [entity["title"] for entity in sandbox.entities("seen")]
