"""Aborting, pausing, and requesting some kinds, through `OceanSystem` and through custom actors."""

from __future__ import annotations

import functools
import json
import threading
from datetime import datetime
from typing import Any

import pytest
from scripted import Script
from waiting import wait_until

from ocean_actors import (
    Actor,
    Allow,
    Delay,
    Ignore,
    RequestSettled,
    ResyncHandler,
    ResyncRequested,
    ResyncRun,
    RunEnded,
    RunProgressed,
    RunStarted,
    handles,
)
from ocean_actors.messages import ResyncsPaused, ResyncsResumed
from ocean_actors.testing import SandboxedSystem

CALM = {"type": "POLLING", "interval": 3600}


def test_an_abort_ends_the_run_and_nothing_follows(
    script: Script, scripted: type[ResyncHandler]
) -> None:
    with SandboxedSystem([scripted], eventListener=CALM) as rig:
        script.wait_until_at_work()
        assert rig.system.abort("bad mapping") is True
        ended = rig.expect(RunEnded)
        assert (ended.status, ended.failures) == ("aborted", ("bad mapping",))
        assert rig.expect(RequestSettled).outcome == "aborted"
        assert rig.system.abort("again") is False
        assert rig.system.status()["resync"]["state"] == "idle"
        rig.sandbox.wait_for(lambda: len(rig.statuses()) == 2)
        assert rig.statuses() == ["running", "aborted"]


def test_an_abort_ends_once_with_one(script: Script, scripted: type[ResyncHandler]) -> None:
    with SandboxedSystem([scripted], eventListener={"type": "ONCE"}) as rig:
        script.wait_until_at_work()
        rig.system.abort("bad mapping")
        assert rig.system.wait(30.0)
        assert rig.system.exit_code == 1
        assert "aborted" in (rig.system.cause or "")


def test_a_paused_system_takes_requests_and_runs_them_when_resumed(
    quick: type[ResyncHandler], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "ocean_actors")
    with SandboxedSystem([quick], eventListener=CALM) as rig:
        rig.expect(RunEnded)
        rig.system.pause("maintenance")
        rig.system.pause("deployment", owner="ci")
        asked = rig.system.request_resync("later", policy="queue")
        status = rig.system.status()["resync"]
        assert status["state"] == "paused"
        assert [(each["owner"], each["reason"]) for each in status["pauses"]] == [
            ("api", "maintenance"), ("ci", "deployment"),
        ]  # fmt: skip
        (pending,) = status["pending"]
        assert datetime.fromisoformat(pending.pop("requestedAt")).tzinfo is not None
        assert pending == {
            "id": asked, "trigger": "manual", "reason": "later", "kinds": None, "policy": "queue",
        }  # fmt: skip
        rig.system.resume("done")
        assert rig.system.status()["resync"]["state"] == "paused"
        rig.system.resume("done", owner="ci")
        assert rig.expect(RunEnded).run.reason == "later"
    assert "resyncs are paused by api: maintenance; requests wait; the pause ends" in caplog.text


def test_a_pause_before_the_start_is_refused_and_so_is_one_after_the_stop(
    quick: type[ResyncHandler],
) -> None:
    with SandboxedSystem([quick], eventListener=CALM) as rig:
        rig.system.stop()
        for steer in (rig.system.pause, rig.system.resume, rig.system.abort):
            with pytest.raises(RuntimeError, match="is stopped"):
                steer("too late")


class Operator(Actor):
    """Steers from within: pauses when a run starts, and resumes when it has ended."""

    subscribes_to = (RunStarted, RunEnded)

    def __init__(self, *, abort: bool) -> None:
        super().__init__()
        self.abort = abort
        self.runs = 0

    @handles(RunStarted)
    def on_started(self, _event: RunStarted) -> None:
        self.runs += 1
        if self.runs == 1:
            self.context.pause("let it end", abort=self.abort)

    @handles(RunEnded)
    def on_ended(self, _event: RunEnded) -> None:
        self.context.resume("it has ended")


def test_a_custom_actor_pauses_under_its_own_name(
    script: Script, scripted: type[ResyncHandler]
) -> None:
    operator = functools.partial(Operator, abort=True)
    with SandboxedSystem([scripted], [operator], eventListener=CALM) as rig:
        script.wait_until_at_work()
        assert rig.expect(ResyncsPaused).owner == "Operator"
        assert rig.expect(RunEnded).status == "aborted"
        assert rig.expect(ResyncsResumed).paused is False
        script.wait_until_at_work()
        script.let_finish()
        assert rig.expect(RunEnded).status == "completed"


# -- kinds and parameters --------------------------------------------------------------------------


def kinds_of(seen: list[tuple[str, tuple[str, ...], dict[str, Any]]]) -> list[Any]:
    class Issues(ResyncHandler):
        kinds = ("issue", "epic")

        def resync(self, run: ResyncRun) -> None:
            seen.append(("Issues", run.kinds, run.parameters))

    class Teams(ResyncHandler):
        kinds = ("team",)

        def resync(self, run: ResyncRun) -> None:
            seen.append(("Teams", run.kinds, run.parameters))

    return [Issues, Teams]


