"""Many runs, of which some are aborted and in some workers die, at random."""

from __future__ import annotations

import gc
import logging
import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from sharded import Sharded
from sharded_system import Rig, children
from waiting import wait_until
from workshop import PROCESSES

from ocean_actors import ResyncHandler, ResyncRun, RunEnded
from ocean_actors.sandbox.legal import runs_of
from ocean_actors.shards.drive import Drive
from ocean_actors.testing import SandboxedSystem

RUNS = 200
WORKERS = 2
ITEMS = 8  # of each shard


class Plain(ResyncHandler):
    """Sends in one thread what the last run of the soak sends."""

    kinds = Sharded.kinds
    blueprints = Sharded.blueprints

    def resync(self, run: ResyncRun) -> None:
        names = [f"{prefix}-{number}" for prefix in ("a", "b", "c") for number in range(ITEMS)]
        run.port.upsert("thing", [{"identifier": name} for name in names])
        run.port.reconcile()


def living(*kinds: type) -> dict[str, int]:
    """How many objects of these classes exist."""
    gc.collect()
    found = Counter(type(each).__name__ for each in gc.get_objects() if type(each) in kinds)
    return {kind.__name__: found[kind.__name__] for kind in kinds}


@pytest.mark.xdist_group("shards-processes")
@pytest.mark.parametrize(
    ("runs", "writes"), [(RUNS, False), (RUNS // 4, True)], ids=["parent", "workers"]
)
def test_after_a_soak_all_is_well(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, runs: int, writes: bool
) -> None:
    caplog.set_level(logging.CRITICAL)  # runs fail on purpose
    rng = random.Random(18)  # noqa: S311  (it chooses what fails)
    statuses: Counter[str] = Counter()
    before = children()
    resync = {"workers": WORKERS, "workerRuns": 100, "shardWrites": writes}
    with Rig(PROCESSES, tmp_path, resync=resync) as rig:
        for number in range(runs):
            dying = rng.random()
            shards: list[list[object]] = [["things", ITEMS, prefix] for prefix in ("a", "b", "c")]
            if dying < 0.02:
                shards[1] = ["dies", 1]  # once: the shard is done by another worker
            elif dying < 0.025:
                shards[1] = ["dies"]
            elif dying < 0.1:
                shards[1] = ["raises", "something"]
            rig.begin(*shards)
            if rng.random() < 0.3:
                time.sleep(rng.random() / 50)
                rig.system.abort("at random")
            ended = rig.expect(RunEnded)
            statuses[ended.status] += 1
            if ended.status != "completed":
                assert ended.written.deleted == 0 or ended.status == "aborted"
            if number == runs // 4:
                threads, objects = threading.active_count(), living(Drive, ResyncRun)
        assert min(statuses[each] for each in ("completed", "failed", "aborted")) > 0
        found = rig.identifiers()
        last = rig.run(*(["things", ITEMS, prefix] for prefix in ("a", "b", "c")))
        assert last.status == "completed"
        wait_until(lambda: threading.active_count() <= threads + WORKERS, "the end of threads")
        wait_until(lambda: living(Drive)["Drive"] <= objects["Drive"] + 1, "the end of drives")
        wait_until(lambda: living(ResyncRun)["ResyncRun"] <= objects["ResyncRun"] + 2, "of runs")
        wait_until(lambda: len(children() - before) <= WORKERS, "the end of replaced workers")
        identifiers = rig.identifiers()
        assert last.written.deleted == len(found - identifiers)
        reports = rig.sandbox.reports(rig.identifier)
    assert len(runs_of(reports)) == runs + 1  # raises unless their order is legal
    wait_until(lambda: children() <= before, "the end of all workers")
    with SandboxedSystem([Plain]) as plain:
        assert plain.expect(RunEnded).status == "completed"
        assert identifiers == {each["identifier"] for each in plain.sandbox.entities("thing")}
