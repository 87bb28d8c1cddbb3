"""Which resync runs when: the coordinator's decisions, as pure functions.

`step(state, input)` answers the next state and what is to be done about it. No thread, clock
or I/O; the coordinator actor feeds it and carries the outputs out, in their order.

              ┌───────────────── debounce not over, or retry ◀────────────────┐
              ▼                                                               │
    IDLE ─▶ WAITING ─wait over─▶ PREPARING ─config─▶ RUNNING ─all done─▶ next: IDLE,
     └─────────no debounce──────────▲                   │               WAITING or PREPARING
                             new request, timeout,      │                     ▲
                                stop or standby         ▼                     │
                                                     ABORTING ─all done, or grace over

A request waits in `pending` until a run begins to prepare; then it is `covered` by that run and
is settled when the run completes or fails for good. If the run is aborted, or is to be tried
again, its requests go back to `pending`. So every accepted request is covered by a run that
starts after it.

Requests come in bursts. So the run that is to replace one in flight, or whose config two questions
could not bring up to date, is put off until none has come for `PAUSE` seconds; by `MOST_PAUSES` of
those at the most, counted from run to run. Vain questions put a run off only once, as Port may take
minutes for each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum

from ocean_actors.messages import Outcome, ResyncRequested, Status
from ocean_actors.settings import OnNewRequest, ResyncSettings

Requests = tuple[ResyncRequested, ...]

PAUSE = 0.1  # seconds
MOST_PAUSES = 50


class Phase(Enum):
    """What the coordinator is at."""

    IDLE = "idle"
    WAITING = "waiting"  # for the end of a burst or of the debounce, or to try a failed run again
    PREPARING = "preparing"  # the config is asked for; nothing is reported yet
    RUNNING = "running"
    ABORTING = "aborting"  # the handlers are asked to end
    STOPPED = "stopped"


@dataclass(frozen=True)
class State:
    """All that the decisions depend on. `run` is the number of the newest run."""

    handlers: frozenset[str]
    settings: ResyncSettings = field(default_factory=ResyncSettings)
    phase: Phase = Phase.IDLE
    run: int = 0
    covered: Requests = ()  # answered by the present run
    pending: Requests = ()  # wait for the next one
    working: frozenset[str] = frozenset()  # handlers that have not returned
    failed: bool = False  # a handler of the present run did, or its time was up
    retry_after: float | None = None  # seconds; a handler of the present run asked for it
    asked_again: bool = False  # for the config, as requests came while it was on its way
    aborts: int = 0  # runs in a row that newer requests aborted
    attempts: int = 0  # runs in a row that failed and were tried again
    wait: int = 0  # the number of the newest wait
    waiting: bool = False  # that wait has to be over before the next run is prepared
    retrying: bool = False  # that wait is a retry's, which a new request ends
    pausing: bool = False  # that wait is a pause, for the end of a burst
    arrived: bool = False  # a request has, in this pause
    pauses: int = 0  # since a run was started
    put_off: bool = False  # for vain questions, since a run was started
    standby: bool = False  # another instance runs the resyncs
    stopping: bool = False


# -- inputs ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """A listener wants a resync."""

    request: ResyncRequested


@dataclass(frozen=True)
class WaitOver:
    """The time of wait `wait` is up."""

    wait: int


@dataclass(frozen=True)
class ConfigReady:
    """The config that run `run` asked for is there."""

    run: int


@dataclass(frozen=True)
class HandlerDone:
    """A handler returned, or raised; perhaps asking to be run again after so many seconds."""

    run: int
    handler: str
    failed: bool = False
    retry_after: float | None = None


@dataclass(frozen=True)
class TimeUp:
    """Run `run` has taken `resync.timeout` seconds."""

    run: int


@dataclass(frozen=True)
class GraceOver:
    """The time that an aborted run had for ending is up."""

    run: int


@dataclass(frozen=True)
class StandBy:
    """Another instance runs the resyncs from now on, and is given the requests of `source`."""

    source: str | None = None  # a trigger


@dataclass(frozen=True)
class Resume:
    """No other instance runs the resyncs any more: this one does."""


@dataclass(frozen=True)
class Stop:
    """End what runs and start nothing more."""


Input = (
    Request | WaitOver | ConfigReady | HandlerDone | TimeUp | GraceOver | StandBy | Resume | Stop
)


# -- outputs ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wait:
    """Feed `WaitOver` after `seconds`. `retry`: it puts off another try, not a first one."""

    wait: int
    seconds: float
    retry: bool


@dataclass(frozen=True)
class AskConfig:
    """Fetch the config for run `run`, and feed `ConfigReady`."""

    run: int


@dataclass(frozen=True)
class StartRun:
    """Start all handlers; feed `TimeUp` after the time limit. The last request is the newest."""

    run: int
    requests: Requests


@dataclass(frozen=True)
class AbortRun:
    """Ask the handlers to end; feed `GraceOver` after the grace."""

    run: int
    reason: str


@dataclass(frozen=True)
class FenceOff:
    """Put fresh handler actors in the place of these, whose results no longer count."""

    run: int
    handlers: frozenset[str]


@dataclass(frozen=True)
class EndRun:
    """The run is over."""

    run: int
    status: Status


@dataclass(frozen=True)
class Settle:
    """These requests need nothing more."""

    requests: Requests
    outcome: Outcome


@dataclass(frozen=True)
class Refuse:
    """The coordinator is stopping and does not take this request."""

    request: ResyncRequested


@dataclass(frozen=True)
class LetFinish:
    """So many runs were aborted in a row that this one is protected: warn, once for the run."""

    run: int
    aborts: int


@dataclass(frozen=True)
class DropLate:
    """A result of a run that is over, or of a handler that was fenced off: count it."""

    run: int
    handler: str


@dataclass(frozen=True)
class Stopped:
    """Nothing runs and nothing will."""


Output = (
    Wait | AskConfig | StartRun | AbortRun | FenceOff | EndRun | Settle | Refuse | LetFinish
    | DropLate | Stopped
)  # fmt: skip
Step = tuple[State, tuple[Output, ...]]


def step(state: State, event: Input) -> Step:
    """The next state and what to do. Inputs that came too late change nothing."""
    match event:
        case Request(request):
            return _on_request(state, request)
        case WaitOver(wait) if state.waiting and wait == state.wait:
            return _on_wait_over(state)
        case ConfigReady(run) if state.phase is Phase.PREPARING and run == state.run:
            return _on_config(state)
        case HandlerDone():
            return _on_handler_done(state, event)
        case TimeUp(run) if state.phase is Phase.RUNNING and run == state.run:
            expired = replace(state, phase=Phase.ABORTING, failed=True)
            return expired, (AbortRun(run, f"it took over {state.settings.timeout:g} s"),)
        case GraceOver(run) if state.phase is Phase.ABORTING and run == state.run:
            return _fence_off(state)
        case StandBy(source) if not state.standby:
            standby = replace(_leave(state, source), standby=True)
            return _withdraw(standby, "another instance took over")
        case Resume() if state.standby:
            resumed = replace(state, standby=False)
            return _next(resumed) if state.phase is Phase.IDLE else (resumed, ())
        case Stop() if not state.stopping:
            return _withdraw(replace(state, stopping=True), "stopping")
    return state, ()


def _on_request(state: State, request: ResyncRequested) -> Step:
    if state.stopping:
        return state, (Refuse(request),)
    running = state.phase is Phase.RUNNING
    if running and state.settings.on_new_request is OnNewRequest.IGNORE:
        return state, (Settle((request,), "ignored"),)
    first = not state.pending
    taken = _gather(state) if first or state.retrying else (state, ())
    pending = _merge(state.pending, (request,))
    taken = (replace(taken[0], pending=pending, attempts=0, arrived=taken[0].pausing), taken[1])
    if state.phase in {Phase.IDLE, Phase.WAITING}:
        return _then(taken, _next)
    if running:
        return _then(taken, lambda waiting: _supersede(waiting, first=first))
    return taken


def _gather(state: State) -> Step:
    """The first request since the last run: others have the debounce's time to join it."""
    if not state.settings.debounce:
        return replace(state, waiting=False, retrying=False, pausing=False), ()
    return _wait(state, state.settings.debounce, retry=False)


