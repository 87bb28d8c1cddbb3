"""POLLING, ONCE and the schedule: real actors, real HTTP, a sandbox for Port."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from scripted import Script

from ocean_actors import ResyncHandler, RunEnded, RunStarted
from ocean_actors.messages import RequestSettled
from ocean_actors.testing import ManualClock, SandboxedSystem, wait_idle

NEW = {"resources": [{"kind": "repository"}]}


def test_polling_resyncs_at_its_start_and_tells_port(quick: type[ResyncHandler]) -> None:
    with SandboxedSystem([quick]) as rig:
        ended = rig.expect(RunEnded)
        assert (ended.status, ended.run.trigger, ended.run.reason) == (
            "completed", "polling", "start",
        )  # fmt: skip
        rig.sandbox.wait_for(lambda: rig.statuses() == ["running", "completed"])


def test_polling_registers_an_integration_that_port_does_not_know(
    quick: type[ResyncHandler],
) -> None:
    with SandboxedSystem([quick]) as rig:
        rig.expect(RunEnded)
        created = rig.sandbox.integration(rig.identifier)
        assert created is not None
        assert created["changelogDestination"] in ({}, None)
        assert created["installationAppType"] == "custom"


def test_without_resync_on_start_polling_runs_nothing_until_something_changes(
    quick: type[ResyncHandler],
) -> None:
    quiet = {"type": "POLLING", "interval": 0.1, "resyncOnStart": False}
    with SandboxedSystem([quick], eventListener=quiet) as rig:
        polls = "/resync-request"
        rig.sandbox.wait_for(lambda: sum(polls in call.path for call in rig.sandbox.calls) >= 3)
        assert rig.statuses() == []
        rig.sandbox.request_resync(rig.identifier)
        assert rig.expect(RunStarted).run.reason == "resync requested"


def test_a_change_that_brings_both_signals_is_one_run_with_the_new_config(
    quick: type[ResyncHandler],
) -> None:
    with SandboxedSystem([quick]) as rig:
        rig.expect(RunEnded)
        rig.sandbox.set_config(rig.identifier, NEW)  # the sandbox adds a request, as Port does
        run = rig.expect(RunEnded).run
        assert run.config == NEW
        rig.sandbox.wait_for(lambda: len(rig.statuses()) == 4)
        seen = _polls(rig)
        rig.sandbox.wait_for(lambda: _polls(rig) >= seen + 3)
        assert rig.statuses() == ["running", "completed"] * 2


def test_a_config_change_alone_is_enough(quick: type[ResyncHandler]) -> None:
    with SandboxedSystem([quick]) as rig:
        rig.expect(RunEnded)
        rig.sandbox.set_config(rig.identifier, NEW, skip_resync=True)
        run = rig.expect(RunStarted).run
        assert (run.reason, run.config) == ("configuration changed", NEW)


def test_its_own_reports_never_trigger_it(quick: type[ResyncHandler]) -> None:
    with SandboxedSystem([quick]) as rig:
        rig.expect(RunEnded)
        rig.sandbox.wait_for(lambda: len(rig.statuses()) == 2)
        seen = _polls(rig)
        rig.sandbox.wait_for(lambda: _polls(rig) >= seen + 5)
        assert rig.statuses() == ["running", "completed"]


def test_a_request_that_the_start_answers_does_not_abort_or_repeat_it(
    script: Script, scripted: type[ResyncHandler]
) -> None:
    rig = SandboxedSystem([scripted])
    rig.sandbox.create_integration("under-test")
    rig.sandbox.request_resync("under-test")
    with rig:
        script.wait_until_at_work()
        seen = _polls(rig)
        rig.sandbox.wait_for(lambda: _polls(rig) >= seen + 3)
        script.let_finish()
        assert rig.expect(RunEnded).status == "completed"
        rig.sandbox.wait_for(lambda: len(rig.statuses()) == 2)
        seen = _polls(rig)
        rig.sandbox.wait_for(lambda: _polls(rig) >= seen + 3)
        assert rig.statuses() == ["running", "completed"]


def test_an_answer_that_is_older_than_a_run_does_not_abort_it(
    script: Script, scripted: type[ResyncHandler]
) -> None:
    with SandboxedSystem([scripted]) as rig:
        script.wait_until_at_work()
        script.let_finish()
        rig.expect(RunEnded)
        with _a_poll_that_waits(rig, "/resync-request$"):  # it has the old config already
            rig.sandbox.set_config(rig.identifier, NEW, skip_resync=True)
            rig.system.request_resync("at the same time")
            assert script.wait_until_at_work().config == NEW
        seen = _polls(rig)
        rig.sandbox.wait_for(lambda: _polls(rig) >= seen + 3)
        script.let_finish()
        assert rig.expect(RunEnded).status == "completed"


def test_a_poll_waits_as_long_as_port_asks_it_to(quick: type[ResyncHandler]) -> None:
    clock = ManualClock()
    every_second = {"type": "POLLING", "interval": 1}
    with SandboxedSystem([quick], eventListener=every_second, clock=clock) as rig:
        rig.expect(RunEnded)
        wait_idle(rig.system._actors)
        rig.sandbox.fail("status", status=429, headers={"Retry-After": "30"}, path="-request$")
        before = _polls(rig)
        for seconds, more in ((1.0, 1), (30.0, 1), (1.0, 2)):  # the backoff comes after the wait
            clock.advance(seconds)
            wait_idle(rig.system._actors)
            assert _polls(rig) == before + more


def test_in_a_long_outage_the_next_poll_is_never_more_than_a_minute_away(
    quick: type[ResyncHandler],
) -> None:
    clock = ManualClock()
    every_second = {"type": "POLLING", "interval": 1}
    with SandboxedSystem([quick], eventListener=every_second, clock=clock) as rig:
        rig.expect(RunEnded)
        wait_idle(rig.system._actors)
        rig.sandbox.fail("status", None, status=503, path="-request$")
        for _ in range(12):  # doubled twelve times, a second is more than an hour
            before = _polls(rig)
            clock.advance(60.0)
            wait_idle(rig.system._actors)
            assert _polls(rig) > before


def test_a_failing_poll_never_ends_the_listener(
    quick: type[ResyncHandler], caplog: pytest.LogCaptureFixture
) -> None:
    with SandboxedSystem([quick]) as rig:
        rig.expect(RunEnded)
        for fault in ("garbage", "html", "list", "empty", "truncate", "drop"):
            rig.sandbox.fail(fault, path="/integration/under-test$", method="GET")
        seen = _polls(rig)
        rig.sandbox.wait_for(lambda: _polls(rig) > seen + 2, timeout=30.0)
        rig.sandbox.request_resync(rig.identifier)
        assert rig.expect(RunEnded).status == "completed"
    assert "Port cannot be asked what is new; retrying in" in caplog.text


def test_once_ends_with_the_result_of_its_run(
    quick: type[ResyncHandler], failing: type[ResyncHandler]
) -> None:
    for handler, code in ((quick, 0), (failing, 1)):
        with SandboxedSystem([handler], eventListener={"type": "ONCE"}) as rig:
            assert rig.system.wait(30)
            assert rig.system.exit_code == code
            assert rig.statuses()[-1] == ("failed" if code else "completed")


def test_once_leaves_the_destination_of_another_process_alone(quick: type[ResyncHandler]) -> None:
    rig = SandboxedSystem([quick], eventListener={"type": "ONCE"})
    rig.sandbox.create_integration("under-test", changelogDestination={"type": "KAFKA"})
    with rig:
        assert rig.system.wait(30)
        assert (rig.sandbox.integration("under-test") or {})["changelogDestination"] == {
            "type": "KAFKA"
        }


def test_polling_takes_over_the_destination_of_an_earlier_listener(
    quick: type[ResyncHandler],
) -> None:
    rig = SandboxedSystem([quick])
    rig.sandbox.create_integration("under-test", changelogDestination={"type": "KAFKA"})
    with rig:
        rig.expect(RunEnded)
        assert (rig.sandbox.integration("under-test") or {})["changelogDestination"] == {}


def test_the_scheduled_resync_keeps_its_phase_and_is_told_to_port(
    quick: type[ResyncHandler],
) -> None:
    clock = ManualClock()
    once_a_day = {"type": "POLLING", "interval": 86_400}
    with SandboxedSystem(
        [quick], eventListener=once_a_day, scheduledResyncInterval=2, clock=clock
    ) as rig:

        def settle(reports: int) -> None:
            """Wait for the reports, since the time-outs of calls go by the same clock."""
            rig.sandbox.wait_for(lambda: len(rig.statuses()) == reports)
            wait_idle(rig.system._actors)

        rig.expect(RunEnded)
        began = clock.now()
        settle(2)
        clock.advance(150.0)
        ended = rig.expect(RunEnded)
        assert (ended.run.trigger, ended.run.reason) == ("schedule", "scheduled")
        settle(4)
        clock.advance(89.0)
        wait_idle(rig.system._actors)
        assert len(rig.statuses()) == 4
        clock.advance(1.0)
        assert rig.expect(RunEnded).run.trigger == "schedule"
        assert (clock.now() - began).total_seconds() == 240.0
        report = rig.sandbox.reports(rig.identifier)[0]
        assert report["intervalInMinuets"] == 2


def test_a_request_from_outside_is_settled(quick: type[ResyncHandler]) -> None:
    with SandboxedSystem([quick]) as rig:
        rig.expect(RunEnded)
        wanted = rig.system.request_resync("button")
        settled = rig.expect(RequestSettled)
        while settled.request.id != wanted:
            settled = rig.expect(RequestSettled)
        assert settled.outcome == "completed"


def _polls(rig: SandboxedSystem) -> Any:
    return sum(
        call.method == "GET" and call.path.endswith("/resync-request") for call in rig.sandbox.calls
    )


@contextlib.contextmanager
def _a_poll_that_waits(rig: SandboxedSystem, path: str) -> Iterator[None]:
    """The next call of a poll to that path is answered at the end of the block."""
    rig.sandbox.fail("hang", path=path, method="GET")
    rig.sandbox.wait_for(lambda: not rig.sandbox.faults)  # the poll has taken it
    yield
    rig.sandbox.release()


@pytest.mark.parametrize("away", [False, True])
def test_only_a_run_with_port_s_own_config_answers_for_port_s_newest_request(
    quick: type[ResyncHandler], away: bool
) -> None:
    calm = {"type": "POLLING", "interval": 3600}
    with SandboxedSystem([quick], eventListener=calm) as rig:
        rig.expect(RunEnded)
        rig.sandbox.wait_for(lambda: rig.statuses() == ["running", "completed"])
        rig.sandbox.request_resync(rig.identifier)
        if away:
            rig.sandbox.fail("status", status=403, path=f"/integration/{rig.identifier}$")
        rig.system.request_resync()
        assert (rig.expect(RunStarted).run.answers is None) is away


def test_a_request_that_another_run_has_answered_is_not_served_again(
    script: Script, scripted: type[ResyncHandler]
) -> None:
    with SandboxedSystem([scripted], eventListener={"type": "POLLING", "interval": 0.1}) as rig:
        script.wait_until_at_work()
        script.let_finish()
        rig.expect(RunEnded)
        with _a_poll_that_waits(rig, "-request$"):  # it hears nothing of the button
            rig.sandbox.request_resync(rig.identifier)
            rig.system.request_resync("by hand")
            script.wait_until_at_work()
        seen = _polls(rig)
        rig.sandbox.wait_for(lambda: _polls(rig) >= seen + 3)
        script.let_finish()
        assert rig.expect(RunEnded).status == "completed"
        rig.sandbox.wait_for(lambda: len(rig.statuses()) == 4)
        seen = _polls(rig)
        rig.sandbox.wait_for(lambda: _polls(rig) >= seen + 3)
        assert rig.statuses() == ["running", "completed"] * 2
