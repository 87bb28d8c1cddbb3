"""What Port is told of runs while it is down, slow, hanging or talking garbage."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pykka
import pytest
from scripted import Script

from ocean_actors import ResyncHandler, RunEnded, RunStarted, system
from ocean_actors.actors import ActorSystem, Backoff
from ocean_actors.frozen import FrozenDict
from ocean_actors.messages import RoleChanged, RunInfo, Status, Written
from ocean_actors.port import integration
from ocean_actors.port.client import PortClient
from ocean_actors.port.reporter import FLUSH_PAUSE, FlushReports, Reporter
from ocean_actors.port.reports import KEPT_RUNS, Report, enqueue
from ocean_actors.sandbox import Sandbox
from ocean_actors.sandbox.legal import runs_of
from ocean_actors.settings import Settings
from ocean_actors.testing import ManualClock, SandboxedSystem, wait_idle
from ocean_actors.testing.sandboxed import port_of

NAME = "under-test"
CALM = {"type": "POLLING", "interval": 3600}
STATE = "/resync-state$"
WITHIN = 30.0


class Desk:
    """A reporter, with a sandbox to report to and a clock that is turned by hand."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.clock = ManualClock()
        self.system = ActorSystem(clock=self.clock, debug=True, seed=1)
        settings = Settings.from_dict(
            {"port": port_of(sandbox), "integration": {"identifier": NAME}}, {}
        )
        self.client = PortClient(settings.port, settings.integration, clock=self.clock)
        backoff = Backoff(initial=10.0, maximum=10.0, jitter=0.0)
        self.reporter = self.system.spawn(Reporter, self.client, None, backoff, name="reporter")

    def close(self) -> None:
        self.sandbox.clear_faults()
        assert self.system.stop(WITHIN, wake=lambda: self.client.cancel("over")) == []
        self.client.close()

    def run(self, number: int, status: Status = "completed") -> None:
        """What the coordinator publishes of a whole run."""
        self.begin(number)
        self.end(status)

    def begin(self, number: int) -> None:
        now = self.clock.now()
        self.info = RunInfo(f"run-{number}", number, "test", "test", now, now, FrozenDict())
        self.reporter.tell(RunStarted(self.info))

    def end(self, status: Status = "completed") -> None:
        ended = RunEnded(self.info, status, self.clock.now(), (), Written())
        self.reporter.tell(ended)

    def leave_running(self, began: str) -> None:
        """Report a run as a process that then dies does."""
        self.client.report_resync_state(
            {"status": "running", "lastResyncStart": began, "lastResyncEnd": None}
        )

    def settle(self, *, parked: Any = None) -> None:
        wait_idle(self.system, WITHIN, parked=parked)

    def pass_backoff(self) -> None:
        self.settle()
        self.clock.advance(10.0)
        self.settle()

    def runs(self) -> Any:
        return runs_of(self.sandbox.reports(NAME))

    def waiting(self) -> Any:
        found = {actor["name"]: actor["mailbox"] for actor in self.system.snapshot()}
        return found["reporter"], found["report-sender"]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        sandbox.create_integration(NAME)
        yield sandbox


@pytest.fixture
def desk(sandbox: Sandbox) -> Iterator[Desk]:
    desk = Desk(sandbox)
    yield desk
    desk.close()


@pytest.mark.parametrize("fault", ["status", "html", "garbage", "list", "truncate", "drop"])
@pytest.mark.parametrize("applied", [True, False], ids=["taken", "not taken"])
def test_a_spoilt_answer_costs_a_backoff_and_the_record_stays_legal(
    desk: Desk, sandbox: Sandbox, fault: str, applied: bool
) -> None:
    sandbox.fail(fault, times=2, path=STATE, applied=applied, status=502)
    desk.run(1)
    desk.run(2, "failed")
    for _ in range(2):
        desk.pass_backoff()
    assert desk.runs() == ["completed", "failed"]