def _pause(state: State) -> Step:
    """More requests of the same burst are to join those that wait."""
    if state.waiting:  # for the end of the debounce
        return state, ()
    waiting, wait = _wait(state, PAUSE, retry=False)
    return replace(waiting, pausing=True, arrived=False, pauses=state.pauses + 1), wait


def _wait(state: State, seconds: float, *, retry: bool) -> Step:
    number = state.wait + 1
    waiting = replace(state, wait=number, waiting=True, retrying=retry, pausing=False)
    return waiting, (Wait(number, seconds, retry),)


def _on_wait_over(state: State) -> Step:
    over = replace(state, waiting=False, retrying=False, pausing=False, arrived=False)
    if state.arrived and _may_pause(state):
        return _pause(over)
    return _prepare(over) if state.phase is Phase.WAITING else (over, ())


def _may_pause(state: State) -> bool:
    return state.pauses < MOST_PAUSES and not (state.stopping or state.standby)


def _supersede(state: State, *, first: bool) -> Step:
    """A run is in flight and `pending` is newer; `first` if nothing was pending before."""
    policy = state.settings.on_new_request
    if policy in {OnNewRequest.QUEUE, OnNewRequest.IGNORE}:
        return state, ()
    if state.aborts >= state.settings.max_consecutive_aborts:
        return state, (LetFinish(state.run, state.aborts),) if first else ()
    reason = f"superseded: {state.pending[-1].reason}"
    aborting = replace(state, phase=Phase.ABORTING, failed=False, aborts=state.aborts + 1)
    abort = AbortRun(state.run, reason)
    if policy is OnNewRequest.DROP:
        return _then((aborting, (abort,)), _fence_off)
    return _then((aborting, (abort,)), _pause)


