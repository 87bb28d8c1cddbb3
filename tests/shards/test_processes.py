"""The processes of the executor `processes`: what is started, reused, and left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from waiting import WITHIN, has_ended, wait_for, wait_until
from workshop import PROCESSES, Workshop

from ocean_actors.shards.executor import Logged, Task
from ocean_actors.shards.outcome import Cancelled, Completed, Lost
from ocean_actors.shards.process import WorkerProcess

pytestmark = pytest.mark.xdist_group("shards-processes")
TESTS = Path(__file__).parents[1]
HELPERS = f"{TESTS / 'shards/helpers'}{os.pathsep}{TESTS / 'helpers'}"


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    opened = Workshop(PROCESSES)
    yield opened
    opened.close()


def pid_of(workshop: Workshop) -> int:
    attempted = workshop.start("object_and_process")
    assert attempted.outcome() == Completed(1)
    (name,) = attempted.identifiers()
    return int(name.partition("-")[0])


def test_a_process_serves_shard_after_shard_and_run_after_run(workshop: Workshop) -> None:
    first = pid_of(workshop)
    workshop.run = workshop.new_run()
    assert pid_of(workshop) == first


def test_a_process_that_was_killed_while_idle_is_replaced(workshop: Workshop) -> None:
    first = pid_of(workshop)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: has_ended(first), "the end of the process")
    assert pid_of(workshop) != first


def test_a_lost_process_is_described(workshop: Workshop) -> None:
    outcome = workshop.start("dies").outcome()
    assert isinstance(outcome, Lost)
    assert outcome.reason.endswith("was killed (SIGKILL), perhaps because memory ran out")
    outcome = workshop.start("leaves", 3).outcome()
    assert isinstance(outcome, Lost)
    assert outcome.reason.endswith("ended with exit code 3")


def test_no_argument_holds_a_secret_and_the_settings_arrive(workshop: Workshop) -> None:
    arguments = " ".join(psutil.Process(pid_of(workshop)).cmdline())
    assert "a-secret-of-port" not in arguments
    attempted = workshop.start("secret")
    assert attempted.outcome() == Completed(1)
    assert attempted.identifiers() == ["a-secret-of-port"]


def test_what_a_killed_shard_has_started_is_killed_as_well(
    workshop: Workshop, tmp_path: Path
) -> None:
    attempted = workshop.start("starts_a_process", str(tmp_path / "pid"))
    wait_for(tmp_path / "pid")
    pid = int((tmp_path / "pid").read_text())
    attempted.job.kill()
    assert attempted.outcome() == Cancelled()
    wait_until(lambda: has_ended(pid), "the end of the grandchild")


@pytest.mark.parametrize("forked", [False, True])  # a forked one holds all connections open
def test_what_a_dead_process_has_started_is_killed_and_hides_nothing(
    workshop: Workshop, tmp_path: Path, *, forked: bool
) -> None:
    outcome = workshop.start("dies_and_leaves", str(tmp_path / "pid"), forked).outcome()
    assert isinstance(outcome, Lost)
    pid = int((tmp_path / "pid").read_text())
    try:
        wait_until(lambda: has_ended(pid), "the end of what was left")
    finally:
        _kill_all([pid])


def test_a_forked_process_does_not_write_into_its_parent_s_connection(workshop: Workshop) -> None:
    attempted = workshop.start("forks")
    assert attempted.outcome() == Completed(1)
    assert attempted.identifiers() == ["exit code 1"]
    assert not any(isinstance(event, Logged) for event in attempted.events)


def test_an_attempt_that_is_cancelled_as_it_begins_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = []
    begin = WorkerProcess.begin

    def begin_late(worker: WorkerProcess, task: Task) -> int:
        pids.append(worker.pid)
        attempted.job.cancel("at the last moment")
        return begin(worker, task)

    monkeypatch.setattr(WorkerProcess, "begin", begin_late)
    with contextlib.closing(Workshop(PROCESSES)) as workshop:
        for each in ("first", "second"):  # of a new process, and of one that is used again
            attempted = workshop.prepare("endless", str(tmp_path / each))
            assert attempted.start().outcome() == Cancelled()
    assert len(set(pids)) == 1


def test_a_process_is_replaced_after_as_many_runs_as_set() -> None:
    workshop = Workshop(PROCESSES, workerRuns=2)
    try:
        pids = []
        for _ in range(3):
            workshop.run = workshop.new_run()
            pids += [pid_of(workshop), pid_of(workshop)]
        assert len(set(pids[:4])) == 1
        assert pids[4] == pids[5] != pids[0]
        wait_until(lambda: has_ended(pids[0]), "the end of the first")
    finally:
        workshop.close()


PARENT = """\
import os
import sys
import time
from pathlib import Path
from workshop import PROCESSES, Workshop
workshop = Workshop(PROCESSES)
busy = workshop.start("searches", sys.argv[1])
idle = workshop.start("writes_pid", sys.argv[2])
idle.outcome()
child = os.fork()  # as a pool of processes does; it outlives its parent
if child == 0:
    time.sleep(3600)
    os._exit(0)
Path(sys.argv[3] + ".new").write_text(str(child))
Path(sys.argv[3] + ".new").rename(sys.argv[3])
busy.outcome()
"""


def test_no_process_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    busy, idle, ready = tmp_path / "busy", tmp_path / "idle", tmp_path / "ready"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(busy), str(idle), str(ready)],
        env={**os.environ, "PYTHONPATH": HELPERS},
    )
    try:
        wait_for(ready)
        wait_for(busy)
        pids = [int(busy.read_text()), int(idle.read_text())]
        forked = int(ready.read_text())
        assert not any(has_ended(pid) for pid in pids)
    finally:
        parent.kill()
        parent.wait()
    try:
        wait_until(lambda: all(has_ended(pid) for pid in pids), "the end of the workers")
        assert not has_ended(forked)
    finally:
        _kill_all([*pids, forked])


MAIN = """\
from ocean_actors import ShardedHandler
from workshop import PROCESSES, Workshop
from ocean_actors.shards.outcome import Completed

class InMain(ShardedHandler):
    def shards(self, run):
        return ["a"]
    def resync_shard(self, shard):
        yield "thing", {"identifier": "from-main"}

if __name__ == "__main__":
    workshop = Workshop(PROCESSES, handlers={"InMain": InMain})
    attempted = workshop.start("x", handler="InMain")
    assert attempted.outcome() == Completed(1)
    assert attempted.identifiers() == ["from-main"]
    workshop.close()
    print("done")
"""


def test_a_handler_of_the_main_program_works(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(MAIN)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "main.py")],
        env={**os.environ, "PYTHONPATH": HELPERS},
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


def _kill_all(pids: list[int]) -> None:
    """Leave nothing behind if the test has failed."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_worker_that_two_threads_end_closes_its_connection_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The executor is closed while an attempt finds that its worker was killed."""
    worker = WorkerProcess(b"")
    both = threading.Barrier(2)
    met = threading.Event()
    close = worker._connection.close

    def wait_and_close() -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.2)
            met.set()
        close()

    monkeypatch.setattr(worker._connection, "close", wait_and_close)
    worker.kill()
    with ThreadPoolExecutor(2) as pool:
        first, second = (pool.submit(worker.end) for _ in range(2))
        assert first.result(WITHIN) == second.result(WITHIN)
    assert not met.is_set()
