"""The executor `ray` beside its contract: the embedded cluster, and what it keeps to itself.

`tox -e ray` runs these. Each cluster that is started takes some 10 s and 700 MB.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sessions import session, wait_until_gone
from waiting import wait_for, wait_until
from workshop import Kind, Workshop

from ocean_actors.shards.outcome import Cancelled, Completed, Failed, Lost
from ocean_actors.shards.ray.executor import RayExecutor
from ocean_actors.shards.ray.link import TOKEN, RayDriver

pytestmark = pytest.mark.xdist_group("shards-ray")
OF_PORT, OF_OTHERS = "a-secret-of-port", "a-secret-of-others"


def driver_of(workshop: Workshop) -> RayDriver:
    """Returns the process that is connected to Ray, which may have to be started."""
    assert workshop.start("things", 1).outcome() == Completed(1)
    executor = workshop.executor
    assert isinstance(executor, RayExecutor)
    return executor.driver()


def names_of(processes: list[psutil.Process]) -> str:
    return " ".join(each.name() for each in processes)


def test_the_embedded_cluster_listens_on_the_loopback_only(ray_workshop: Workshop) -> None:
    processes = session(driver_of(ray_workshop).pid)
    assert "gcs_server" in names_of(processes)
    addresses = {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_secrets_are_in_no_argument_environment_or_file(ray_workshop: Workshop) -> None:
    driver = driver_of(ray_workshop)
    attempted = ray_workshop.start("secrets")
    assert attempted.outcome() == Completed(1)
    assert attempted.entities() == [{"identifier": "secrets", "port": "", "control": OF_OTHERS}]
    for process in session(driver.pid):
        said = " ".join([*process.cmdline(), *process.environ().values()])
        assert OF_PORT not in said
        assert OF_OTHERS not in said
    files = [each for each in driver.folder.rglob("*") if each.is_file()]
    assert any(each.suffix == ".log" for each in files)
    for file in files:
        content = file.read_bytes()
        assert OF_PORT.encode() not in content, file
        assert OF_OTHERS.encode() not in content, file
    assert (driver.folder / TOKEN).stat().st_mode & 0o077 == 0


def test_what_a_killed_shard_has_started_is_killed_as_well(
    ray_workshop: Workshop, tmp_path: Path
) -> None:
    attempted = ray_workshop.start("starts_a_process", str(tmp_path / "pid"))
    wait_for(tmp_path / "pid")
    grandchild = psutil.Process(int((tmp_path / "pid").read_text()))
    attempted.job.kill()
    assert attempted.outcome() == Cancelled()
    wait_until(lambda: not grandchild.is_running(), "the end of the grandchild")


def test_a_cluster_that_cannot_be_reached_is_one_line(
    open_ray: Callable[..., Workshop],
) -> None:
    outcome = open_ray({"address": "127.0.0.1:1"}).start("things", 1).outcome()
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("Ray cannot be used: 127.0.0.1:1 cannot be reached: ")
    assert "\n" not in outcome.reason


def test_a_driver_that_cannot_be_started_leaves_no_folder(
    open_ray: Callable[..., Workshop], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ocean_actors.shards.ray.link._short_folder", lambda: str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    outcome = open_ray().start("things", 1).outcome()
    assert isinstance(outcome, Lost)
    assert outcome.reason.startswith("Ray cannot be used: ")
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_is_cancelled_as_its_driver_starts_does_not_wait_for_ray(
    open_ray: Callable[..., Workshop], monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = open_ray()
    executor = workshop.executor
    assert isinstance(executor, RayExecutor)
    attempted = workshop.prepare("things", 1)
    start_driver = executor.driver

    def driver() -> RayDriver:
        found = start_driver()
        os.kill(found.pid, signal.SIGSTOP)  # it is never connected
        attempted.job.cancel("a test")
        return found

    monkeypatch.setattr(executor, "driver", driver)
    assert attempted.start().outcome() == Cancelled()
    assert workshop.close() == []


def test_a_driver_that_was_killed_costs_an_attempt_and_is_replaced(
    open_ray: Callable[..., Workshop], tmp_path: Path
) -> None:
    workshop = open_ray()
    first = driver_of(workshop).pid
    attempted = workshop.start("waits", str(tmp_path / "began"), str(tmp_path / "ended"))
    wait_for(tmp_path / "began")
    os.kill(first, signal.SIGKILL)
    assert isinstance(attempted.outcome(), Lost)
    wait_until_gone(first)
    second = driver_of(workshop).pid
    assert second != first
    assert workshop.close() == []
    wait_until_gone(second)


PARENT = """\
import sys
from pathlib import Path
from waiting import wait_for
from workshop import RAY, Workshop
workshop = Workshop(RAY)
busy = workshop.start("hangs", sys.argv[1], sys.argv[1] + "-until")
wait_for(Path(sys.argv[1]))
driver = workshop.executor.driver()
Path(sys.argv[2]).write_text(f"{driver.pid} {driver.folder}")
Path(sys.argv[3]).touch()
busy.outcome()
"""


def test_no_process_and_no_file_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    busy, told, ready = tmp_path / "busy", tmp_path / "told", tmp_path / "ready"
    tests = Path(__file__).parents[1]
    path = f"{tests / 'shards/helpers'}{os.pathsep}{tests / 'helpers'}"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(busy), str(told), str(ready)],
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        wait_for(ready)
        driver, folder = told.read_text().split()
        assert "raylet" in names_of(session(int(driver)))
    finally:
        parent.kill()
        parent.wait()
    wait_until_gone(int(driver))
    assert not Path(folder).exists()


@pytest.fixture
def open_ray() -> Iterator[Callable[..., Workshop]]:
    opened: list[Workshop] = []

    def open_one(ray: Any = None) -> Workshop:
        kind = Kind("ray", isolated=True, settings={"ray": ray or {}})
        opened.append(Workshop(kind))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()