def _on_config(state: State) -> Step:
    if state.pending and not state.asked_again:
        # What is here may be older than those requests: they join, and the config is asked for
        # once more. Only once, or a steady stream of requests would put the run off for ever.
        joined = replace(
            state,
            covered=_merge(state.covered, state.pending), pending=(),
            waiting=False, asked_again=True,
        )  # fmt: skip
        return joined, (AskConfig(state.run),)
    if state.pending and not state.put_off and _may_pause(state):
        return _then(_pause(replace(_owe_again(state), put_off=True)), _next)
    started = replace(
        state,
        phase=Phase.RUNNING, working=state.handlers, failed=False, retry_after=None,
        pauses=0, put_off=False,
    )  # fmt: skip
    start = (started, (StartRun(state.run, state.covered),))
    if not state.pending:
        return start
    return _then(start, lambda running: _supersede(running, first=True))


def _on_handler_done(state: State, done: HandlerDone) -> Step:
    if done.run != state.run or done.handler not in state.working:
        return state, (DropLate(done.run, done.handler),)
    asked = [seconds for seconds in (state.retry_after, done.retry_after) if seconds is not None]
    # What a handler of an aborted run raises on its way out makes no failure of the run.
    failed = state.failed or (done.failed and state.phase is Phase.RUNNING)
    left = replace(
        state,
        working=state.working - {done.handler},
        failed=failed,
        retry_after=max(asked, default=None),
    )
    return (left, ()) if left.working else _end_run(left)


def _withdraw(state: State, reason: str) -> Step:
    """Let nothing run any more: stopping, or standing by."""
    if state.phase is Phase.RUNNING:
        aborting = replace(state, phase=Phase.ABORTING, failed=False)
        return aborting, (AbortRun(state.run, reason),)
    if state.phase in {Phase.ABORTING, Phase.STOPPED}:
        return state, ()
    return _next(_owe_again(state))


def _fence_off(state: State) -> Step:
    fenced = replace(state, working=frozenset())
    return _then((fenced, (FenceOff(state.run, state.working),)), _end_run)


def _end_run(state: State) -> Step:
    """No handler of the present run is at work any more."""
    if state.failed:
        return _end_failed(state)
    if state.phase is Phase.ABORTING:
        return _then((_owe_again(state), (EndRun(state.run, "aborted"),)), _next)
    completed = replace(state, covered=(), aborts=0, attempts=0)
    ended = (EndRun(state.run, "completed"), Settle(state.covered, "completed"))
    return _then((completed, ended), _next)


def _end_failed(state: State) -> Step:
    ended = EndRun(state.run, "failed")
    failed = replace(state, aborts=0)
    delay = retry_delay(state)
    if delay is None:
        settled = replace(failed, covered=(), attempts=0)
        return _then((settled, (ended, Settle(state.covered, "failed"))), _next)
    again = replace(_owe_again(failed), attempts=state.attempts + 1)
    if state.pending or state.stopping or state.standby:
        return _then((again, (ended,)), _next)
    return _then(_then((again, (ended,)), lambda owed: _wait(owed, delay, retry=True)), _next)


def retry_delay(state: State) -> float | None:
    """In how many seconds the present run, which failed, is to be tried again; None: not at all.

    A handler that asked for it is heard whatever `resync.retry` says.
    """
    if state.retry_after is not None:
        return state.retry_after
    retry = state.settings.retry
    if state.attempts >= retry.attempts:
        return None
    return retry.backoff * 2.0 ** min(state.attempts, 32)


def _owe_again(state: State) -> State:
    return replace(state, covered=(), pending=_merge(state.covered, state.pending))


def _leave(state: State, source: str | None) -> State:
    """Drop the requests of that source: as they are not settled, it gives them to the instance
    that is active now.
    """

    def ours(requests: Requests) -> Requests:
        return tuple(request for request in requests if request.trigger != source)

    return replace(state, covered=ours(state.covered), pending=ours(state.pending))


def _next(state: State) -> Step:
    """Nothing runs: what is next."""
    if state.stopping:
        return replace(state, phase=Phase.STOPPED), (Stopped(),)
    if state.standby or not state.pending:
        return replace(state, phase=Phase.IDLE), ()
    if state.waiting:
        return replace(state, phase=Phase.WAITING), ()
    return _prepare(state)


def _prepare(state: State) -> Step:
    number = state.run + 1
    preparing = replace(
        state, phase=Phase.PREPARING, run=number, covered=state.pending, pending=(),
        asked_again=False,
    )  # fmt: skip
    return preparing, (AskConfig(number),)


def _merge(older: Requests, newer: Requests) -> Requests:
    """Both, the newest of each trigger: bounded by the number of triggers, not of requests."""
    later = {request.trigger for request in newer}
    return (*(request for request in older if request.trigger not in later), *newer)


def _then(done: Step, follow: Callable[[State], Step]) -> Step:
    state, outputs = done
    following, more = follow(state)
    return following, (*outputs, *more)
