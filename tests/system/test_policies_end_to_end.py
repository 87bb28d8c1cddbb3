"""What happens to a request that arrives while a run is in flight; sync and async handlers."""

from __future__ import annotations

import pytest
from scripted import Script

from ocean_actors import OceanSystem, ResyncHandler, ResyncRun, RunEnded, RunStarted, system
from ocean_actors.messages import RequestSettled
from ocean_actors.testing import SandboxedSystem

CALM = {"type": "POLLING", "interval": 3600}


def test_abort_ends_the_run_and_starts_anew(script: Script, handler: type[ResyncHandler]) -> None:
    with SandboxedSystem([handler], eventListener=CALM) as rig:
        first = script.wait_until_at_work()
        rig.system.request_resync("newer")
        assert rig.expect(RunEnded).status == "aborted"
        assert first.aborted
        second = script.wait_until_at_work()
        script.let_finish()
        ended = rig.expect(RunEnded)
        assert (ended.run.id, ended.run.reason, ended.status) == (second.id, "newer", "completed")
        rig.sandbox.wait_for(lambda: len(rig.statuses()) == 4)
        assert rig.statuses() == ["running", "aborted", "running", "completed"]


def test_drop_does_not_wait_for_a_handler_that_does_not_end(script: Script) -> None:
    class Deaf(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            script.entered.put(run)
            script.go_on.acquire(timeout=30.0)

    drop = {"onNewRequest": "drop", "abortGrace": 3600}
    with SandboxedSystem([Deaf], eventListener=CALM, resync=drop) as rig:
        script.wait_until_at_work()
        rig.system.request_resync("newer")
        assert rig.expect(RunEnded).status == "aborted"
        script.wait_until_at_work()
        script.let_finish(2)
        assert rig.expect(RunEnded).status == "completed"
        rig.sandbox.wait_for(lambda: len(rig.statuses()) == 4)
        assert rig.statuses() == ["running", "aborted", "running", "completed"]


def test_queue_lets_the_run_finish_and_then_runs_once_for_all(
    script: Script, handler: type[ResyncHandler]
) -> None:
    with SandboxedSystem([handler], eventListener=CALM, resync={"onNewRequest": "queue"}) as rig:
        script.wait_until_at_work()
        for number in range(50):
            rig.system.request_resync(f"newer {number}")
        script.let_finish()
        assert rig.expect(RunEnded).status == "completed"
        script.wait_until_at_work()
        script.let_finish()
        ended = rig.expect(RunEnded)
        assert (ended.run.reason, ended.status) == ("newer 49", "completed")
        assert rig.system.status()["resync"]["state"] == "idle"


def test_ignore_does_not_serve_the_request_and_says_so(
    script: Script, handler: type[ResyncHandler]
) -> None:
    with SandboxedSystem([handler], eventListener=CALM, resync={"onNewRequest": "ignore"}) as rig:
        script.wait_until_at_work()
        ignored = rig.system.request_resync("newer")
        settled = rig.expect(RequestSettled)
        assert (settled.request.id, settled.outcome) == (ignored, "ignored")
        script.let_finish()
        assert rig.expect(RunEnded).status == "completed"
        status = rig.system.status()["resync"]
        assert (status["state"], status["ignored"]) == ("idle", 1)


def test_a_run_in_flight_at_the_stop_is_reported_as_aborted(
    script: Script, handler: type[ResyncHandler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "FLUSH_SECONDS", 60.0)
    with SandboxedSystem([handler], eventListener=CALM) as rig:
        script.wait_until_at_work()
        assert rig.system.stop()
        assert rig.statuses() == ["running", "aborted"]


def test_the_run_fails_if_one_of_its_handlers_does_and_the_others_go_on(
    script: Script,
    handler: type[ResyncHandler],
    failing: type[ResyncHandler],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with SandboxedSystem([failing, handler], eventListener=CALM) as rig:
        script.wait_until_at_work()
        script.let_finish()
        ended = rig.expect(RunEnded)
        assert ended.status == "failed"
        assert ended.failures == ("Failing: ValueError: no such repository",)
    assert "handler Failing failed in run" in caplog.text
    assert 'raise ValueError("no such repository")' in caplog.text


def test_a_run_waits_for_the_config_that_port_holds_when_it_starts(
    quick: type[ResyncHandler],
) -> None:
    with SandboxedSystem([quick], eventListener=CALM) as rig:
        rig.expect(RunEnded)
        rig.sandbox.set_config(rig.identifier, {"resources": []})
        rig.system.request_resync()
        assert rig.expect(RunStarted).run.config == {"resources": []}


def test_a_request_before_the_start_or_after_the_stop_is_an_error(
    quick: type[ResyncHandler],
) -> None:
    rig = SandboxedSystem([quick], eventListener=CALM)
    with rig:
        rig.expect(RunEnded)
    with pytest.raises(RuntimeError, match="is stopped"):
        rig.system.request_resync()
    settings = rig.system.settings
    with pytest.raises(RuntimeError, match="was not started"):
        OceanSystem(settings, [quick]).request_resync()
