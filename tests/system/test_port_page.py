"""What Port's own page of the integration is told of runs, and what its failures cost: nothing."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from scripted import Script

from ocean_actors import Actor, HandlerEnded, ResyncHandler, ResyncRun, RunEnded, RunStarted
from ocean_actors.messages import RunInfo, Written
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import ManualClock, SandboxedSystem, wait_idle
from ocean_actors.testing.sandboxed import IDENTIFIER

WITHIN = 30.0
METRICS = "/ingest/[^/]*/metrics"
CALM = {"type": "POLLING", "interval": 3600}

UPSTREAM: dict[str, list[str]] = {
    # Recorded from upstream's port-ocean 0.56.2, for a run of two kinds that completed.
    "widget-0": ["pending", "syncing", "completed"],
    "gadget-1": ["pending", "syncing", "completed"],
    "__reconciliation__": ["syncing", "completed"],
    "__runtime__": ["syncing", "completed"],
}
UPSTREAM_FAILED: dict[str, list[str]] = {  # the same while `gadget` raised
    "widget-0": ["pending", "syncing", "completed"],
    "gadget-1": ["pending", "syncing", "failed"],
    "__reconciliation__": ["syncing", "failed"],
    "__runtime__": ["syncing", "failed"],
}


class Widgets(ResyncHandler):
    kinds = ("widget",)

    def resync(self, run: ResyncRun) -> None:
        run.port.upsert("widget", [{"identifier": str(number)} for number in range(3)])
        run.port.reconcile()


class Gadgets(ResyncHandler):
    kinds = ("gadget",)

    def resync(self, run: ResyncRun) -> None:
        run.port.upsert("gadget", [{"identifier": "only"}])
        run.port.reconcile()


class BrokenGadgets(ResyncHandler):
    kinds = ("gadget",)

    def resync(self, run: ResyncRun) -> None:
        raise RuntimeError("boom")


@pytest.fixture
def sandbox() -> Any:
    with Sandbox() as sandbox:
        for blueprint in ("widget", "gadget"):
            sandbox.create_blueprint(blueprint)
        yield sandbox


def rows(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [row["kind"] for row in sandbox.sync_metrics(IDENTIFIER)]


def wait_until_over(sandbox: Sandbox) -> None:
    """Wait for the last row of a run."""
    sandbox.wait_for(lambda: sandbox.integration(IDENTIFIER), WITHIN)
    sandbox.wait_for(
        lambda: [
            row for row in rows(sandbox)
            if row["kind"] == "__runtime__" and row["syncState"] != "syncing"
        ],
        WITHIN,
    )  # fmt: skip


def histories(sandbox: Sandbox) -> dict[str, list[str]]:
    """The states of each kind in their order; a state that is repeated counts once."""
    found: dict[str, list[str]] = {}
    for row in rows(sandbox):
        states = found.setdefault(row["kindIdentifier"], [])
        if states[-1:] != [row["syncState"]]:
            states.append(row["syncState"])
    return found


def without_the_begin_of_reconciling(upstream: dict[str, list[str]]) -> dict[str, list[str]]:
    return {**upstream, "__reconciliation__": upstream["__reconciliation__"][1:]}


def test_a_run_is_shown_as_upstream_shows_the_same_work(sandbox: Sandbox) -> None:
    with SandboxedSystem([Widgets, Gadgets], sandbox=sandbox):
        wait_until_over(sandbox)
        assert histories(sandbox) == without_the_begin_of_reconciling(UPSTREAM)
        last = {row["kindIdentifier"]: row for row in rows(sandbox)}
        loads = {
            name: last[name]["metrics"]["phase"]["load"]["object_count_type"]["loaded"]
            for name in ("widget-0", "gadget-1")
        }
        assert loads == {"widget-0": {"object_count": 3}, "gadget-1": {"object_count": 1}}
        assert len({row["eventId"] for row in rows(sandbox)}) == 1


def test_a_failed_run_is_shown_as_upstream_shows_it(sandbox: Sandbox) -> None:
    with SandboxedSystem([Widgets, BrokenGadgets], sandbox=sandbox):
        wait_until_over(sandbox)
        found = histories(sandbox)
        widget = found.pop("widget-0")  # here its reconcile is refused, as the other failed
        assert widget == ["pending", "syncing", "failed"]
        expected = without_the_begin_of_reconciling(UPSTREAM_FAILED)
        assert found == {name: expected[name] for name in found}


def test_each_kind_is_put_at_its_own_address(sandbox: Sandbox) -> None:
    class Odd(ResyncHandler):
        kinds = ("a/b c?d",)

        def resync(self, run: ResyncRun) -> None:
            pass

    with SandboxedSystem([Odd], sandbox=sandbox):
        wait_until_over(sandbox)
        (run_id,) = {row["eventId"] for row in rows(sandbox)}
        paths = [call.path for call in sandbox.calls if call.method == "PUT"]
        path = f"/v1/ingest/{IDENTIFIER}/metrics/syncMetrics/resync/{run_id}/kind/a%2Fb%20c%3Fd-0"
        assert paths == [path] * 2


def test_an_aborted_run_is_shown_as_aborted(
    sandbox: Sandbox, script: Script, scripted: type[ResyncHandler]
) -> None:
    with SandboxedSystem([scripted], sandbox=sandbox, eventListener=CALM) as rig:
        script.wait_until_at_work()
        rig.system.request_resync("again")
        script.wait_until_at_work()
        wait_until_over(sandbox)
        first = rows(sandbox)[0]["eventId"]
        found = [(row["kindIdentifier"], row["syncState"]) for row in rows(sandbox)
                 if row["eventId"] == first]  # fmt: skip
        assert found[-2:] == [("Scripted-0", "aborted"), ("__runtime__", "aborted")]
        script.let_finish()


def test_a_handler_that_is_fenced_off_is_shown_as_aborted(sandbox: Sandbox, script: Script) -> None:
    class Deaf(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            script.entered.put(run)
            script.go_on.acquire(timeout=WITHIN)

    hasty = {"abortGrace": 0}
    with SandboxedSystem([Deaf], sandbox=sandbox, resync=hasty, eventListener=CALM) as rig:
        script.wait_until_at_work()
        rig.system.request_resync("again")
        assert rig.expect(HandlerEnded).status == "aborted"
        wait_until_over(sandbox)
        script.let_finish(2)
        assert histories(sandbox)["Deaf-0"][:3] == ["pending", "syncing", "aborted"]


def test_a_stop_shows_the_run_in_flight_as_aborted(
    sandbox: Sandbox, script: Script, scripted: type[ResyncHandler]
) -> None:
    with SandboxedSystem([scripted], sandbox=sandbox, eventListener=CALM):
        script.wait_until_at_work()
    assert histories(sandbox) == {
        "Scripted-0": ["pending", "syncing", "aborted"],
        "__runtime__": ["syncing", "aborted"],
    }


def test_the_heart_beats_every_ten_seconds_while_a_run_is_in_flight(
    sandbox: Sandbox, script: Script, scripted: type[ResyncHandler]
) -> None:
    clock = ManualClock()
    with SandboxedSystem([scripted], sandbox=sandbox, clock=clock, eventListener=CALM) as rig:
        run = script.wait_until_at_work()

        def settle() -> None:
            wait_idle(rig.system._actors, WITHIN, parked="handler-*")

        clock.advance(9.5, settle=settle)
        assert sandbox.heartbeats(IDENTIFIER) == []
        clock.advance(20, settle=settle)
        beats = sandbox.heartbeats(IDENTIFIER)
        assert [beat["eventId"] for beat in beats] == [run.id] * 2
        script.let_finish()
        rig.expect(RunEnded)
        clock.advance(60, settle=settle)
        assert len(sandbox.heartbeats(IDENTIFIER)) == 2


def test_nothing_is_sent_while_port_names_no_address(caplog: pytest.LogCaptureFixture) -> None:
    with Sandbox(ingest_addresses=False) as sandbox:
        for blueprint in ("widget", "gadget"):
            sandbox.create_blueprint(blueprint)
        with SandboxedSystem([Widgets, Gadgets], sandbox=sandbox) as rig:
            assert rig.expect(RunEnded).status == "completed"
        assert [call.path for call in sandbox.calls if "ingest" in call.path] == []
    assert "Port's page" not in caplog.text


@pytest.mark.parametrize("fault", ["status", "drop", "html", "truncate"])
def test_a_port_that_takes_no_metrics_costs_one_line(
    sandbox: Sandbox, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.fail(fault, times=None, path=METRICS, status=502)
    with SandboxedSystem([Widgets, Gadgets], sandbox=sandbox) as rig:
        for _ in range(3):
            assert rig.expect(RunEnded).status == "completed"
            rig.system.request_resync("again")
    lines = [line for line in caplog.messages if "may not show the newest state of runs" in line]
    assert len(lines) == 1
    assert all(sandbox.url in line and IDENTIFIER not in line for line in lines)


def test_a_port_that_hangs_there_holds_up_no_run(sandbox: Sandbox) -> None:
    sandbox.fail("hang", times=None, path=METRICS)
    with SandboxedSystem([Widgets, Gadgets], sandbox=sandbox) as rig:
        for _ in range(3):
            assert rig.expect(RunEnded).status == "completed"
            rig.system.request_resync("again")


def test_the_end_of_a_run_makes_up_for_what_port_did_not_take(sandbox: Sandbox) -> None:
    sandbox.fail("status", times=None, method="PUT", path=METRICS, status=503)
    with SandboxedSystem([Widgets, Gadgets], sandbox=sandbox):
        wait_until_over(sandbox)
        last = {name: states[-1] for name, states in histories(sandbox).items()}
        assert set(last.values()) == {"completed"}


def test_a_401_there_fetches_no_new_token(sandbox: Sandbox) -> None:
    sandbox.fail("status", times=None, path=METRICS, status=401)
    with SandboxedSystem([Widgets, Gadgets], sandbox=sandbox) as rig:
        for _ in range(3):
            rig.expect(RunEnded)
            rig.system.request_resync("again")
        tokens = [call for call in sandbox.calls if call.path.endswith("/access_token")]
        assert len(tokens) <= 2  # two clients may ask at the same time


def test_a_redirect_there_is_not_followed(sandbox: Sandbox) -> None:
    with Sandbox() as other:
        there = {"Location": f"{other.url}/v1/x"}
        sandbox.fail("status", times=None, path=METRICS, status=307, headers=there)
        with SandboxedSystem([Widgets, Gadgets], sandbox=sandbox) as rig:
            assert rig.expect(RunEnded).status == "completed"
        assert other.call_count == 0


class Impostor(Actor):
    """Publishes a run of its own making."""

    def on_start(self) -> None:
        from ocean_actors.frozen import FrozenDict

        now = self.context.clock.now()
        info = RunInfo("made-up", 99, "me", "me", now, now, FrozenDict())
        self.context.publish(RunStarted(info))
        self.context.publish(RunEnded(info, "failed", now, (), Written()))


def test_runs_that_a_custom_actor_publishes_are_not_shown(sandbox: Sandbox) -> None:
    with SandboxedSystem([Widgets, Gadgets], [Impostor], sandbox=sandbox):
        wait_until_over(sandbox)
    assert "made-up" not in {row["eventId"] for row in rows(sandbox)}


def test_the_coordinator_says_when_each_handler_has_ended(sandbox: Sandbox) -> None:
    logging.getLogger("ocean_actors").setLevel(logging.CRITICAL)
    try:
        with SandboxedSystem([Widgets, BrokenGadgets], sandbox=sandbox) as rig:
            ended = {event.handler: event for event in (rig.expect(HandlerEnded) for _ in "12")}
    finally:
        logging.getLogger("ocean_actors").setLevel(logging.NOTSET)
    assert ended["BrokenGadgets"].status == "failed"
    assert ended["Widgets"].written == (("widget", Written(upserted=3)),)
    assert ended["Widgets"].run == ended["BrokenGadgets"].run
