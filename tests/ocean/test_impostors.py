"""Children that misbehave, and those of which nothing but the protocol matters."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from shop import Rig, Shop, is_gone
from waiting import wait_until

from ocean_actors import RunProgressed, RunStarted
from ocean_actors.context import Actor
from ocean_actors.ocean import process
from ocean_actors.ocean.actor import OceanChild
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import ManualClock, wait_idle

pytestmark = pytest.mark.xdist_group("ocean-0.56.2")  # one worker installs it


def wait_for_restarts(rig: Rig, count: int) -> None:
    """Wait until the actor of the child was restarted so many times. Raises AssertionError."""
    wait_until(lambda: rig.actor("ocean").get("restarts") == count, f"{count} restarts")


def test_garbage_on_the_pipe_is_told_in_few_lines_and_changes_nothing(
    impostor: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    with impostor("garbage") as rig:
        rig.ended("completed")
        assert rig.child["state"] == "ready"
    told = [each.getMessage() for each in caplog.records if "is not an event" in each.getMessage()]
    assert 0 < len(told) <= 5
    assert "\\x1b[31mhello" in told[0]
    assert max(map(len, told)) < 400


def test_a_child_that_closes_its_pipe_of_events_is_killed(
    impostor: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "CLOSED_SECONDS", 0.1)
    with impostor("closes") as rig:
        wait_for_restarts(rig, 1)
    assert "the Ocean process ended: it was killed: it closed its pipe of events" in caplog.text


class MyLease:
    """A lease that a test ends. It says for how long it is valid, as those of the engines do."""

    def __init__(self) -> None:
        self.held = True

    def valid(self) -> bool:
        return self.held

    def remaining(self) -> float:
        return 60.0 if self.held else 0.0


def test_a_child_that_ends_with_the_lease_of_this_instance_is_no_incident(
    impostor: Callable[..., Rig],
) -> None:
    lease = MyLease()
    electors: list[Actor] = []

    class Elector(Actor):
        """Takes the role, and does not notice when it is lost."""

        def on_start(self) -> None:
            electors.append(self)
            self.context.set_role(active=False)
            self.context.set_role(active=True, lease=lease)

    with impostor("stuck", actors=[Elector]) as rig:
        wait_until(lambda: rig.child["state"] == "ready", "a child")
        rig.expect(RunStarted, 60)
        lease.held = False
        os.kill(rig.child["pid"], signal.SIGKILL)
        wait_until(lambda: rig.child["state"] == "standby", "the end of the child")
        assert rig.actor("ocean")["restarts"] == 0
        electors[0].context.set_role(active=False)
        rig.ended("aborted")


def test_a_child_that_does_not_get_ready_in_time_ends_the_system(
    impostor: Callable[..., Rig],
) -> None:
    with impostor("never", start_timeout=0.5) as rig:
        assert rig.system.wait(60)
        assert rig.system.exit_code == 1
        assert rig.system.cause == (
            "the Ocean process did not get ready within 0.5 s (ocean.startTimeout)"
        )
        assert rig.sandbox.integration("shop") is None


def test_a_child_that_dies_again_and_again_ends_the_system_with_its_last_lines(
    impostor: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    limit = OceanChild.supervision.limit
    clock = ManualClock()
    with impostor("dies", clock=clock) as rig:
        for number in range(1, limit + 1):
            wait_for_restarts(rig, number)
            wait_idle(rig.system._actors)  # it waits for the end of its backoff
            clock.advance(OceanChild.supervision.backoff.maximum)
        assert rig.system.wait(60)
        assert rig.system.exit_code == 1
        assert rig.system.cause == (
            "actor ocean failed: ChildDied: the Ocean process ended: exit code 9; its last lines: "
            "it has no wheels"
        )
    assert "Traceback" not in caplog.text


def test_the_stop_ends_the_child_and_its_threads(impostor: Callable[..., Rig]) -> None:
    before = set(threading.enumerate())  # those of a system that tests share
    with impostor("well") as rig:
        rig.ended("completed")
        child = rig.child["pid"]
    assert is_gone(child)
    left = set(threading.enumerate()) - before
    assert not [each for each in left if each.name.startswith("ocean-")]
    assert rig.system.left_behind == []


def test_a_process_that_has_ended_is_not_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    true = shutil.which("true") or ""
    ended = process.ChildProcess(true, tmp_path, os.environ, "INFO", told.append)
    assert ended.join(30.0)
    assert told == [process.Ended(0, "exit code 0")]
    signalled: list[int] = []  # another group may have got its number
    monkeypatch.setattr(os, "killpg", lambda number, _signal: signalled.append(number))
    ended.kill("too late")
    assert signalled == []


def test_an_integration_that_cannot_be_loaded_ends_the_system_and_says_where(
    newest: Path, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    (shop.folder / "words.py").write_text("raise ValueError('no words')\n")
    with Rig(shop, newest) as rig:
        assert rig.system.wait(120)
        assert rig.system.exit_code == 1
        assert rig.system.cause == (
            "the Ocean integration cannot start: ValueError: no words "
            f"({shop.folder.resolve()}/words.py:1)"
        )
    assert "Traceback" not in caplog.text


def test_an_on_start_that_raises_is_told_and_resyncs_run_as_they_do_under_port_ocean(
    newest: Path, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.order(**{"raise": "on_start"})
    with Rig(shop, newest) as rig:
        rig.ended("completed")
        wait_until(lambda: "the on_start of the shop is broken" in caplog.text, "the reason")
        assert rig.actor("ocean")["restarts"] == 0


def test_while_port_is_away_no_child_is_started(
    impostor: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    with Sandbox() as sandbox:
        sandbox.fail("status", 2, status=503, path="^/v1/integration")
        with impostor("well", sandbox=sandbox) as rig:
            rig.ended("completed")
            assert rig.actor("ocean")["restarts"] == 0
    assert "the Ocean process is started once Port answers; retrying in" in caplog.text


def test_a_run_that_is_fenced_off_is_ended_before_the_next_one_begins(
    impostor: Callable[..., Rig],
) -> None:
    resync = {"onNewRequest": "drop", "abortGrace": 1}
    with impostor("stuck", resync=resync) as rig:
        begun = rig.expect(RunProgressed, 60)  # so the child has got the run
        child = rig.child["pid"]
        rig.system.request_resync("newer")
        assert rig.ended("aborted").run.id == begun.run.id
        wait_until(lambda: rig.child["pid"] not in (None, child), "another child")
        assert is_gone(child)
        rig.system.abort("seen")
        rig.ended("aborted")


def test_under_once_the_system_ends_after_its_run(impostor: Callable[..., Rig]) -> None:
    with impostor("well", eventListener={"type": "ONCE"}) as rig:
        assert rig.system.wait(60)
        assert rig.system.exit_code == 0
        assert rig.statuses() == ["running", "completed"]


def test_an_integration_that_was_deleted_in_port_is_created_anew_by_another_child(
    impostor: Callable[..., Rig],
) -> None:
    with impostor("well") as rig:
        rig.ended("completed")
        child = rig.child["pid"]
        rig.sandbox.delete_integration("shop")
        wait_until(lambda: rig.child["pid"] not in (None, child), "another child")
        wait_until(lambda: rig.sandbox.integration("shop"), "the integration")
        rig.run()


def test_a_run_that_waits_for_a_child_is_run_by_the_next_one_if_this_one_dies(
    impostor: Callable[..., Rig], shop: Shop
) -> None:
    go = shop.place / "go"
    go.touch()
    with impostor("late") as rig:
        rig.ended("completed")
        child = rig.child["pid"]
        go.unlink()
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: rig.child["state"] == "starting", "another child")
        rig.shop.order()
        rig.system.request_resync("while there is no child")
        rig.expect(RunStarted, 60)
        os.kill(rig.child["pid"], signal.SIGKILL)
        go.touch()
        assert rig.ended("completed").run.reason == "while there is no child"
