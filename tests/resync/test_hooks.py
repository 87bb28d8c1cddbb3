"""`on_run_started` and `on_run_ended` of a handler; a clock turned by hand."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest
from coordinator_rig import WITHIN, CoordinatorRig, opened_rigs
from simulation import asked

from ocean_actors import ResyncHandler, ResyncRun
from ocean_actors.messages import RunEnded

rigs = pytest.fixture(opened_rigs)


def begin(rig: CoordinatorRig, number: int = 1) -> None:
    rig.coordinator.ask(asked("test", number).request)
    rig.answer()


class Recording(ResyncHandler):
    """Writes down what it is told, and in which thread."""

    def __init__(self, told: queue.Queue[tuple[str, threading.Thread]]) -> None:
        self.told = told

    def note(self, what: str) -> None:
        self.told.put((what, threading.current_thread()))

    def on_run_started(self, run: ResyncRun) -> None:
        self.note(f"started {run.id}")

    def resync(self, run: ResyncRun) -> None:
        self.note("resync")

    def on_run_ended(self, status: str) -> None:
        self.note(f"ended {status}")


def of(kind: type[Any], *arguments: Any) -> Any:
    """Returns what builds a handler, named after its class."""

    def build() -> Any:
        return kind(*arguments)

    build.__name__ = kind.__name__
    return build


def test_the_hooks_surround_every_run_in_the_thread_of_the_handler(
    rigs: Callable[..., CoordinatorRig],
) -> None:
    told: queue.Queue[Any] = queue.Queue()
    rig = rigs(of(Recording, told))
    for number in (1, 2):
        begin(rig, number)
        heard = [told.get(timeout=WITHIN) for _ in range(3)]
        assert [what for what, _ in heard] == [f"started run-{number}", "resync", "ended completed"]
        assert {thread.name for _, thread in heard} == {"handler-Recording"}


def test_a_failed_run_and_an_aborted_one_are_told_as_such(
    rigs: Callable[..., CoordinatorRig],
) -> None:
    told: queue.Queue[Any] = queue.Queue()

    class Failing(Recording):
        def resync(self, run: ResyncRun) -> None:
            if run.info.number == 1:
                raise ValueError("no such page")
            self.note("at work")
            run.sleep(3600)

    rig = rigs(of(Failing, told))
    begin(rig)
    assert [told.get(timeout=WITHIN)[0] for _ in range(2)] == ["started run-1", "ended failed"]
    begin(rig, 2)
    assert [told.get(timeout=WITHIN)[0] for _ in range(2)] == ["started run-2", "at work"]
    rig.coordinator.ask(asked("test", 3).request)
    assert told.get(timeout=WITHIN)[0] == "ended aborted"


def test_the_run_has_the_status_that_all_handlers_have_made(
    rigs: Callable[..., CoordinatorRig],
) -> None:
    told: queue.Queue[Any] = queue.Queue()

    class Broken(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            raise ValueError("no such page")

    rig = rigs(of(Recording, told), Broken)
    begin(rig)
    assert [told.get(timeout=WITHIN)[0] for _ in range(3)][-1] == "ended failed"


def test_hooks_may_be_coroutines(rigs: Callable[..., CoordinatorRig]) -> None:
    told: queue.Queue[Any] = queue.Queue()

    class Async(ResyncHandler):
        async def on_run_started(self, run: ResyncRun) -> None:
            await asyncio.sleep(0)
            told.put("started")

        async def resync(self, run: ResyncRun) -> None:
            told.put("resync")

        async def on_run_ended(self, status: str) -> None:
            await asyncio.sleep(0)
            told.put(status)

    rig = rigs(Async)
    begin(rig)
    assert [told.get(timeout=WITHIN) for _ in range(3)] == ["started", "resync", "completed"]


def test_a_hook_that_fails_is_logged_and_changes_nothing(
    rigs: Callable[..., CoordinatorRig], caplog: pytest.LogCaptureFixture
) -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    class Faulty(ResyncHandler):
        def on_run_started(self, run: ResyncRun) -> None:
            raise SystemExit("not today")

        def resync(self, run: ResyncRun) -> None:
            pass

        def on_run_ended(self, status: str) -> None:
            raise Odd

    rig = rigs(Faulty)
    for number in (1, 2):
        begin(rig, number)
        assert rig.stream.expect(RunEnded).status == "completed"
    rig.settle()
    assert "a hook of handler Faulty failed in run run-1: SystemExit: not today" in caplog.text
    assert "a hook of handler Faulty failed in run run-2" in caplog.text
    assert "its __str__ raised RuntimeError" in caplog.text


@pytest.mark.parametrize("hook", ["on_run_started", "on_run_ended"])
def test_a_hook_that_yields_is_refused_as_it_would_do_nothing(hook: str) -> None:
    def plain(self: ResyncHandler, given: object) -> Any:
        yield given

    async def coroutine(self: ResyncHandler, given: object) -> Any:
        yield given

    for method in (plain, coroutine):
        with pytest.raises(TypeError, match=f"^Pages.{hook} yields, so it would do nothing$"):
            type("Pages", (ResyncHandler,), {"resync": Recording.resync, hook: method})


def test_a_hook_that_returns_a_generator_has_failed(
    rigs: Callable[..., CoordinatorRig], caplog: pytest.LogCaptureFixture
) -> None:
    class Lazy(ResyncHandler):
        def on_run_started(self, run: ResyncRun) -> Any:
            return (each for each in "abc")

        def resync(self, run: ResyncRun) -> None:
            pass

    rig = rigs(Lazy)
    begin(rig)
    assert rig.stream.expect(RunEnded).status == "completed"
    assert "the hook returned a generator, which is not used" in caplog.text


def test_an_abort_in_on_run_started_ends_the_run_without_a_resync(
    rigs: Callable[..., CoordinatorRig], caplog: pytest.LogCaptureFixture
) -> None:
    told: queue.Queue[Any] = queue.Queue()

    class Waiting(ResyncHandler):
        async def on_run_started(self, run: ResyncRun) -> None:
            told.put("started")
            if run.info.number == 1:
                await asyncio.sleep(3600)

        def resync(self, run: ResyncRun) -> None:
            told.put(f"resync {run.id}")

    rig = rigs(Waiting)
    begin(rig)
    assert told.get(timeout=WITHIN) == "started"
    rig.coordinator.ask(asked("test", 2).request)
    assert rig.stream.expect(RunEnded).status == "aborted"
    rig.clock.advance(10, settle=rig.settle)
    rig.answer()
    assert [told.get(timeout=WITHIN) for _ in range(2)] == ["started", "resync run-2"]
    assert "hook" not in caplog.text


def test_what_takes_the_place_of_a_hung_handler_is_not_told_of_the_run(
    rigs: Callable[..., CoordinatorRig],
) -> None:
    told: queue.Queue[Any] = queue.Queue()
    release = threading.Event()

    class Hung(Recording):
        def resync(self, run: ResyncRun) -> None:
            self.note("resync")
            if run.info.number == 1:
                release.wait(WITHIN)

    rig = rigs(of(Hung, told), on_new_request="drop")
    begin(rig)
    assert [told.get(timeout=WITHIN)[0] for _ in range(2)] == ["started run-1", "resync"]
    begin(rig, 2)
    assert rig.stream.expect(RunEnded).status == "aborted"
    heard = [told.get(timeout=WITHIN)[0] for _ in range(3)]
    assert heard == ["started run-2", "resync", "ended completed"]
    release.set()
    rig.settle()
    assert told.empty()


@pytest.mark.parametrize("policy", ["abort", "drop"])
def test_a_hung_on_run_ended_is_fenced_off_with_the_next_run(
    rigs: Callable[..., CoordinatorRig], policy: str
) -> None:
    told: queue.Queue[Any] = queue.Queue()
    release, hung = threading.Event(), threading.Event()

    class Hung(Recording):
        def on_run_ended(self, status: str) -> None:
            self.note(f"ended {status}")
            if not hung.is_set():
                hung.set()
                release.wait(WITHIN)

    rig = rigs(of(Hung, told), on_new_request=policy, abort_grace=20.0)
    begin(rig)
    told.get(timeout=WITHIN)
    first = told.get(timeout=WITHIN)[1]
    assert told.get(timeout=WITHIN)[0] == "ended completed"
    assert rig.stream.expect(RunEnded).status == "completed"
    begin(rig, 2)  # cannot start in the handler
    rig.settle(parked="handler-*")
    rig.coordinator.ask(asked("test", 3).request)
    for _ in range(3):
        rig.clock.advance(20.0, settle=lambda: rig.settle(parked="handler-*"))
    ended = rig.stream.expect(RunEnded)
    assert (ended.run.number, ended.status) == (2, "aborted")
    rig.answer()
    heard = [told.get(timeout=WITHIN)[0] for _ in range(3)]
    assert heard == ["started run-3", "resync", "ended completed"]
    assert rig.stream.expect(RunEnded).status == "completed"
    release.set()
    first.join(WITHIN)
    assert not first.is_alive()
