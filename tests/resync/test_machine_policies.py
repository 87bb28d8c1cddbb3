"""Which requests abort a run, which runs count as aborted, and what a retry is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from simulation import Acted, Answered, Passed, Simulation, asked, fed

from ocean_actors.messages import Policy
from ocean_actors.resync import machine
from ocean_actors.resync.machine import (
    AbortRun,
    ConfigReady,
    EndRun,
    FenceOff,
    GraceOver,
    HandlerDone,
    HandlerGone,
    LetFinish,
    Output,
    Request,
    Settle,
    StartRun,
    State,
    Wait,
    WaitOver,
    step,
)
from ocean_actors.settings import OnNewRequest, ResyncSettings, RetrySettings

ONE = frozenset({"one"})


def request(number: int, policy: Policy | None = None, trigger: str = "manual") -> Request:
    return Request(asked(trigger, number, policy).request)


def running(**settings: Any) -> State:
    """A state in which run 1 is in flight."""
    begin = State(ONE, ResyncSettings(**settings))
    state, _ = fed(begin, request(1), ConfigReady(1))
    assert state.phase is machine.Phase.RUNNING
    return state


def next_run(state: State) -> State:
    """Go on until the pending requests are served by a run in flight."""
    if state.wait is not None:
        state, _ = step(state, WaitOver(state.wait.number))
    state, outputs = step(state, ConfigReady(state.present.number))
    assert isinstance(outputs[0], StartRun)
    return state


def kinds(outputs: Sequence[Output]) -> list[type]:
    return [type(output) for output in outputs]


# -- no starvation, and no hung run that is protected ----------------------------------------------


@pytest.mark.parametrize("policy", ["abort", "drop"])
def test_hung_runs_never_protect_the_next_hung_run(policy: str) -> None:
    state = running(on_new_request=policy)
    for number in range(2, 12):
        state, outputs = step(state, request(number))
        assert AbortRun in kinds(outputs), f"run {number - 1} is protected"
        if policy == "abort":
            state, _ = step(state, GraceOver(state.present.number))
        state = next_run(state)


def test_runs_that_made_way_protect_the_next_one() -> None:
    state = running(max_consecutive_aborts=3)
    for number in (2, 3, 4):
        state, _ = fed(state, request(number), HandlerDone(state.present.number, "one"))
        state = next_run(state)
    state, outputs = step(state, request(5))
    assert outputs == (LetFinish(4, 3),)
    assert step(state, request(6))[1] == (), "one warning a run"


def test_a_dropped_run_counts_once_the_threads_of_its_handlers_have_ended() -> None:
    state = running(on_new_request="drop", max_consecutive_aborts=1)
    state, outputs = step(state, request(2))
    assert kinds(outputs)[:3] == [AbortRun, FenceOff, EndRun]
    state, _ = step(next_run(state), HandlerDone(1, "one"))
    assert state.aborts == 0
    _, said = fed(state, HandlerGone(1, "one"), request(3))
    assert said == [LetFinish(2, 1)]


def test_a_dropped_run_does_not_count_any_more_after_one_that_finished() -> None:
    state = running(on_new_request="drop", max_consecutive_aborts=1)
    state = next_run(step(state, request(2))[0])
    state, _ = fed(state, HandlerDone(2, "one"), HandlerGone(1, "one"))
    assert (state.aborts, state.dropped) == (0, frozenset())


# -- policies of single requests -------------------------------------------------------------------


@pytest.mark.parametrize("default", ["abort", "drop", "queue", "ignore"])
@pytest.mark.parametrize(
    ("own", "expected"),
    [("abort", [AbortRun, Wait]), ("queue", []), ("ignore", [Settle])],
)
def test_the_policy_of_a_request_comes_before_the_settings(
    default: OnNewRequest, own: Policy, expected: list[type]
) -> None:
    _, outputs = step(running(on_new_request=default), request(2, own))
    assert kinds(outputs) == expected


def test_a_drop_request_does_not_wait_for_a_run_that_another_request_aborted() -> None:
    state, _ = step(running(), request(2, "abort", "port"))
    state, outputs = step(state, request(3, "drop"))
    assert outputs == (FenceOff(1, ONE, dropped=True), EndRun(1, "aborted"))
    assert {each.trigger for each in state.pending} == {"manual", "port"}


def test_a_queued_request_before_one_that_aborts_is_served_with_it() -> None:
    state, outputs = step(running(), request(2, "queue", "schedule"))
    assert outputs == ()
    state, said = fed(state, request(3), HandlerDone(1, "one"))
    assert AbortRun in kinds(said)
    state = next_run(state)
    assert {each.trigger for each in state.present.covered} == {"manual", "schedule"}


def test_a_request_that_aborts_while_an_earlier_one_waits_for_others_adds_no_second_wait() -> None:
    state = replace(running(), settings=ResyncSettings(debounce=5.0))
    state, outputs = step(state, request(2, "queue", "schedule"))
    assert kinds(outputs) == [Wait]
    state, outputs = step(state, request(3))
    assert kinds(outputs) == [AbortRun]


def test_the_protected_run_is_announced_though_a_scheduled_request_waits_already() -> None:
    state, _ = fed(running(max_consecutive_aborts=1), request(2), HandlerDone(1, "one"))
    state = next_run(state)
    _, said = fed(state, request(3, "queue", "schedule"), request(4))
    assert said == [LetFinish(2, 1)]


def test_a_request_that_queued_while_a_run_was_prepared_does_not_abort_it() -> None:
    state, _ = fed(
        State(ONE), request(1), request(2), ConfigReady(1), request(3, "queue"), ConfigReady(1)
    )
    assert state.wait is not None
    state, _ = fed(state, WaitOver(state.wait.number), request(4), ConfigReady(2))
    state, outputs = fed(state, request(5, "queue"), ConfigReady(2))
    assert kinds(outputs) == [StartRun]
    assert state.phase is machine.Phase.RUNNING


def test_a_schedule_shorter_than_a_run_aborts_nothing_and_does_not_pile_up() -> None:
    simulation = Simulation(ResyncSettings())
    simulation.do(asked("start", 0))
    for number in range(1, 50):
        if simulation.questions:
            simulation.do(Answered())
        simulation.do(asked("schedule", number, "queue"))
        assert len(simulation.state.pending) <= 1
        simulation.do(Passed(60.0))
        if number % 5 == 0:
            for run, handler in sorted(simulation.at_work):
                simulation.do(Acted(run, handler, "return"))
    ends = [event for event in simulation.events if event[0] == "ended"]
    assert {status for _, _, status in ends} == {"completed"}
    assert len(ends) == 9


# -- retries ---------------------------------------------------------------------------------------


def failed(state: State, **how: Any) -> Any:
    return step(state, HandlerDone(state.present.number, "one", failed=True, **how))


@pytest.mark.parametrize(("asked_for", "waited"), [(0.0, 0.1), (30.0, 30.0), (1e9, 3600.0)])
def test_the_wish_for_a_later_try_has_a_floor_and_a_ceiling(
    asked_for: float, waited: float
) -> None:
    _, outputs = failed(running(), retry_after=asked_for)
    assert outputs[-1].seconds == waited


def test_a_handler_that_asks_for_ever_is_given_ten_retries() -> None:
    state = running()
    for _ in range(machine.MOST_RETRY_LATER):
        state, outputs = failed(state, retry_after=1.0)
        assert isinstance(outputs[-1], Wait)
        state = next_run(state)
    state, outputs = failed(state, retry_after=1.0)
    assert isinstance(outputs[-1], Settle)
    assert outputs[-1].outcome == "failed"


def test_a_lasting_failure_is_not_retried() -> None:
    _, outputs = failed(running(retry={"attempts": 3}), lasting=True)
    assert isinstance(outputs[-1], Settle)


def test_a_lasting_failure_beside_another_one_is_retried() -> None:
    settings = ResyncSettings(retry=RetrySettings(attempts=3))
    state, _ = fed(State(frozenset({"one", "two"}), settings), request(1), ConfigReady(1))
    state, _ = step(state, HandlerDone(1, "two", failed=True))
    _, outputs = failed(state, lasting=True)
    assert isinstance(outputs[-1], Wait)
