"""Guarantees 3, 4 and 5 where handlers hang, a schedule is fast, or an actor tells tales."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ocean_actors import Actor, ResyncHandler, ResyncRun, RunEnded, RunStarted, handles
from ocean_actors.sandbox.legal import runs_of
from ocean_actors.testing import ManualClock, SandboxedSystem, wait_idle

CALM = {"type": "POLLING", "interval": 86_400}
WITHIN = 30.0


def end_of(rig: SandboxedSystem, fits: Any) -> Any:
    event = rig.expect(RunEnded, WITHIN)
    while not fits(event):
        event = rig.expect(RunEnded, WITHIN)
    return event


@pytest.mark.parametrize("policy", ["abort", "drop"])
def test_hung_runs_do_not_protect_the_next_one(policy: str) -> None:
    outage = threading.Event()
    over = threading.Event()
    outage.set()

    class Hangs(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            if outage.is_set():
                entered.release()
                over.wait(WITHIN)  # as a read from a dead connection

    entered = threading.Semaphore(0)
    resync = {"abortGrace": 0.01, "onNewRequest": policy}
    with SandboxedSystem([Hangs], eventListener=CALM, resync=resync) as rig:
        for number in range(5):
            assert entered.acquire(timeout=WITHIN)
            rig.system.request_resync(f"beat {number}")
        assert entered.acquire(timeout=WITHIN)
        outage.clear()
        rig.system.request_resync("later")
        ended = end_of(rig, lambda event: event.status != "aborted")
        assert (ended.status, ended.run.reason) == ("completed", "later")
        over.set()


def test_a_schedule_shorter_than_a_run_lets_it_finish_by_default() -> None:
    class Slow(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            run.sleep(150)

    clock = ManualClock()
    with SandboxedSystem([Slow], clock=clock, eventListener=CALM, scheduledResyncInterval=1) as rig:
        rig.expect(RunStarted, WITHIN)
        clock.advance(500.0, lambda: wait_idle(rig.system._actors, WITHIN))
        runs = rig.system.status()["resync"]["runs"]
        assert [run["status"] for run in runs] == ["completed"] * 3
        assert [run["trigger"] for run in runs] == ["polling", "schedule", "schedule"]
        rig.sandbox.wait_for(
            lambda: runs_of(rig.sandbox.reports(rig.identifier))[:3] == ["completed"] * 3, WITHIN
        )


class Parrot(Actor):
    """Publishes what it hears of runs again."""

    subscribes_to = (RunStarted, RunEnded)
    repeated = 0

    @handles(RunStarted)
    def on_started(self, event: RunStarted) -> None:
        self.repeat(event)

    @handles(RunEnded)
    def on_ended(self, event: RunEnded) -> None:
        self.repeat(event)

    def repeat(self, event: Any) -> None:
        if self.repeated < 10:
            self.repeated += 1
            self.context.publish(event)


def test_port_hears_only_of_what_the_coordinator_says(quick: type[ResyncHandler]) -> None:
    with SandboxedSystem([quick], [Parrot], eventListener=CALM) as rig:
        rig.expect(RunEnded, WITHIN)
        rig.system.request_resync("again")
        end_of(rig, lambda event: event.run.number == 2)
        rig.sandbox.wait_for(lambda: rig.statuses()[-1:] == ["completed"], WITHIN)
        wait_idle(rig.system._actors, WITHIN)
    assert rig.statuses() == ["running", "completed", "running", "completed"]


def test_one_refusal_is_one_line_for_each_handler(caplog: pytest.LogCaptureFixture) -> None:
    def make(number: int) -> Any:
        def resync(_self: object, run: ResyncRun) -> None:
            if run.reason == "again":
                run.port.reconcile()
            else:
                entities = [{"identifier": f"{number}-{each}"} for each in range(5)]
                run.port.upsert("service", entities)

        return type(f"H{number}", (ResyncHandler,), {"resync": resync})

    rig = SandboxedSystem([make(number) for number in range(5)], eventListener=CALM)
    rig.sandbox.create_blueprint("service")
    with rig:
        assert rig.expect(RunEnded, WITHIN).status == "completed"
        caplog.clear()
        rig.system.request_resync("again")
        ended = rig.expect(RunEnded, WITHIN)
    assert ended.status == "failed"
    assert all("ReconcileRefused: nothing is deleted" in each for each in ended.failures)
    lines = [item for item in caplog.records if item.name == "ocean_actors.resync.handler_actor"]
    assert len(lines) == 5
    assert not any(item.exc_info for item in lines)
