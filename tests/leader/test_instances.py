"""Several instances of one integration, as real processes with a real engine."""

from __future__ import annotations

import functools
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from processes import IDENTIFIER, Instance, Processes, Template, processes
from waiting import wait_until

from ocean_actors.port_time import parse_time
from ocean_actors.sandbox.legal import runs_of

if TYPE_CHECKING:
    from tests.leader.conftest import EngineUnderTest

# Fifty were run by hand: OCEAN_HANDOVERS=50 pytest tests/leader -k series --timeout 600
HANDOVERS = int(os.environ.get("OCEAN_HANDOVERS", "6"))
POLLING = {"type": "POLLING", "interval": 0.1, "resyncOnStart": False}
WEBHOOK = {"type": "WEBHOOK", "appHost": "http://127.0.0.1:9"}  # where nobody hears Port
ONCE = {"type": "ONCE"}
LISTENERS = pytest.mark.parametrize(
    "listener", [POLLING, WEBHOOK, ONCE], ids=lambda each: each["type"]
)
SHORT, LONG = 2.0, 45.0  # times to live: to be waited for, and longer than any hold-up


@pytest.fixture(scope="module")
def template() -> Iterator[Template]:
    template = Template()
    yield template
    template.close()


@pytest.fixture
def make(
    real_engine: EngineUnderTest, tmp_path: Path, template: Template
) -> Iterator[Callable[[float], Processes]]:
    """Makes the instances that compete with a certain time to live."""
    for module in real_engine.modules:
        template.order({"import": module})
    with ExitStack() as stack:
        yield lambda ttl: stack.enter_context(
            processes(tmp_path, real_engine.settings(ttl), template)
        )


def leader_of_two(rig: Processes, listener: dict[str, Any]) -> Instance:
    """Start two instances, and have the leader be at work on a request from before."""
    rig.sandbox.create_integration(IDENTIFIER)
    rig.sandbox.request_resync(IDENTIFIER)
    rig.start(listener)
    rig.start(listener)
    return rig.at_work()


def other(than: Instance, rig: Processes) -> Instance:
    return next(each for each in rig.instances if each is not than)


@LISTENERS
def test_what_a_killed_leader_was_at_is_run_by_the_standby(
    make: Callable[[float], Processes], real_engine: EngineUnderTest, listener: dict[str, Any]
) -> None:
    rig = make(LONG)
    leader = leader_of_two(rig, listener)
    standby = other(leader, rig)
    assert rig.changes_by(standby) == 0
    leader.kill()
    real_engine.outlast_the_killed()
    rig.let_finish()
    wait_until(
        lambda: rig.statuses() == ["running", "aborted", "running", "completed"],
        "a run after an aborted one",
    )
    assert rig.reporters() == [leader.name, *[standby.name] * 3]
    rig.check_one_run_at_a_time()
    assert (standby.wait() if listener is ONCE else standby.stop()) == 0


def test_a_killed_schedule_goes_on_in_phase_with_the_standby(
    make: Callable[[float], Processes], real_engine: EngineUnderTest
) -> None:
    rig = make(LONG * 60)  # by clocks that run 60 times as fast: an interval takes a second
    for _ in range(2):
        rig.start(POLLING, speed=60, scheduledResyncInterval=1)
    leader = rig.at_work()
    leader.kill()
    real_engine.outlast_the_killed()
    rig.let_finish()
    wait_until(
        lambda: rig.statuses()[:4] == ["running", "aborted", "running", "completed"],
        "a run after an aborted one",
    )
    wait_until(lambda: rig.statuses()[4:6] == ["running", "completed"], "a scheduled run")
    due = [parse_time(report["nextResync"]) for report in rig.sandbox.reports(IDENTIFIER)]
    assert len({each.second + each.microsecond / 1e6 for each in due if each is not None}) == 1
    assert None not in due
    assert runs_of(rig.sandbox.reports(IDENTIFIER))


@LISTENERS
def test_a_frozen_leader_writes_and_reports_nothing_when_it_wakes_up(
    make: Callable[[float], Processes], listener: dict[str, Any]
) -> None:
    rig = make(SHORT)
    leader = leader_of_two(rig, listener)
    leader.freeze()
    wait_until(lambda: rig.writes()[-1][0] != leader.name, "writes of another instance")
    runs = {run for name, run in rig.writes() if name == leader.name}
    before = sum(run in runs for _, run in rig.writes())
    leader.thaw()
    wait_until(lambda: "stands by" in leader.log, "a standby")
    rig.let_finish()
    wait_until(lambda: rig.statuses()[-1:] == ["completed"], "a completed run")
    assert sum(run in runs for _, run in rig.writes()) == before
    rig.check_one_run_at_a_time()
    ends = runs_of(rig.sandbox.reports(IDENTIFIER))
    assert (ends[0], ends[-1]) == ("aborted", "completed")
    assert set(ends) == {"aborted", "completed"}


