"""Which resync runs when: the coordinator's decisions, as pure functions.

`step(state, input)` answers the next state and what is to be done about it. No thread, clock
or I/O; the coordinator actor feeds it and carries the outputs out, in their order.

    IDLE ──request──▶ PREPARING ──config──▶ RUNNING ──all handlers done──▶ IDLE or PREPARING
                                              │ new request or stop            ▲
                                              ▼                                │
                                           ABORTING ──all done, or grace over──┘

A request waits in `pending` until a run begins to prepare; then it is `covered` by that run and
is settled when the run completes or fails. If the run is aborted, its requests go back to
`pending`. So every accepted request is covered by a run that starts after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from ocean_actors.messages import Outcome, ResyncRequested, Status
from ocean_actors.settings import OnNewRequest

Requests = tuple[ResyncRequested, ...]


class Phase(Enum):
    """What the coordinator is at."""

    IDLE = "idle"
    PREPARING = "preparing"  # the config is asked for; nothing is reported yet
    RUNNING = "running"
    ABORTING = "aborting"  # the handlers are asked to end
    STOPPED = "stopped"


@dataclass(frozen=True)
class State:
    """All that the decisions depend on. `run` is the number of the newest run."""

    handlers: frozenset[str]
    on_new_request: OnNewRequest = OnNewRequest.ABORT
    max_consecutive_aborts: int = 3
    phase: Phase = Phase.IDLE
    run: int = 0
    covered: Requests = ()  # answered by the present run
    pending: Requests = ()  # wait for the next one
    working: frozenset[str] = frozenset()  # handlers that have not returned
    failed: bool = False  # a handler of the present run did
    asked_again: bool = False  # for the config, as requests came while it was on its way
    aborts: int = 0  # runs in a row that newer requests aborted
    stopping: bool = False


# -- inputs ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """A listener wants a resync."""

    request: ResyncRequested


@dataclass(frozen=True)
class ConfigReady:
    """The config that run `run` asked for is there."""

    run: int


@dataclass(frozen=True)
class HandlerDone:
    """A handler returned, or raised."""

    run: int
    handler: str
    failed: bool = False


@dataclass(frozen=True)
class GraceOver:
    """The time that an aborted run had for ending is up."""

    run: int


@dataclass(frozen=True)
class Stop:
    """End what runs and start nothing more."""


Input = Request | ConfigReady | HandlerDone | GraceOver | Stop


# -- outputs ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AskConfig:
    """Fetch the config for run `run`, and feed `ConfigReady`."""

    run: int


@dataclass(frozen=True)
class StartRun:
    """Start all handlers. The last of `requests` is the newest."""

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
    AskConfig | StartRun | AbortRun | FenceOff | EndRun | Settle | Refuse | LetFinish | DropLate
    | Stopped
)  # fmt: skip
Step = tuple[State, tuple[Output, ...]]


def step(state: State, event: Input) -> Step:
    """The next state and what to do. Inputs that came too late change nothing."""
    match event:
        case Request(request):
            return _on_request(state, request)
        case ConfigReady(run) if state.phase is Phase.PREPARING and run == state.run:
            return _on_config(state)
        case HandlerDone(run, handler, failed):
            if run != state.run or handler not in state.working:
                return state, (DropLate(run, handler),)
            done = replace(
                state, working=state.working - {handler}, failed=state.failed or failed
            )
            return (done, ()) if done.working else _end_run(done)
        case GraceOver(run) if state.phase is Phase.ABORTING and run == state.run:
            return _fence_off(state)
        case Stop() if not state.stopping:
            return _on_stop(replace(state, stopping=True))
    return state, ()


def _on_request(state: State, request: ResyncRequested) -> Step:
    if state.stopping:
        return state, (Refuse(request),)
    running = state.phase is Phase.RUNNING
    if running and state.on_new_request is OnNewRequest.IGNORE:
        return state, (Settle((request,), "ignored"),)
    waiting = replace(state, pending=_merge(state.pending, (request,)))
    if state.phase is Phase.IDLE:
        return _prepare(waiting)
    if running:
        return _supersede(waiting, first=not state.pending)
    return waiting, ()


def _supersede(state: State, *, first: bool) -> Step:
    """A run is in flight and `pending` is newer; `first` if nothing was pending before."""
    if state.on_new_request in {OnNewRequest.QUEUE, OnNewRequest.IGNORE}:
        return state, ()
    if state.aborts >= state.max_consecutive_aborts:
        return state, (LetFinish(state.run, state.aborts),) if first else ()
    reason = f"superseded: {state.pending[-1].reason}"
    aborting = replace(state, phase=Phase.ABORTING, aborts=state.aborts + 1)
    abort = AbortRun(state.run, reason)
    if state.on_new_request is OnNewRequest.DROP:
        return _then((aborting, (abort,)), _fence_off)
    return aborting, (abort,)


def _on_config(state: State) -> Step:
    if state.pending and not state.asked_again:
        # What is here may be older than those requests: they join, and the config is asked for
        # once more. Only once, or a steady stream of requests would put the run off for ever.
        joined = replace(
            state, covered=_merge(state.covered, state.pending), pending=(), asked_again=True
        )
        return joined, (AskConfig(state.run),)
    started = replace(state, phase=Phase.RUNNING, working=state.handlers, failed=False)
    start = (started, (StartRun(state.run, state.covered),))
    if not state.pending:
        return start
    return _then(start, lambda running: _supersede(running, first=True))


def _on_stop(state: State) -> Step:
    if state.phase is Phase.RUNNING:
        return replace(state, phase=Phase.ABORTING), (AbortRun(state.run, "stopping"),)
    if state.phase is Phase.ABORTING:
        return state, ()
    return replace(state, phase=Phase.STOPPED), (Stopped(),)


def _fence_off(state: State) -> Step:
    fenced = replace(state, working=frozenset())
    return _then((fenced, (FenceOff(state.run, state.working),)), _end_run)


def _end_run(state: State) -> Step:
    """No handler of the present run is at work any more."""
    if state.phase is Phase.ABORTING:
        over = replace(state, covered=(), pending=_merge(state.covered, state.pending))
        return _then((over, (EndRun(state.run, "aborted"),)), _next)
    status: Status = "failed" if state.failed else "completed"
    outcome: Outcome = status
    ended = (EndRun(state.run, status), Settle(state.covered, outcome))
    return _then((replace(state, covered=(), aborts=0), ended), _next)


def _next(state: State) -> Step:
    if state.stopping:
        return replace(state, phase=Phase.STOPPED), (Stopped(),)
    if state.pending:
        return _prepare(state)
    return replace(state, phase=Phase.IDLE), ()


def _prepare(state: State) -> Step:
    number = state.run + 1
    preparing = replace(
        state,
        phase=Phase.PREPARING, run=number, covered=state.pending, pending=(), asked_again=False,
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
