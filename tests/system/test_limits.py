"""Time limits, retries, the debounce, starvation and the schedule, by a clock turned by hand."""

from __future__ import annotations

import queue
from typing import Any, ClassVar

import pytest
from scripted import Script

from ocean_actors import ResyncHandler, ResyncRun, RetryLater, RunEnded, RunStarted
from ocean_actors.messages import RequestSettled
from ocean_actors.sandbox.legal import runs_of
from ocean_actors.testing import ManualClock, SandboxedSystem, wait_idle

CALM = {"type": "POLLING", "interval": 86_400}
WITHIN = 30.0


class Rig(SandboxedSystem):
    """A system whose clock is turned by hand. Its handlers may be at work meanwhile, unless
    `parked` is None: then they only ever wait by that clock, and each turn is exact.
    """

    def __init__(self, handler: Any, parked: str | None = "handler-*", **settings: Any) -> None:
        self.clock = ManualClock()
        self.parked = parked
        super().__init__([handler], clock=self.clock, **{"eventListener": CALM, **settings})

    def settle(self) -> None:
        wait_idle(self.system._actors, WITHIN, parked=self.parked)

    def turn(self, seconds: float) -> None:
        self.clock.advance(seconds, self.settle)

    def runs(self) -> Any:
        return runs_of(self.sandbox.reports(self.identifier))

    def wait_for_runs(self, *expected: Any) -> None:
        self.sandbox.wait_for(lambda: self.runs() == list(expected), WITHIN)


class Outcomes(ResyncHandler):
    """Fails or not as the test has said; None is a success."""

    said: ClassVar[queue.SimpleQueue[Exception | None]] = queue.SimpleQueue()

    def resync(self, run: ResyncRun) -> None:
        error = type(self).said.get(timeout=WITHIN)
        if error is not None:
            raise error


def says(*outcomes: Any) -> Any:
    said: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
    for outcome in outcomes:
        said.put(outcome)
    return type("Outcomes", (Outcomes,), {"said": said})


# -- resync.timeout ----------------------------------------------------------------------------


def test_a_run_past_its_time_is_aborted_and_reported_as_failed(
    script: Script, scripted: type[ResyncHandler]
) -> None:
    with Rig(scripted, resync={"timeout": 60}) as rig:
        run = script.wait_until_at_work()
        rig.turn(59.0)
        assert not run.aborted
        rig.turn(1.0)
        ended = rig.expect(RunEnded)
        assert (ended.status, ended.failures) == ("failed", ("it took over 60 s",))
        assert rig.expect(RequestSettled).outcome == "failed"
        rig.wait_for_runs("failed")


