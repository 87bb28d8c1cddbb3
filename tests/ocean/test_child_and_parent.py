"""The child ends with its parent, and there is none on standby."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import memory
import pytest
from packages import write_dist_info
from shop import IDENTIFIER, Rig, Shop, is_gone
from waiting import wait_until

from ocean_actors import RunEnded
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing.sandboxed import port_of

pytestmark = pytest.mark.xdist_group("ocean-0.56.2")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_a_child_whose_loop_is_blocked_ends_with_the_process_that_started_it(
    newest: Path, shop: Shop, how: signal.Signals, tmp_path: Path
) -> None:
    shop.order(mode="block")
    with Sandbox() as sandbox, (tmp_path / "log").open("w") as log:
        settings = shop.settings(newest, port=port_of(sandbox), resync={"abortGrace": 1})
        del settings["ocean"]
        config = tmp_path / "config.yaml"
        config.write_text(json.dumps({**settings, "control": {"enabled": False}}))
        arguments = ["run", str(config), "--ocean", str(shop.folder), "--ocean-python", str(newest)]
        with subprocess.Popen(
            [sys.executable, "-m", "ocean_actors", *arguments],
            stderr=log, start_new_session=True, cwd=tmp_path,
        ) as process:  # fmt: skip
            try:
                shop.wait_for_note("waiting")
                (child,) = children_of(process.pid)
                os.kill(process.pid, how)
                process.wait(60)
            finally:
                process.kill()
        wait_until(lambda: is_gone(child), "the child's end")
        if how is signal.SIGTERM:
            assert process.returncode == 0
            assert sandbox.statuses(IDENTIFIER) == ["running", "aborted"]


def test_a_child_ends_by_itself_while_the_process_that_leads_is_frozen(
    newest: Path, shop: Shop, engine: memory.MemoryServer, tmp_path: Path
) -> None:
    shop.order(mode="block")
    paths = [tmp_path / "packages", Path(memory.__file__).parent]
    leader = {"type": "MEMORY", "ttl": 9}
    with Sandbox() as sandbox, (tmp_path / "log").open("w") as log:
        settings = shop.settings(newest, port=port_of(sandbox), leader=leader)
        config = tmp_path / "config.yaml"
        config.write_text(json.dumps({**settings, "control": {"enabled": False}}))
        with subprocess.Popen(
            [sys.executable, "-m", "ocean_actors", "run", str(config)], stderr=log, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        ) as process:  # fmt: skip
            try:
                shop.wait_for_note("waiting")
                (child,) = children_of(process.pid)
                os.kill(process.pid, signal.SIGSTOP)
                wait_until(lambda: is_gone(child), "the child's end")
            finally:
                process.kill()


def children_of(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for each in found for child in each.read_text().split()]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> memory.MemoryServer:
    """Installs a package with the engine MEMORY, and returns a new server for it."""
    packages = tmp_path / "packages"
    write_dist_info(packages, "ocean_actors.leaders", "MEMORY = memory:SPEC", "memory")
    monkeypatch.syspath_prepend(str(packages))
    server = memory.MemoryServer()
    monkeypatch.setattr(memory, "SERVER", server)
    return server


def test_a_standby_has_no_child_and_whoever_takes_over_starts_one(
    impostor: Callable[..., Rig], engine: memory.MemoryServer
) -> None:
    leader: dict[str, Any] = {"type": "MEMORY"}
    with Sandbox() as sandbox, impostor("well", sandbox=sandbox, leader=leader) as first:
        first.ended("completed")
        second_type = {"identifier": IDENTIFIER, "type": "second"}
        with impostor("well", sandbox=sandbox, leader=leader, integration=second_type) as second:
            wait_until(lambda: second.system.status()["leader"]["state"] == "standby", "a standby")
            assert (second.child["state"], second.child["pid"]) == ("standby", None)
            asked = {
                call.path
                for call in sandbox.calls
                if "/second/" in {k.lower(): v for k, v in call.headers.items()}["user-agent"]
            }
            assert asked <= {"/v1/auth/access_token", "/v1/organization"}
            child = first.child["pid"]
            first.system.stop()
            assert is_gone(child)
            assert second.expect(RunEnded, 60).status == "completed"
            child = second.child["pid"]
            engine.give_to("somebody else")
            wait_until(lambda: second.child["state"] == "standby", "the end of the child")
            assert is_gone(child)
            assert second.system.exit_code == 0