@LISTENERS
def test_a_leader_that_is_stopped_hands_over_at_once_and_what_it_was_at_is_run(
    make: Callable[[float], Processes], listener: dict[str, Any]
) -> None:
    rig = make(LONG)
    leader = leader_of_two(rig, listener)
    assert leader.stop() == 0
    rig.let_finish()
    wait_until(
        lambda: rig.statuses() == ["running", "aborted", "running", "completed"],
        "a run after an aborted one",
    )
    assert rig.reporters()[:2] == [leader.name] * 2


def test_a_rolling_update_of_two_replicas_loses_no_request(
    make: Callable[[float], Processes],
) -> None:
    rig = make(LONG)
    old = [rig.start(POLLING) for _ in range(2)]
    wait_until(lambda: rig.sandbox.integration(IDENTIFIER) is not None, "the integration")
    requested = rig.sandbox.request_resync(IDENTIFIER)
    for instance in old:  # as `maxUnavailable: 1, maxSurge: 0` replaces them
        rig.at_work()
        assert instance.stop() == 0
        rig.start(POLLING)
        requested = rig.sandbox.request_resync(IDENTIFIER)
    wait_until(
        lambda: rig.writes()[-1][0] not in {each.name for each in old}, "writes of a new instance"
    )
    rig.let_finish()
    wait_until(functools.partial(rig.completed_since, requested["updatedAt"]), "a completed run")
    rig.check_one_run_at_a_time()
    assert set(runs_of(rig.sandbox.reports(IDENTIFIER))) <= {"aborted", "completed"}


def test_a_restart_of_the_engine_costs_no_run(
    make: Callable[[float], Processes], real_engine: EngineUnderTest
) -> None:
    rig = make(LONG / 3)  # after a sixth of it the engine is asked again
    rig.start({**POLLING, "resyncOnStart": True})
    leader = rig.at_work()
    real_engine.stop()
    wait_until(lambda: "leads until its lease ends" in leader.log, "a lease that is not renewed")
    real_engine.start()
    wait_until(lambda: "the election works again" in leader.log, "another election")
    rig.let_finish()
    wait_until(lambda: rig.statuses() == ["running", "completed"], "a completed run")


def test_a_leader_without_an_engine_stands_by_at_the_end_of_its_lease_and_comes_back(
    make: Callable[[float], Processes], real_engine: EngineUnderTest
) -> None:
    rig = make(SHORT)
    rig.start({**POLLING, "resyncOnStart": True})
    leader = rig.at_work()
    real_engine.stop()
    try:
        wait_until(lambda: "so this instance stands by" in leader.log, "a standby")
        rig.let_finish()
    finally:
        real_engine.start()
    wait_until(lambda: rig.statuses()[-1:] == ["completed"], "a completed run")
    assert runs_of(rig.sandbox.reports(IDENTIFIER))[-2:] == ["aborted", "completed"]


def test_in_a_series_of_handovers_every_request_is_covered_and_runs_never_overlap(
    make: Callable[[float], Processes],
) -> None:
    rng = random.Random(HANDOVERS)  # noqa: S311  (repeatable, not secret)
    rig = make(SHORT)
    running = [rig.start(POLLING) for _ in range(3)]
    wait_until(lambda: rig.sandbox.integration(IDENTIFIER) is not None, "the integration")
    for _ in range(HANDOVERS):
        rig.hold()
        requested = rig.sandbox.request_resync(IDENTIFIER)
        leader = rig.at_work()
        way = rng.choice(["kill", "stop", "freeze"])
        threading.Event().wait(rng.uniform(0.0, 0.05))
        if way == "freeze":
            leader.freeze()
        else:
            leader.kill() if way == "kill" else leader.stop()
            running.remove(leader)
            running.append(rig.start(POLLING))
        threading.Event().wait(rng.uniform(0.0, 0.5))
        requested = rig.sandbox.request_resync(IDENTIFIER)
        rig.let_finish()
        wait_until(
            functools.partial(rig.completed_since, requested["updatedAt"]), "a completed run"
        )
        if way == "freeze":
            leader.thaw()
    rig.check_one_run_at_a_time()
    assert set(runs_of(rig.sandbox.reports(IDENTIFIER))) <= {"aborted", "completed"}
