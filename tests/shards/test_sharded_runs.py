"""Runs of a sharded handler in a whole system, under each executor."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sharded import Needy, NotLoadable, Pair, Sharded
from sharded_system import Rig, children
from waiting import has_ended, wait_until
from workshop import THREADS, Kind, settings_of

from ocean_actors import ResyncRun, RetryScheduled, RunEnded, SettingsError, ShardedHandler
from ocean_actors.loading import load_handler
from ocean_actors.resync.handlers import named_handlers


@pytest.fixture(scope="module")
def rig(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A system for several tests; each leaves it without a run."""
    with Rig(kind, tmp_path_factory.mktemp("rig")) as opened:
        yield opened


def test_all_shards_are_sent_and_what_none_yields_is_deleted(rig: Rig) -> None:
    ended = rig.run(["things", 700, "one"], ["things", 30, "two"], ["things_async", 2])
    assert (ended.status, ended.failures) == ("completed", ())
    assert ended.written.upserted == 732
    assert len(rig.identifiers()) == 732
    ended = rig.run(["things", 650, "one"], ["things", 30, "two"])
    assert ended.written.reconciled is True
    assert ended.written.deleted == 52
    assert len(rig.identifiers()) == 680


def test_after_a_failed_shard_the_others_are_done_and_nothing_is_deleted(rig: Rig) -> None:
    assert rig.run(["things", 3, "kept"]).status == "completed"
    ended = rig.run(["raises", "no such page"], ["things", 2, "new"], ["things", 1, "newer"])
    assert ended.status == "failed"
    (failure,) = ended.failures
    assert failure == (
        "Sharded: ShardsFailed: 1 of 3 shards failed: ['raises', 'no such page']: "
        "ValueError: no such page"
    )
    assert ended.written.deleted == 0
    assert rig.identifiers() >= {"kept-0", "kept-1", "kept-2", "new-0", "new-1", "newer-0"}


def test_a_shard_whose_worker_dies_is_done_by_another_one(rig: Rig, kind: Kind) -> None:
    if not kind.isolated:
        return  # the death of a thread's process is that of the system
    ended = rig.run(["things", 3, "other"], ["dies", 1])
    assert (ended.status, ended.failures) == ("completed", ())
    assert rig.identifiers() == {"other-0", "other-1", "other-2", "thing-0", "thing-1"}


def test_a_shard_whose_workers_die_fails_the_run_and_nothing_is_deleted(
    rig: Rig, kind: Kind
) -> None:
    if not kind.isolated:
        return
    assert rig.run(["things", 3, "kept"]).status == "completed"
    ended = rig.run(["dies"], ["things", 2, "new"])
    assert ended.status == "failed"
    (failure,) = ended.failures
    assert failure.startswith("Sharded: ShardsFailed: 1 of 2 shards failed: ['dies']: ")
    assert ended.written.deleted == 0
    assert rig.identifiers() >= {"kept-0", "kept-1", "kept-2", "new-0", "new-1"}


def test_an_abort_reaches_every_worker(rig: Rig, tmp_path: Path) -> None:
    rig.begin(
        ["waits", str(tmp_path / "began-1"), str(tmp_path / "ended-1")],
        ["waits", str(tmp_path / "began-2"), str(tmp_path / "ended-2")],
        ["things", 1, "never"],
    )
    wait_until(lambda: (tmp_path / "began-1").exists() and (tmp_path / "began-2").exists(), "begin")
    rig.system.abort("enough")
    ended = rig.expect(RunEnded)
    assert ended.status == "aborted"
    assert (tmp_path / "ended-1").exists()
    assert (tmp_path / "ended-2").exists()
    assert "never-0" not in rig.identifiers()
    assert rig.run(["things", 1, "next"]).status == "completed"


def test_progress_is_told_shard_by_shard(rig: Rig, tmp_path: Path) -> None:
    until = str(tmp_path / "until")
    rig.begin(["progresses"], ["hangs", str(tmp_path / "began"), until])
    wait_until((tmp_path / "began").exists, "the second shard")
    wait_until(lambda: _progress(rig).get("done") == 1, "the first is done")
    progress = _progress(rig)
    assert progress["total"] == 2
    (shard,) = progress["shards"]
    assert shard["name"].startswith("['hangs'")
    assert (shard["items"], shard["attempt"]) == (0, 1)
    Path(until).touch()
    assert rig.expect(RunEnded).status == "completed"


