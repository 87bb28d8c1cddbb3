"""Handlers that ignore an abort: fenced off, named, and their late results dropped."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from scripted import Script

from ocean_actors import ResyncHandler, ResyncRun, RunEnded
from ocean_actors.sandbox.legal import runs_of
from ocean_actors.testing import SandboxedSystem

CALM = {"type": "POLLING", "interval": 3600}
GRACE = {"abortGrace": 0.05}
WITHIN = 30.0


class Hostile:
    """What holds a handler up until the test frees it, in several ways."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.freed = threading.Event()
        self.ours, self.theirs = socket.socketpair()

    def free(self) -> None:
        self.freed.set()
        self.theirs.sendall(b"!")

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()

    def in_a_socket(self) -> None:
        self.ours.recv(1)

    def in_a_loop(self) -> None:
        while not self.freed.is_set():
            pass

    def in_a_sleep(self) -> None:
        self.freed.wait(WITHIN)

    async def swallowing_cancellation(self) -> None:
        while not self.freed.is_set():
            try:
                await asyncio.sleep(3600 if not self.freed.is_set() else 0)
            except asyncio.CancelledError:
                await asyncio.to_thread(self.freed.wait, WITHIN)

    async def blocking_the_loop(self) -> None:
        self.freed.wait(WITHIN)


@pytest.fixture
def hostile() -> Iterator[Any]:
    hostile = Hostile()
    yield hostile
    hostile.free()
    for thread in threading.enumerate():
        if thread.name.startswith("handler-"):
            thread.join(WITHIN)
    hostile.close()


def nothing(_run: ResyncRun) -> None:
    pass


def handler(hostile: Any, way: Any, at_last: Any = nothing) -> Any:
    """A handler whose first run is held up in that way, and whose others are quick."""

    class Stubborn(ResyncHandler):
        def resync(self, run: ResyncRun) -> Any:
            if hostile.entered.is_set():
                return None
            hostile.entered.set()
            work = getattr(hostile, way)()
            if work is None:
                at_last(run)
            return work

    return Stubborn


def actors(rig: SandboxedSystem) -> Any:
    return {actor["name"]: actor["state"] for actor in rig.system.status()["actors"]}


def ended(rig: SandboxedSystem, number: int) -> Any:
    event = rig.expect(RunEnded)
    while event.run.number != number:
        event = rig.expect(RunEnded)
    return event


@pytest.mark.parametrize(
    "way",
    [
        "in_a_socket", "in_a_loop", "in_a_sleep", "swallowing_cancellation", "blocking_the_loop",
    ],
)  # fmt: skip
def test_whoever_ignores_an_abort_is_fenced_off_and_a_fresh_one_goes_on(
    hostile: Any, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    with SandboxedSystem([handler(hostile, way)], eventListener=CALM, resync=GRACE) as rig:
        assert hostile.entered.wait(WITHIN)
        rig.system.request_resync("newer")
        first = ended(rig, 1)
        assert first.status == "aborted"
        assert first.failures[-1] == "Stubborn: was still at work when it was fenced off"
        assert ended(rig, 2).status == "completed"
        assert actors(rig)["handler-Stubborn"] == "abandoned"
        assert rig.system.status()["leftBehind"] == ["handler-Stubborn"]
        assert actors(rig)["handler-Stubborn-2"] == "running"
        rig.sandbox.wait_for(lambda: len(rig.statuses()) == 4, WITHIN)
        assert runs_of(rig.sandbox.reports(rig.identifier)) == ["aborted", "completed"]
    run_id = first.run.id
    assert "handler Stubborn did not stop within abortGrace (0.05 s); " in caplog.text
    assert f"run {run_id} goes on without it" in caplog.text
    assert "threads left behind, as they did not end: handler-Stubborn" in caplog.text


def late_progress(run: ResyncRun) -> None:
    for done in range(20):
        run.progress(done)


def late_failure(run: ResyncRun) -> None:
    raise ValueError("too late")


def late_write(run: ResyncRun) -> None:
    run.port.upsert("service", [{"identifier": "late"}])


@pytest.mark.parametrize(
    ("at_last", "dropped"),
    [(nothing, 1), (late_progress, 3), (late_failure, 1), (late_write, 1)],
    ids=["result", "progress", "failure", "entities"],
)
def test_what_a_fenced_handler_does_late_is_dropped_and_counted(
    hostile: Any, at_last: Any, dropped: int
) -> None:
    stubborn = handler(hostile, "in_a_sleep", at_last)
    rig = SandboxedSystem([stubborn], eventListener=CALM, resync={**GRACE, "onNewRequest": "queue"})
    rig.sandbox.create_blueprint("service")
    with rig:
        assert hostile.entered.wait(WITHIN)
        left = next(thread for thread in threading.enumerate() if thread.name == "handler-Stubborn")
        rig.system._resync.set_role(active=False)  # aborts the run
        rig.expect(RunEnded)
        rig.system._resync.set_role(active=True)
        assert ended(rig, 2).status == "completed"
        hostile.free()
        left.join(WITHIN)
        assert rig.system.status()["leftBehind"] == []
        status = rig.system.status()["resync"]
        assert status["late"] == dropped
        assert [run["status"] for run in status["runs"]] == ["aborted", "completed"]
        assert rig.sandbox.entities("service") == []


def test_each_fenced_handler_is_replaced_and_its_thread_is_told(
    hostile: Any, script: Script
) -> None:
    class Deaf(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            script.entered.put(threading.current_thread().name)
            hostile.freed.wait(WITHIN)

    drop = {"onNewRequest": "drop", "maxConsecutiveAborts": 100}
    with SandboxedSystem([Deaf], eventListener=CALM, resync=drop) as rig:
        names = [script.wait_until_at_work()]
        for number in range(5):
            rig.system.request_resync(f"newer {number}")
            names.append(script.wait_until_at_work())
        found = actors(rig)
        assert [name for name in found if found[name] == "abandoned"] == names[:-1]
        assert len(set(names)) == 6
        hostile.free()
        assert ended(rig, 6).status == "completed"


def test_an_async_handler_is_cancelled_at_its_await_and_its_finally_runs(hostile: Any) -> None:
    said = []

    class Tidy(ResyncHandler):
        async def resync(self, run: ResyncRun) -> None:
            try:
                hostile.entered.set()
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(0)
                said.append("tidied up")

    with SandboxedSystem([Tidy], eventListener=CALM) as rig:
        assert hostile.entered.wait(WITHIN)
        assert rig.system.stop()
        assert rig.expect(RunEnded).failures == ("stopping",)
    assert said == ["tidied up"]


def test_an_exception_that_cannot_even_be_printed_fails_the_run_and_no_more(
    quick: type[ResyncHandler],
) -> None:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not printable")

    class Broken(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            raise Unprintable

    with SandboxedSystem([Broken, quick], eventListener=CALM) as rig:
        ended = rig.expect(RunEnded)
        assert ended.failures == ("Broken: Unprintable: (its __str__ raised RuntimeError)",)
        rig.system.request_resync("again")
        assert rig.expect(RunEnded).status == "failed"