def test_a_port_that_hangs_holds_up_neither_runs_nor_the_mailbox(
    desk: Desk, sandbox: Sandbox
) -> None:
    sandbox.fail("hang", path=STATE, applied=True)
    desk.run(1, "failed")
    sandbox.wait_for(lambda: len(sandbox.reports(NAME)) == 1, WITHIN)
    for number in range(2, 1_002):
        desk.run(number)
    desk.begin(1_002)
    desk.settle(parked="report-sender")
    assert desk.waiting() == (0, 0)
    sandbox.release()
    desk.settle()
    runs = desk.runs()
    assert runs[0] == "failed"  # its report was on its way
    assert runs[-1] == "running"
    assert len(runs) <= KEPT_RUNS + 1


def test_a_run_whose_start_is_refused_is_left_out_and_the_next_is_not(
    desk: Desk, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.fail("status", status=422, path=STATE)
    desk.begin(1)
    desk.settle()
    desk.run(1, "aborted")
    desk.run(2)
    desk.settle()
    assert desk.runs() == ["aborted", "completed"]
    assert (
        "Port refused the report 'running' of run run-1; the end of the run is not reported either"
    ) in caplog.text


def test_the_end_of_a_refused_run_is_left_out_whenever_it_comes(
    desk: Desk, sandbox: Sandbox
) -> None:
    sandbox.fail("status", status=422, path=STATE)
    desk.begin(1)
    desk.settle()
    desk.end()
    desk.settle()
    assert sandbox.reports(NAME) == []


def test_a_run_that_a_dead_process_left_running_is_ended_first_even_if_port_is_away(
    desk: Desk, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    desk.leave_running("2020-01-01T00:00:00Z")
    sandbox.fail("status", status=503, times=2)
    desk.run(1)
    for _ in range(2):
        desk.pass_backoff()
    assert desk.runs() == ["aborted", "completed"]
    (line,) = [each for each in caplog.messages if each.startswith("reports of runs wait for Port")]
    assert (
        ", first the end of a run that it may show as running; it is sent again in 10.0 s" in line
    )


def test_a_dead_run_does_not_end_before_it_began_though_its_clock_was_ahead(
    desk: Desk, sandbox: Sandbox
) -> None:
    began = desk.clock.now() + timedelta(hours=1)
    desk.leave_running(began.isoformat())
    desk.run(1)
    desk.settle()
    assert desk.runs() == ["aborted", "completed"]


def test_an_integration_that_nobody_left_running_is_not_reported_aborted(desk: Desk) -> None:
    desk.run(1)
    desk.settle()
    assert desk.runs() == ["completed"]


def test_an_own_run_is_never_mistaken_for_a_dead_one(desk: Desk, sandbox: Sandbox) -> None:
    desk.begin(1)
    desk.settle()
    sandbox.fail("drop", path=STATE, applied=False)
    desk.end()
    desk.run(2)
    desk.pass_backoff()
    assert desk.runs() == ["completed", "completed"]


def test_another_instance_says_what_became_of_a_run_that_it_took_over(
    desk: Desk, sandbox: Sandbox
) -> None:
    sandbox.fail("status", status=503, path=STATE)
    desk.begin(1)
    desk.settle()
    desk.reporter.tell(RoleChanged(active=False))
    desk.end("aborted")
    desk.pass_backoff()
    assert sandbox.reports(NAME) == []


def test_an_attempt_that_hung_while_the_role_was_lost_holds_up_nothing_later(
    desk: Desk, sandbox: Sandbox
) -> None:
    sandbox.fail("status", status=503, path=STATE)
    sandbox.fail("hang", path=STATE, applied=True)
    desk.begin(1)
    desk.settle()
    desk.clock.advance(10.0)
    sandbox.wait_for(lambda: sandbox.statuses(NAME) == ["running"], WITHIN)
    desk.reporter.tell(RoleChanged(active=False))
    desk.settle(parked="report-sender")
    sandbox.release()
    desk.settle()
    desk.reporter.tell(RoleChanged(active=True))
    desk.run(2)
    desk.settle()
    assert desk.runs() == ["aborted", "completed"]


@pytest.mark.parametrize("status", [400, 404, 422])
def test_after_an_end_that_port_refuses_the_record_is_put_right_before_the_next_run(
    desk: Desk, sandbox: Sandbox, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    desk.begin(1)
    desk.settle()
    sandbox.fail("status", status=status, path=STATE)
    desk.end()
    desk.settle()
    assert desk.runs() == ["running"]
    desk.run(2)
    desk.settle()
    assert desk.runs() == ["aborted", "completed"]
    assert caplog.text.count("Port refused the report 'completed' of run run-1; ") == 1


def test_as_long_as_port_shows_a_run_that_it_does_not_let_end_no_other_is_reported(
    desk: Desk, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    desk.begin(1)
    desk.settle()
    sandbox.fail("status", times=2, status=422, path=STATE)
    desk.end()
    desk.run(2)
    desk.settle()
    assert desk.runs() == ["running"]
    assert "; run run-2, which waited for that, is not reported: " in caplog.messages[-1]
    desk.run(3)
    desk.settle()
    assert desk.runs() == ["aborted", "completed"]


@pytest.mark.parametrize("status", [401, 403])
def test_while_our_rights_are_refused_reports_are_tried_once_a_minute(
    desk: Desk, sandbox: Sandbox, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.fail("status", None, status=status, path="/integration/")
    desk.run(1)
    desk.settle()
    assert "; it is sent again in 60.0 s: " in caplog.messages[-1]
    calls = sandbox.call_count
    desk.clock.advance(59, settle=desk.settle)
    assert sandbox.call_count == calls
    sandbox.clear_faults()
    desk.clock.advance(1, settle=desk.settle)
    desk.settle()
    assert desk.runs() == ["completed"]


def test_reports_come_back_when_port_asks_them_to(desk: Desk, sandbox: Sandbox) -> None:
    desk.begin(1)
    desk.settle()
    sandbox.fail("status", status=429, path=STATE, headers={"Retry-After": "120"})
    desk.end()
    desk.settle()
    calls = sandbox.call_count
    desk.clock.advance(119, settle=desk.settle)
    assert sandbox.call_count == calls
    desk.clock.advance(2, settle=desk.settle)
    desk.settle()
    assert desk.runs() == ["completed"]


def test_an_instance_that_becomes_active_ends_what_a_dead_one_left_running(
    desk: Desk, sandbox: Sandbox
) -> None:
    desk.leave_running("2020-01-01T00:00:00Z")
    desk.reporter.tell(RoleChanged(active=True))
    desk.settle()
    assert desk.runs() == ["aborted"]
    desk.run(1)
    desk.settle()
    assert desk.runs() == ["aborted", "completed"]


def test_it_tries_until_port_can_be_asked(desk: Desk, sandbox: Sandbox) -> None:
    desk.leave_running("2020-01-01T00:00:00Z")
    sandbox.fail("status", times=2, status=503)
    desk.reporter.tell(RoleChanged(active=True))
    for _ in range(2):
        desk.pass_backoff()
    assert desk.runs() == ["aborted"]


def test_one_that_stands_by_leaves_the_record_alone(desk: Desk, sandbox: Sandbox) -> None:
    desk.leave_running("2020-01-01T00:00:00Z")
    desk.reporter.tell(RoleChanged(active=False))
    desk.settle()
    assert desk.runs() == ["running"]


class Lease:
    """A lease that a test takes away."""

    held = True

    def valid(self) -> Any:
        return self.held


def test_nothing_is_reported_once_the_lease_of_the_tenure_is_lost(
    desk: Desk, sandbox: Sandbox
) -> None:
    lease = Lease()
    desk.reporter.tell(RoleChanged(active=True, lease=lease))
    desk.run(1)
    desk.settle()
    assert desk.runs() == ["completed"]
    lease.held = False
    desk.run(2)
    desk.pass_backoff()
    assert desk.runs() == ["completed"]
    desk.reporter.tell(RoleChanged(active=True, lease=Lease()))
    desk.run(3)
    desk.settle()
    assert desk.runs() == ["completed", "completed"]


class BrokenLease:
    def valid(self) -> bool:
        raise SystemExit


def test_a_lease_that_cannot_be_checked_counts_as_lost_and_ends_no_actor(desk: Desk) -> None:
    desk.reporter.tell(RoleChanged(active=True, lease=BrokenLease()))
    desk.run(1)
    desk.pass_backoff()
    assert desk.runs() == []
    desk.reporter.tell(RoleChanged(active=True, lease=Lease()))
    desk.run(2)
    desk.settle()
    assert desk.runs() == ["completed"]


def test_a_call_that_hangs_ends_with_its_tenure(desk: Desk, sandbox: Sandbox) -> None:
    sandbox.fail("hang", None, path=STATE, seconds=WITHIN)
    desk.begin(1)
    sandbox.wait_for(lambda: any(STATE[1:-1] in call.path for call in sandbox.calls), WITHIN)
    desk.reporter.tell(RoleChanged(active=False))
    desk.settle()  # no report sender is left behind in the call
    names = [actor["name"] for actor in desk.system.snapshot()]
    assert sum(name.startswith("report-sender") for name in names) == 1


def test_a_flush_does_not_wait_for_the_backoff(desk: Desk, sandbox: Sandbox) -> None:
    sandbox.fail("status", status=503, path=STATE)
    desk.run(1)
    desk.settle()
    flushed: pykka.ThreadingFuture[None] = pykka.ThreadingFuture()
    desk.reporter.tell(FlushReports(flushed))
    flushed.get(timeout=WITHIN)
    assert desk.runs() == ["completed"]


def test_a_flush_that_fails_tries_again_after_a_short_pause(desk: Desk, sandbox: Sandbox) -> None:
    """The backoff of the desk is longer than all pauses of this test together."""
    sandbox.fail("status", times=3, status=503, path=STATE)
    desk.run(1)
    desk.settle()
    flushed: pykka.ThreadingFuture[None] = pykka.ThreadingFuture()
    desk.reporter.tell(FlushReports(flushed))
    for _ in range(2):
        desk.settle()
        desk.clock.advance(FLUSH_PAUSE)
    flushed.get(timeout=WITHIN)
    assert desk.runs() == ["completed"]


def test_the_first_report_in_the_queue_stays_as_it_may_have_arrived() -> None:
    queue: tuple[Report, ...] = ()
    for number in range(1, 10):
        for kind in ("start", "end"):
            queue = enqueue(queue, Report(number, kind, FrozenDict()), kept=3)
    kept = [(report.run, report.kind) for report in queue]
    assert kept == [(number, kind) for number in (1, 7, 8, 9) for kind in ("start", "end")]


def test_port_goes_away_for_a_run_and_hears_of_it_later(
    quick: type[ResyncHandler], monkeypatch: pytest.MonkeyPatch, reserve_port: Callable[[], int]
) -> None:
    monkeypatch.setattr(integration, "CONFIG_PATIENCE", 1.0)
    with (
        Sandbox(reserve_port()) as sandbox,
        SandboxedSystem([quick], sandbox=sandbox, eventListener=CALM) as rig,
    ):
        rig.expect(RunEnded)
        sandbox.wait_for(lambda: len(rig.statuses()) == 2, WITHIN)
        sandbox.stop()
        rig.system.request_resync("unseen")
        assert rig.expect(RunEnded).run.reason == "unseen"  # with the last known config
        sandbox.start()
        sandbox.wait_for(lambda: len(rig.statuses()) == 4, WITHIN)
        assert runs_of(sandbox.reports(rig.identifier)) == ["completed"] * 2


def test_the_last_report_is_sent_at_the_end_though_port_fails_now_and_then(
    script: Script, scripted: type[ResyncHandler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "FLUSH_SECONDS", WITHIN)
    with SandboxedSystem([scripted], eventListener=CALM) as rig:
        script.wait_until_at_work()
        rig.sandbox.wait_for(lambda: rig.statuses() == ["running"], WITHIN)
        rig.sandbox.fail("status", status=500, times=2, path=STATE)
        assert rig.system.stop()
        assert runs_of(rig.sandbox.reports(rig.identifier)) == ["aborted"]


def test_a_port_that_hangs_does_not_hold_up_the_end(
    script: Script, scripted: type[ResyncHandler], caplog: pytest.LogCaptureFixture
) -> None:
    with SandboxedSystem([scripted], eventListener=CALM) as rig:
        before = threading.active_count()
        rig.sandbox.fail("hang", None, path=STATE, applied=True)
        script.wait_until_at_work()
        rig.sandbox.wait_for(lambda: rig.statuses() == ["running"], WITHIN)
        assert rig.system.stop()
        assert threading.active_count() < before
        assert rig.statuses() == ["running"]  # which the next start reports as aborted
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