def _progress(rig: Rig) -> dict[str, Any]:
    run = rig.system.status()["resync"]["run"] or {}
    found: dict[str, Any] = run.get("progress", {}).get("Sharded", {})
    return found


def test_lines_of_the_log_carry_the_run_and_the_shard(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        ended = rig.run(["logs"], ["raises", "something"])
    lines = {record.getMessage(): record for record in caplog.records}
    line = vars(lines["by the shard's logger: ['logs']"])
    assert (line["run"], line["handler"]) == (ended.run.id, "Sharded")
    assert line["shard"] == "['logs']"
    assert "by another logger" in lines
    (failed,) = [each for each in caplog.records if each.name.endswith("shards.worker")]
    assert failed.exc_text or failed.exc_info  # with the traceback


def test_an_unknown_blueprint_fails_the_run_and_ends_its_workers(rig: Rig, tmp_path: Path) -> None:
    ended = rig.run(
        ["yields", ["nothing-like-it", {"identifier": "x"}]],
        ["endless", str(tmp_path / "began")],
        ["things", 30],
    )
    assert ended.status == "failed"
    assert "is there a blueprint 'nothing-like-it' in Port?" in "".join(ended.failures)


def test_a_run_without_shards_deletes_all(rig: Rig) -> None:
    assert rig.run(["things", 3]).status == "completed"
    assert rig.run().status == "completed"
    assert rig.identifiers() == set()


def test_a_handler_of_a_function_works_where_it_needs_no_pickling(
    kind: Kind, tmp_path: Path
) -> None:
    def make() -> Sharded:
        return Sharded()

    with Rig(kind, tmp_path, handlers=[make]) as rig:
        ended = rig.run(["things", 1])
        if kind.isolated:
            assert ended.status == "failed"
            assert (
                "make: ShardError: make cannot be sent to a worker process: " in ended.failures[0]
            )
            assert "set resync.executor: threads" in ended.failures[0]
        else:
            assert ended.status == "completed"


FILE_HANDLER = """\
import helper_of_{name}
from ocean_actors import ShardedHandler

class Filed(ShardedHandler):
    kinds = ("thing",)
    def shards(self, run):
        return ["a"]
    def resync_shard(self, shard):
        yield "thing", {{"identifier": helper_of_{name}.NAME}}
"""


def test_handlers_of_files_work(kind: Kind, tmp_path: Path) -> None:
    handlers = []
    for name in ("filed_handlers", "kafka"):  # of which one is the name of an installed package
        (tmp_path / f"{name}.py").write_text(FILE_HANDLER.format(name=name))
        (tmp_path / f"helper_of_{name}.py").write_text(f"NAME = 'from-{name}'\n")
        handlers.append(load_handler(f"{tmp_path / name}.py:Filed"))
    with Rig(kind, tmp_path, handlers=handlers, resync={"workers": 1}) as rig:
        assert rig.run().status == "completed"
        assert rig.identifiers() == {"from-filed_handlers", "from-kafka"}


def test_a_shard_that_hangs_ends_with_its_run(
    kind: Kind, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    until = tmp_path / "until"
    with Rig(kind, tmp_path, resync={"abortGrace": 0.2}) as rig:
        rig.begin(["hangs", str(tmp_path / "began"), str(until)], ["things", 1])
        wait_until((tmp_path / "began").exists, "the shard")
        pid = int((tmp_path / "began").read_text())
        rig.system.abort("enough")
        assert rig.expect(RunEnded).status == "aborted"
        if kind.isolated:
            wait_until(lambda: has_ended(pid), "the end of the worker")
            wait_until(lambda: not rig.system.status()["leftBehind"], "the handler returns")
        else:
            assert rig.system.status()["leftBehind"] == ["handler-Sharded"]
        assert rig.run(["things", 2, "next"]).status == "completed"
        until.touch()
    lines = [each.getMessage() for each in caplog.records]
    given_up = [line for line in lines if line.endswith("its worker is given up")]
    assert any("hangs" in line for line in given_up)
    assert len(given_up) == len(set(given_up))  # of each shard that was slow to end


def test_a_dropped_run_frees_its_workers_at_once(kind: Kind, tmp_path: Path) -> None:
    until = tmp_path / "until"
    with Rig(kind, tmp_path, resync={"abortGrace": 3600}) as rig:
        hang = [["hangs", str(tmp_path / f"began-{each}"), str(until)] for each in range(2)]
        rig.begin(*hang)
        wait_until(lambda: all(Path(each[1]).exists() for each in hang), "both shards")
        rig.begin(["things", 2, "next"], policy="drop")
        assert rig.expect(RunEnded).status == "aborted"
        assert rig.expect(RunEnded).status == "completed"
        until.touch()


def test_a_stop_ends_all_workers(kind: Kind, tmp_path: Path) -> None:
    before = children()
    with Rig(kind, tmp_path, resync={"abortGrace": 0.2}) as rig:
        rig.begin(["hangs", str(tmp_path / "began"), str(tmp_path / "until")], ["things", 1])
        wait_until((tmp_path / "began").exists, "the shard")
    wait_until(lambda: children() <= before, "the end of all workers")
    (tmp_path / "until").touch()


def test_handlers_of_partials_share_the_workers(kind: Kind, tmp_path: Path) -> None:
    first = functools.partial(Needy, "first")
    second = functools.partial(Needy, prefix="second")
    with Rig(kind, tmp_path, handlers=[first, second], resync={"workers": 1}) as rig:
        assert rig.run("a", "b").status == "completed"
        assert rig.identifiers() == {"first-a", "first-b", "second-a", "second-b"}


# -- what does not depend on the executor ----------------------------------------------------------


def test_a_handler_that_cannot_be_built_is_named(tmp_path: Path) -> None:
    with Rig(THREADS, tmp_path, handlers=[NotLoadable]) as rig:
        ended = rig.run()
        assert ended.failures == ("NotLoadable: ImportError: no module named 'missing'",)


def test_thousands_of_failing_shards_do_not_flood_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Rig(THREADS, tmp_path) as rig:
        ended = rig.run(*(["raises", str(number)] for number in range(50)))
    assert "50 of 50 shards failed" in ended.failures[0]
    lines = [each for each in caplog.records if each.name.endswith("shards.worker")]
    assert 1 <= len(lines) <= 20


def test_a_shard_that_cannot_be_pickled_is_named(tmp_path: Path) -> None:
    with Rig(THREADS, tmp_path, handlers=[Pair]) as rig:
        ended = rig.run(["things", 1])
        assert ended.status == "failed"
        (failure,) = ended.failures
        assert failure.startswith("Pair: ShardsFailed: 1 of 2 shards failed: (<unlocked _thread")
        assert "cannot be pickled: TypeError: cannot pickle '_thread.lock' object" in failure
        assert rig.identifiers() == {"thing-0"}


def test_shards_that_are_no_list_are_named(tmp_path: Path) -> None:
    class Listless(Sharded):
        def shards(self, run: ResyncRun) -> list[object]:
            return "org-a"  # type: ignore[return-value]  # the mistake is the test

    with Rig(THREADS, tmp_path, handlers=[Listless]) as rig:
        assert rig.run().failures == (
            "Listless: ShardError: Listless.shards returned a str: expected a list",
        )


def test_shards_and_finish_may_be_coroutines_and_finish_decides_what_is_deleted(
    tmp_path: Path,
) -> None:
    class Careful(Sharded):
        # both are allowed, and a type checker compares with the `def` of our own test class
        async def shards(self, run: ResyncRun) -> list[object]:  # type: ignore[override]
            return super().shards(run)

        async def finish(self, run: ResyncRun) -> None:
            run.logger.info("nothing is deleted")

    with Rig(THREADS, tmp_path, handlers=[Careful]) as rig:
        assert rig.run(["things", 2, "old"]).status == "completed"
        ended = rig.run(["things", 1, "new"])
        assert (ended.status, ended.written.reconciled) == ("completed", None)
        assert rig.identifiers() == {"old-0", "old-1", "new-0"}


def test_retry_later_in_a_shard_retries_the_run(tmp_path: Path) -> None:
    with Rig(THREADS, tmp_path) as rig:
        rig.begin(["retries_later", 3000], ["things", 1])
        assert rig.expect(RetryScheduled).seconds == 3000


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    with Rig(THREADS, tmp_path, resync={"dryRun": True}) as rig:
        assert rig.run(["things", 3]).status == "completed"
        assert rig.identifiers() == set()


def test_a_handler_without_its_methods_is_refused(tmp_path: Path) -> None:
    class Unfinished(ShardedHandler):
        def shards(self, run: ResyncRun) -> list[object]:
            return []

    with pytest.raises(TypeError, match=r"it has no method resync_shard\(self, shard\)"):
        named_handlers([Unfinished])


def test_an_unknown_executor_is_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"resync\.executor: expected one of threads, processes"
    ):
        settings_of(Kind("thread", isolated=False))
