"""The executor `ray` on a cluster that others have started, of which it becomes a node.

`tox -e ray` runs these. The cluster takes some 10 s and 500 MB, and each node that joins it 5 s.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sessions import session, wait_until_gone
from sharded_system import Rig
from waiting import WITHIN, wait_for, wait_until
from workshop import Kind

from ocean_actors.messages import RunEnded
from ocean_actors.sandbox import Sandbox
from ocean_actors.shards.ray.session import kill

pytestmark = pytest.mark.xdist_group("shards-ray")
ADDRESS = "127.0.0.2"
STARTS = 6  # Ray gives up after 30 s on a busy machine


class Cluster:
    """A head with two processors, in a session of its own."""

    def __init__(self, folder: str) -> None:
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--num-cpus=2"]
        options = [
            f"--node-ip-address={ADDRESS}", "--port=0", f"--temp-dir={folder}",
            "--object-store-memory=100000000", "--include-dashboard=false",
            "--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0",
        ]  # fmt: skip
        for _ in range(STARTS):
            with subprocess.Popen(
                [*ray, *options], start_new_session=True, stdout=subprocess.DEVNULL,
                env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
            ) as start:  # fmt: skip
                self.leader = start.pid
            if start.returncode == 0:
                break
            self.end()
        assert start.returncode == 0
        self.address = Path(folder, "ray_current_cluster").read_text()

    def workers(self) -> list[psutil.Process]:
        """Returns the processes of our actors."""
        return [each for each in session(self.leader) if "RayWorker" in " ".join(each.cmdline())]

    def end(self) -> None:
        kill(self.leader)
        wait_until_gone(self.leader)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    token = Path(folder, "token")
    token.write_text(secrets.token_hex(32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        started = Cluster(folder)
        yield started
    started.end()
    shutil.rmtree(folder)


def on(cluster: Cluster) -> Kind:
    return Kind("ray", True, {"ray": {"address": cluster.address, "resources": {"CPU": 0.5}}})


@pytest.mark.parametrize("writes", [False, True], ids=["parent", "workers"])
def test_a_run_on_an_existing_cluster_is_as_any_other(
    cluster: Cluster, writes: bool, tmp_path: Path
) -> None:
    with Rig(on(cluster), tmp_path, resync={"shardWrites": writes}) as rig:
        rig.begin(["things", 45, "a"], ["things", 10, "b"])
        assert rig.expect(RunEnded, WITHIN).status == "completed"
        rig.begin(["things", 30, "a"], ["dies", 1])
        ended = rig.expect(RunEnded, WITHIN)
        assert (ended.status, ended.written.deleted) == ("completed", 25)
        assert rig.identifiers() == {*(f"a-{n}" for n in range(30)), "thing-0", "thing-1"}
        began = tmp_path / "began"
        rig.begin(["endless", str(began)])
        wait_for(began)
        rig.system.abort("enough")
        assert rig.expect(RunEnded, WITHIN).status == "aborted"
    wait_until(lambda: cluster.workers() == [], "the end of the actors")


def test_a_node_leaves_with_its_parent_and_the_cluster_stays(
    cluster: Cluster, tmp_path: Path
) -> None:
    busy, file = tmp_path / "busy", tmp_path / "shards.json"
    file.write_text(json.dumps([["hangs", str(busy), str(tmp_path / "never")]]))
    settings = {
        "OCEAN__INTEGRATION__IDENTIFIER": "demo",
        "OCEAN__INTEGRATION__CONFIG__FILE": str(file),
        "OCEAN__RESYNC__EXECUTOR": "ray",
        "OCEAN__RAY__ADDRESS": cluster.address,
        "OCEAN__HTTP__PORT": "0",
        "OCEAN__CONTROL__PORT": "0",
        "PYTHONPATH": str(Path(__file__).parent / "helpers"),
    }
    with Sandbox() as sandbox:
        settings["OCEAN__PORT__BASE_URL"] = sandbox.url
        settings["OCEAN__PORT__CLIENT_ID"] = sandbox.client_id
        settings["OCEAN__PORT__CLIENT_SECRET"] = sandbox.client_secret
        parent = subprocess.Popen(
            [sys.executable, "-m", "ocean_actors", "run", "--handler", "sharded:Sharded"],
            env={**os.environ, **settings}, cwd=tmp_path,
        )  # fmt: skip
        try:
            wait_until(lambda: busy.exists() or parent.poll() is not None, "the shard's begin")
            assert parent.poll() is None
            (driver,) = psutil.Process(parent.pid).children()
            assert "raylet" in [each.name() for each in session(driver.pid)]
            assert len(cluster.workers()) == 1
        finally:
            parent.send_signal(signal.SIGKILL)
            parent.wait()
    wait_until_gone(driver.pid)
    wait_until(lambda: cluster.workers() == [], "the end of the actors")
    assert "gcs_server" in [each.name() for each in session(cluster.leader)]