def test_a_run_past_its_time_that_does_not_end_is_fenced_off_and_failed(script: Script) -> None:
    class Deaf(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            script.entered.put(run)
            script.go_on.acquire(timeout=WITHIN)

    with Rig(Deaf, resync={"timeout": 60, "abortGrace": 30}) as rig:
        script.wait_until_at_work()
        rig.turn(60.0)
        rig.turn(29.0)
        assert rig.system.status()["resync"]["state"] == "aborting"
        rig.turn(1.0)
        ended = rig.expect(RunEnded)
        assert ended.status == "failed"
        assert ended.failures[0] == "it took over 60 s"
        script.let_finish()
        rig.wait_for_runs("failed")


def test_the_time_limit_is_each_run_s_own(script: Script, scripted: type[ResyncHandler]) -> None:
    with Rig(scripted, resync={"timeout": 60}) as rig:
        script.wait_until_at_work()
        rig.turn(50.0)
        script.let_finish()
        rig.expect(RunEnded)
        rig.system.request_resync()
        run = script.wait_until_at_work()
        rig.turn(50.0)
        assert not run.aborted
        script.let_finish()
        assert rig.expect(RunEnded).status == "completed"


# -- resync.retry and RetryLater ---------------------------------------------------------------


def test_a_failed_run_is_tried_again_with_a_growing_backoff_and_then_settled() -> None:
    broken = says(*[ValueError("broken")] * 3)
    with Rig(broken, resync={"retry": {"attempts": 2, "backoff": 10}}) as rig:
        rig.expect(RunEnded)
        for seconds in (10.0, 20.0):
            rig.turn(seconds - 1)
            assert rig.system.status()["resync"]["state"] == "waiting"
            rig.turn(1.0)
            assert rig.expect(RunEnded).status == "failed"
        assert rig.expect(RequestSettled).outcome == "failed"
        rig.turn(3600.0)
        rig.wait_for_runs("failed", "failed", "failed")


def test_a_try_that_succeeds_settles_the_request_as_completed() -> None:
    with Rig(says(ValueError("broken"), None), resync={"retry": {"attempts": 1}}) as rig:
        rig.expect(RunEnded)
        rig.turn(10.0)
        settled_as = rig.expect(RequestSettled)
        assert (settled_as.request.reason, settled_as.outcome) == ("start", "completed")
        rig.wait_for_runs("failed", "completed")


def test_a_newer_request_comes_before_the_next_try_and_covers_it() -> None:
    broken = says(ValueError("broken"), None)
    with Rig(broken, resync={"retry": {"attempts": 1, "backoff": 3600}}) as rig:
        rig.expect(RunEnded)
        rig.system.request_resync("newer")
        ended = rig.expect(RunEnded)
        assert (ended.run.reason, ended.status) == ("newer", "completed")
        assert {rig.expect(RequestSettled).request.reason for _ in range(2)} == {"start", "newer"}
        rig.turn(3600.0)
        rig.wait_for_runs("failed", "completed")


def test_a_handler_may_ask_to_be_run_again_later_whatever_the_settings_say() -> None:
    with Rig(says(RetryLater(30, "rate limited"), None)) as rig:
        assert rig.expect(RunEnded).failures == ("Outcomes: RetryLater: rate limited",)
        rig.turn(29.0)
        assert rig.runs() == ["failed"]
        rig.turn(1.0)
        assert rig.expect(RunEnded).status == "completed"
        rig.wait_for_runs("failed", "completed")


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "soon"])
def test_a_wish_for_no_time_at_all_fails_the_run_and_nothing_else(seconds: Any) -> None:
    class Vague(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            raise RetryLater(seconds)

    with Rig(Vague) as rig:
        assert rig.expect(RunEnded).status == "failed"
        assert rig.expect(RequestSettled).outcome == "failed"
        assert not rig.system.wait(0)


# -- resync.debounce ---------------------------------------------------------------------------


def test_requests_gather_for_a_while_and_are_served_by_one_run(quick: type[ResyncHandler]) -> None:
    with Rig(quick, resync={"debounce": 5}) as rig:
        rig.sandbox.wait_for(lambda: rig.sandbox.integration(rig.identifier))
        rig.sandbox.wait_for(lambda: rig.sandbox.calls[-1].path.endswith("/resync-request"))
        rig.settle()
        for number in range(50):
            rig.system.request_resync(f"burst {number}")
        rig.turn(4.9)
        assert rig.system.status()["resync"]["state"] == "waiting"
        rig.turn(0.1)
        ended = rig.expect(RunEnded)
        assert ended.run.reason == "burst 49"
        assert {rig.expect(RequestSettled).request.reason for _ in range(2)} == {
            "start", "burst 49",
        }  # fmt: skip
        rig.turn(60.0)
        rig.wait_for_runs("completed")


# -- no starvation -----------------------------------------------------------------------------


class Slow(ResyncHandler):
    def resync(self, run: ResyncRun) -> None:
        run.sleep(100)


@pytest.mark.parametrize(("limit", "pace"), [(1, "every 30.0 s"), (3, "every 24.0 s")])
def test_polling_and_the_schedule_together_cannot_starve_a_run(
    caplog: pytest.LogCaptureFixture, limit: int, pace: str
) -> None:
    with Rig(
        Slow,
        parked=None,
        eventListener={"type": "POLLING", "interval": 30},
        scheduledResyncInterval=1,
        resync={"maxConsecutiveAborts": limit, "onScheduledResync": "abort"},
    ) as rig:
        rig.expect(RunStarted)
        for _ in range(8):
            rig.turn(1.0)  # the run that replaces an aborted one has begun by then
            rig.sandbox.request_resync(rig.identifier)
            rig.turn(29.0)
        ends = ["aborted"] * limit + ["completed"]
        assert [rig.expect(RunEnded).status for _ in ends] == ends
        assert rig.runs()[: limit + 1] == ends
    warnings = [item.getMessage() for item in caplog.records if "left to finish" in item.msg]
    assert warnings[0].startswith(f"{limit} runs in a row were aborted by newer requests")
    assert f"Runs lasted up to 30.0 s and were requested {pace}" in warnings[0]
    for setting in (
        "eventListener.interval", "scheduledResyncInterval", "resync.onNewRequest",
        "resync.debounce",
    ):  # fmt: skip
        assert setting in warnings[0]


# -- the schedule ------------------------------------------------------------------------------


def test_beats_that_fall_into_a_long_run_make_one_run_and_the_phase_stays(
    script: Script, scripted: type[ResyncHandler]
) -> None:
    with Rig(scripted, scheduledResyncInterval=1, resync={"onNewRequest": "queue"}) as rig:
        began = rig.clock.now()
        script.wait_until_at_work()
        rig.turn(630.0)
        script.let_finish(2)
        assert [rig.expect(RunEnded).run.reason for _ in range(2)] == ["start", "scheduled"]
        assert rig.system.status()["resync"]["state"] == "idle"
        rig.turn(29.0)
        assert len(rig.runs()) == 2
        script.let_finish()
        rig.turn(1.0)
        ended = rig.expect(RunEnded)
        assert (ended.run.started_at - began).total_seconds() == 660.0
        rig.wait_for_runs("completed", "completed", "completed")
        reports = rig.sandbox.reports(rig.identifier)
        assert {report["intervalInMinuets"] for report in reports} == {1}
        assert reports[-1]["nextResync"] == "2026-01-01T00:12:00+00:00"


def test_the_schedule_works_beside_a_listener_that_hears_nothing(
    quick: type[ResyncHandler],
) -> None:
    quiet = {**CALM, "resyncOnStart": False}
    with Rig(quick, eventListener=quiet, scheduledResyncInterval=10) as rig:
        rig.sandbox.wait_for(lambda: rig.sandbox.calls[-1:] and rig.system.status()["registered"])
        rig.settle()
        rig.turn(599.0)
        assert rig.runs() == []
        rig.turn(1.0)
        assert rig.expect(RunEnded).run.trigger == "schedule"