def test_a_run_for_some_kinds_starts_their_handlers_only() -> None:
    seen: list[tuple[str, tuple[str, ...], dict[str, Any]]] = []
    with SandboxedSystem(kinds_of(seen), eventListener=CALM) as rig:
        rig.expect(RunEnded)
        everything = ("issue", "epic", "team")
        assert sorted(seen) == [("Issues", everything, {}), ("Teams", everything, {})]
        seen.clear()
        rig.system.request_resync("some", kinds=("epic",), parameters={"since": "2026"})
        info = rig.expect(RunEnded).run
        assert seen == [("Issues", ("epic",), {"since": "2026"})]
        assert (info.handlers, info.partial) == (("Issues",), True)
        assert [run["kinds"] for run in rig.system.status()["resync"]["runs"]] == [None, ["epic"]]
        with pytest.raises(ValueError, match=r"'pull' is unknown; .* issue, epic, team"):
            rig.system.request_resync("some", kinds=("pull",))


def test_a_partial_run_does_not_serve_a_change_that_no_listener_has_told_yet(
    quick: type[ResyncHandler],
) -> None:
    class Some(quick):  # type: ignore[valid-type,misc]  # a fixture
        kinds = ("a", "b")

    with SandboxedSystem([Some], eventListener={"type": "POLLING", "interval": 1.0}) as rig:
        rig.expect(RunEnded)
        rig.system.pause("hold")
        rig.system.request_resync("some", kinds=("a",))
        rig.sandbox.request_resync(rig.identifier)
        rig.system.resume("go")
        reasons = [rig.expect(RunEnded).run.reason]
        if reasons == ["some"]:
            reasons.append(rig.expect(RunEnded).run.reason)
        assert reasons[-1] == "resync requested"


# -- decisions -------------------------------------------------------------------------------------


class Night(Actor):
    """Takes only what is urgent."""

    def decide(self, request: ResyncRequested) -> Allow | Ignore | Delay:
        if request.reason == "urgent":
            return Allow()
        return Delay(0.2) if request.trigger == "polling" else Ignore("it is night")


def test_a_custom_actor_decides_which_requests_are_taken(quick: type[ResyncHandler]) -> None:
    with SandboxedSystem([quick], [Night], eventListener=CALM) as rig:
        assert rig.expect(RunEnded).run.trigger == "polling"
        rig.system.request_resync("not now")
        settled = rig.expect(RequestSettled)
        while settled.outcome != "ignored":
            settled = rig.expect(RequestSettled)
        assert settled.request.reason == "not now"
        rig.system.request_resync("urgent")
        assert rig.expect(RunEnded).run.reason == "urgent"
        status = rig.system.status()["resync"]
        assert (status["requests"], status["ignored"], status["covered"]) == (3, 1, 2)


class Crashing(Actor):
    """Fails at every question."""

    def decide(self, request: ResyncRequested) -> Allow:
        raise SystemExit(request.reason)


def test_a_decider_that_fails_stops_nothing(quick: type[ResyncHandler]) -> None:
    with SandboxedSystem([quick], [Crashing], eventListener=CALM) as rig:
        rig.expect(RunEnded)
        for number in range(20):
            rig.system.request_resync(f"{number}", policy="queue")
        while rig.expect(RunEnded).run.reason != "19":
            pass
        assert not rig.system.status()["stopped"]


# -- status ----------------------------------------------------------------------------------------


def wait_for_rate(rig: SandboxedSystem) -> dict[str, Any]:
    """A rate is told after a second."""

    def progress() -> dict[str, Any] | None:
        shown: dict[str, Any] = rig.system.status()["resync"]["run"]["progress"]["Slow"]
        return None if shown["rate"] is None else shown

    return wait_until(progress, "a rate")


def test_the_status_shows_what_runs_and_how_fast() -> None:
    go_on = threading.Event()

    class Slow(ResyncHandler):
        kinds = ("thing",)

        def resync(self, run: ResyncRun) -> None:
            run.progress(0, 100)
            go_on.wait(30.0)
            run.progress(50, 100, "half")
            go_on.clear()
            go_on.wait(30.0)

    with SandboxedSystem([Slow], eventListener=CALM) as rig:
        rig.expect(RunProgressed)
        status = rig.system.status()
        run = status["resync"]["run"]
        assert run["progress"]["Slow"]["secondsLeft"] is None
        assert (run["number"], run["covered"], run["kinds"], run["handlers"]) == (
            1, 1, None, ["Slow"],
        )  # fmt: skip
        assert run["seconds"] >= 0
        assert (run["entities"], run["failedEntities"], run["deletedEntities"]) == (0, 0, 0)
        assert datetime.fromisoformat(status["startedAt"]) <= datetime.fromisoformat(status["now"])
        assert status["version"]
        listening = status["listening"]
        assert listening["state"] == "running"
        assert listening["connected"] is True
        assert datetime.fromisoformat(listening["lastEventAt"])
        assert datetime.fromisoformat(listening["nextPollAt"])
        json.dumps(status)
        go_on.set()
        rig.expect(RunProgressed)
        progress = wait_for_rate(rig)
        assert progress["rate"] > 0
        assert progress["secondsLeft"] > 0
        assert progress["message"] == "half"
        go_on.set()
        rig.expect(RunEnded)


def test_the_status_counts_what_a_run_covers(script: Script, scripted: type[ResyncHandler]) -> None:
    with SandboxedSystem([scripted], eventListener=CALM) as rig:
        script.wait_until_at_work()
        for number in range(5):
            rig.system.request_resync(f"{number}", policy="queue")
        script.let_finish()
        script.wait_until_at_work()
        assert rig.system.status()["resync"]["run"]["covered"] == 5
        script.let_finish()
        while rig.expect(RunEnded).run.reason != "4":
            pass
        status = rig.system.status()["resync"]
        assert (status["requests"], status["covered"]) == (6, 6)
        assert [run["covered"] for run in status["runs"]] == [1, 5]
