"""What a handler is given and what becomes of it; a real coordinator, a clock turned by hand."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest
from coordinator_rig import WITHIN, CoordinatorRig, handler, opened_rigs
from simulation import asked

from ocean_actors import ResyncAborted, ResyncHandler, ResyncRun
from ocean_actors.frozen import freeze
from ocean_actors.messages import RunEnded, RunProgressed
from ocean_actors.testing import Probe

rigs = pytest.fixture(opened_rigs)


def request(rig: CoordinatorRig, number: int = 1) -> None:
    rig.do(asked("test", number))


def begin(rig: CoordinatorRig, **config: Any) -> None:
    request(rig)
    rig.answer(**config)


def test_the_others_go_on_when_one_fails_and_the_log_says_which_and_where(
    rigs: Callable[..., CoordinatorRig], caplog: pytest.LogCaptureFixture
) -> None:
    class Exits(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            raise SystemExit(3)

    class Broken(ResyncHandler):
        async def resync(self, run: ResyncRun) -> None:
            raise ValueError("no such page")

    may_finish = threading.Event()
    finished = threading.Event()

    class Fine(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            may_finish.wait(WITHIN)
            run.check()
            finished.set()

    rig = rigs(Exits, Broken, Fine)
    begin(rig)
    rig.stream.expect_none(RunEnded, settle=lambda: rig.settle(parked="handler-Fine"))
    may_finish.set()
    ended = rig.stream.expect(RunEnded)
    assert finished.is_set()
    assert ended.status == "failed"
    assert sorted(ended.failures) == ["Broken: ValueError: no such page", "Exits: SystemExit: 3"]
    assert "handler Broken failed in run run-1" in caplog.text
    assert 'raise ValueError("no such page")' in caplog.text


def test_one_object_serves_run_after_run_until_it_is_fenced_off(
    rigs: Callable[..., CoordinatorRig],
) -> None:
    served: queue.Queue[Any] = queue.Queue()
    hold = threading.Event()

    class Counting(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            served.put((self, threading.current_thread()))
            if run.info.number == 2:
                hold.wait(WITHIN)

    rig = rigs(Counting, on_new_request="drop")
    by = []
    for number in (1, 2, 3):
        rig.coordinator.ask(asked("test", number).request)
        rig.answer()
        by.append(served.get(timeout=WITHIN))
        rig.settle(parked="handler-*" if number == 2 else None)
    hold.set()
    assert by[0] == by[1]
    assert by[2][0] is not by[1][0]
    assert by[2][1] is not by[1][1]
    assert by[1][1].name == "handler-Counting"
    by[1][1].join(WITHIN)


def waits(run: ResyncRun) -> None:
    run.sleep(3600)


def checks(run: ResyncRun) -> None:
    while True:
        run.check()


def guards(run: ResyncRun) -> None:
    for _ in run.guard(iter(int, 1)):
        pass


@pytest.mark.parametrize("way", [waits, checks, guards])
def test_an_abort_reaches_the_handler_with_its_reason(
    rigs: Callable[..., CoordinatorRig], way: Any
) -> None:
    entered: queue.Queue[ResyncRun] = queue.Queue()
    heard: queue.Queue[str] = queue.Queue()

    def work(run: ResyncRun) -> None:
        entered.put(run)
        try:
            way(run)
        except ResyncAborted as aborted:
            heard.put(aborted.reason)
            raise

    rig = rigs(handler(work))
    begin(rig)
    entered.get(timeout=WITHIN)
    rig.coordinator.ask(asked("test", 2).request)
    assert heard.get(timeout=WITHIN) == "superseded: test 2"
    ended = rig.stream.expect(RunEnded)
    assert (ended.status, ended.failures) == ("aborted", ("superseded: test 2",))


def test_a_coroutine_is_cancelled_at_its_await_and_may_tidy_up(
    rigs: Callable[..., CoordinatorRig],
) -> None:
    entered, tidied = threading.Event(), threading.Event()

    async def work(run: ResyncRun) -> None:
        try:
            entered.set()
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            tidied.set()

    rig = rigs(handler(work))
    begin(rig)
    assert entered.wait(WITHIN)
    rig.coordinator.ask(asked("test", 2).request)
    assert rig.stream.expect(RunEnded).status == "aborted"
    assert tidied.is_set()


def test_whoever_raises_the_abort_of_a_run_that_was_not_aborted_has_failed(
    rigs: Callable[..., CoordinatorRig],
) -> None:
    def work(run: ResyncRun) -> None:
        raise ResyncAborted("says who?")

    rig = rigs(handler(work))
    begin(rig)
    assert rig.stream.expect(RunEnded).status == "failed"


def test_progress_is_reported_ten_times_a_second_and_at_the_end(
    rigs: Callable[..., CoordinatorRig],
) -> None:
    def work(run: ResyncRun) -> None:
        for done in range(1, 1001):
            run.progress(done, total=1000)
            if done == 500:
                run.sleep(0.1)
        run.progress(1000, total=1000, message="done")

    rig = rigs(handler(work))
    heard = Probe(rig.system, name="progress").subscribe(RunProgressed)
    begin(rig)
    rig.settle()
    rig.clock.advance(0.1, settle=rig.settle)
    reports = [
        message.progress for message in heard.received() if isinstance(message, RunProgressed)
    ]
    assert [report.done for report in reports] == [1, 500, 1000]
    assert (reports[-1].message, reports[-1].total) == ("done", 1000)


def test_the_config_of_a_run_cannot_be_changed(rigs: Callable[..., CoordinatorRig]) -> None:
    refused: queue.Queue[Any] = queue.Queue()

    def work(run: ResyncRun) -> None:
        with pytest.raises(TypeError) as first:
            run.config["resources"] = []
        with pytest.raises(TypeError) as second:
            run.config["resources"].append({})
        refused.put((first.value, second.value, run.config))

    rig = rigs(handler(work))
    begin(rig, **freeze({"resources": [{"kind": "repository"}]}))
    *_, config = refused.get(timeout=WITHIN)
    assert config == {"resources": [{"kind": "repository"}]}
    assert rig.stream.expect(RunEnded).status == "completed"
