"""Aborts on request, pauses, and runs for some kinds, as the state machine decides them."""

from typing import Any

from simulation import NOON, fed

from ocean_actors.messages import ResyncRequested
from ocean_actors.resync.machine import (
    Abort,
    AbortRun,
    Activate,
    AskConfig,
    ConfigReady,
    EndRun,
    FenceOff,
    GraceOver,
    HandlerDone,
    Pause,
    Phase,
    Request,
    Resume,
    Settle,
    StandBy,
    StartRun,
    State,
    Stop,
    Stopped,
    TimeUp,
)
from ocean_actors.settings import ResyncSettings, RetrySettings

ONE = frozenset({"one"})


def request(trigger: str = "manual", **more: Any) -> ResyncRequested:
    return ResyncRequested(reason="please", trigger=trigger, requested_at=NOON, **more)


def running(asked: ResyncRequested, **settings: Any) -> State:
    state = State(ONE, ResyncSettings(**settings))
    return fed(state, Request(asked), ConfigReady(1))[0]


def test_an_abort_settles_what_the_run_covers_and_runs_what_waits() -> None:
    asked, newer = request(), request("b", policy="queue")
    state, said = fed(running(asked), Request(newer), Abort("enough"))
    assert said == [AbortRun(1, "enough")]
    _, said = fed(state, HandlerDone(1, "one"))
    assert said == [EndRun(1, "aborted"), Settle((asked,), "aborted", 1), AskConfig(2)]


def test_an_abort_of_a_deaf_handler_settles_as_well() -> None:
    asked = request()
    _, said = fed(running(asked), Abort("enough"), GraceOver(1))
    assert said[1:] == [
        FenceOff(1, ONE, dropped=False), EndRun(1, "aborted"), Settle((asked,), "aborted", 1),
    ]  # fmt: skip


def test_an_aborted_run_that_had_failed_before_is_not_retried() -> None:
    state = State(frozenset({"one", "two"}), ResyncSettings(retry=RetrySettings(attempts=3)))
    state, _ = fed(state, Request(request()), ConfigReady(1), HandlerDone(1, "one", failed=True))
    _, said = fed(state, Abort("enough"), HandlerDone(1, "two", failed=True, retry_after=5.0))
    assert [type(each) for each in said] == [AbortRun, EndRun, Settle]


def test_there_is_nothing_to_abort_unless_a_run_is_in_flight() -> None:
    preparing, _ = fed(State(ONE), Request(request()))
    for state in (State(ONE), preparing, fed(running(request()), Abort(""))[0]):
        assert fed(state, Abort("enough")) == (state, [])


def test_a_pause_lets_the_run_finish_and_keeps_what_is_requested_meanwhile() -> None:
    newer = request("b", policy="drop")
    state, said = fed(running(request()), Pause("x"), Request(newer))
    assert said == []
    state, said = fed(state, HandlerDone(1, "one"))
    assert said[0] == EndRun(1, "completed")
    assert (state.phase, state.pending) == (Phase.IDLE, (newer,))
    _, said = fed(state, Resume("x"))
    assert said == [AskConfig(2)]


def test_a_pause_that_aborts_keeps_the_requests_of_the_run() -> None:
    asked = request()
    state, said = fed(running(asked), Pause("x", "maintenance", abort=True), HandlerDone(1, "one"))
    assert said == [AbortRun(1, "paused: maintenance"), EndRun(1, "aborted")]
    assert state.pending == (asked,)
    assert fed(state, Resume("x"))[1] == [AskConfig(2)]


def test_a_pause_takes_a_preparation_back() -> None:
    asked = request()
    state, said = fed(State(ONE), Request(asked), Pause("x"), ConfigReady(1))
    assert said == [AskConfig(1)]
    assert state.pending == (asked,)


def test_two_pauses_do_not_lift_each_other() -> None:
    state, _ = fed(State(ONE), Pause("x"), Pause("x"), Pause("y"), Request(request()))
    state, said = fed(state, Resume("x"), Resume("stranger"))
    assert said == []
    assert fed(state, Resume("y"))[1] == [AskConfig(1)]


def test_a_pause_and_the_standby_hold_each_for_itself() -> None:
    held, _ = fed(State(ONE), Pause("x"), StandBy(), Request(request()))
    assert fed(held, Resume("x"))[1] == fed(held, Activate())[1] == []
    assert fed(held, Resume("x"), Activate())[1] == [AskConfig(1)]
    assert fed(held, Activate(), Resume("x"))[1] == [AskConfig(1)]


def test_a_paused_system_stops() -> None:
    assert fed(State(ONE), Pause("x"), Request(request()), Stop())[1] == [Stopped()]


def test_a_failed_run_is_retried_after_the_pause() -> None:
    state = running(request(), timeout=100.0, retry={"attempts": 1, "backoff": 10.0})
    state, _ = fed(state, Pause("x"), TimeUp(1), HandlerDone(1, "one"))
    assert state.phase is Phase.IDLE
    state, _ = fed(state, Resume("x"))
    assert state.phase is Phase.WAITING


# -- kinds -----------------------------------------------------------------------------------------

THREE = State(
    frozenset({"issues", "teams", "any"}), ResyncSettings(),
    {"issues": ("issue", "epic"), "teams": ("team",), "any": ()},
)  # fmt: skip


def started_by(*requests: ResyncRequested) -> tuple[StartRun, State]:
    state, said = fed(THREE, *map(Request, requests), ConfigReady(1), ConfigReady(1))
    return next(each for each in said if isinstance(each, StartRun)), state


def test_a_run_starts_the_handlers_of_its_kinds_and_those_without() -> None:
    start, state = started_by(request(kinds=("epic",)))
    assert start.handlers == state.present.working == {"issues", "any"}


def test_requests_for_different_kinds_are_joined() -> None:
    start, _ = started_by(request("a", kinds=("team",)), request("b", kinds=("issue",)))
    assert start.handlers == THREE.handlers


def test_a_later_request_of_a_trigger_does_not_take_back_what_an_earlier_one_asked_for() -> None:
    start, _ = started_by(request(), request(kinds=("team",)))
    assert start.handlers == THREE.handlers
    assert start.requests[0].kinds is None


def test_what_an_aborted_run_was_to_do_the_next_one_does_as_well() -> None:
    _, state = started_by(request(kinds=("team",)))
    state, _ = fed(
        state, Request(request(kinds=("issue",))), HandlerDone(1, "teams"), HandlerDone(1, "any")
    )
    assert state.pending[0].kinds == ("team", "issue")
