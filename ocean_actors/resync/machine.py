"""Decides which resync runs when: the coordinator's decisions as pure functions.

`step(state, input)` returns the next state and the outputs: what is to be done, in order. It uses
no thread, clock or I/O. The coordinator actor feeds the inputs and carries out the outputs.

    IDLE ──────▶ WAITING, PREPARING                 a request; a pause or the standby is over
    WAITING ───▶ PREPARING                          the wait is over (debounce, retry, quiet)
    PREPARING ─▶ RUNNING                            the config
    PREPARING ─▶ PREPARING                          requests came: the config is asked for again
    PREPARING ─▶ WAITING                            requests keep coming: a burst, postponed once
    PREPARING ─▶ ABORTING                           later requests abort the run as it starts
    RUNNING ───▶ ABORTING                           new request, time limit, abort, pause,
                                                    standby or stop
    RUNNING ───▶ IDLE, WAITING, PREPARING           all handlers are done, or a `drop` request
    ABORTING ──▶ IDLE, WAITING, PREPARING, STOPPED  all handlers are done, or fenced off: the
                                                    grace is over, or a `drop` request
    WAITING ───▶ IDLE                               a pause or the standby
    PREPARING ─▶ IDLE                               a pause or the standby: the requests are
                                                    pending again
    IDLE ──────▶ STOPPED                            a stop
    WAITING ───▶ STOPPED                            a stop
    PREPARING ─▶ STOPPED                            a stop

A request stays in `pending` until a run is prepared. Then that run covers it, and the request is
settled when the run completes or fails for good. If the run is aborted, or is to be retried, its
requests become pending again. So every accepted request is covered by a run that starts after it.

The policy of a request (its own, else `resync.onNewRequest`) decides what it does to a run in
flight. A run that a newer request aborts makes way if all its handlers return. After
`maxConsecutiveAborts` such runs in a row the next run is left to finish. A run whose handlers had
to be fenced off does not count, so hung handlers never protect a hung run. Under `drop` handlers
are fenced off at once, so a dropped run counts when the last of their threads has ended.

A run is also aborted on request (`Abort`). Its requests are then settled, as the next run would
be the same. While paused, the machine starts no run and keeps what is requested. The run in flight
finishes, unless it is to be aborted; then its requests are pending again. Each owner lifts only
its own pause.

A run does what its requests ask for together: see `scope.py`. Handlers that send none of these
kinds are left out.

Requests come in bursts, so a run that replaces one in flight is postponed until no request has come
for a while. `FIRST_QUIET_SECONDS` are enough for a lone request. If another request comes in that
time or later, before the next run starts, there is a burst, and its end is waited for: until no
request has come for `QUIET_SECONDS`. A run that is still out of date after its config was asked for
twice is postponed in the same way, but only once, as Port may take minutes to answer.
`MOST_QUIET_WAITS` limits the number of waits between two runs, and so their sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from ocean_actors.frozen import FrozenDict
from ocean_actors.messages import Outcome, ResyncRequested, Status
from ocean_actors.resync.scope import joined, scope_of
from ocean_actors.settings import OnNewRequest, ResyncSettings

Requests = tuple[ResyncRequested, ...]

FIRST_QUIET_SECONDS = 0.01
"""Tells a lone request from a burst: a sender takes a millisecond or two for each request."""
QUIET_SECONDS = 0.1
"""Longer than the gaps within one sender's burst. A shorter wait would end in such a gap."""
MOST_QUIET_WAITS = 150
"""15 s in all: a burst of 10,000 requests takes about ten at a web server of one process."""
MOST_RETRY_LATER = 10
"""Runs in a row that `RetryLater` may bring about before the requests are settled as failed."""
SHORTEST_RETRY_LATER = 0.1  # seconds
LONGEST_RETRY_LATER = 3600.0  # seconds


class Phase(Enum):
    """What the coordinator is doing."""

    IDLE = "idle"
    WAITING = "waiting"  # for `State.wait` to be over
    PREPARING = "preparing"  # the config was asked for; nothing is reported yet
    RUNNING = "running"
    ABORTING = "aborting"  # the handlers were asked to return
    STOPPED = "stopped"


class WaitKind(Enum):
    """Why the next run is not prepared yet."""

    DEBOUNCE = "debounce"  # other requests may join the first one
    RETRY = "retry"  # the backoff of a failed run, which a new request ends
    QUIET = "quiet"  # for the end of a burst


@dataclass(frozen=True)
class Wait:
    """The next run is prepared after `seconds`. As an output: feed `WaitOver(number)` then."""

    number: int
    kind: WaitKind
    seconds: float


@dataclass(frozen=True)
class Run:
    """The run that is prepared or in flight, or the last one. The first is number 1."""

    number: int = 0
    covered: Requests = ()
    working: frozenset[str] = frozenset()  # handlers that have not returned
    failed: bool = False  # a handler failed, or the time limit was reached
    retryable: bool = False  # one of these failures may be gone at the next try
    retry_after: float | None = None  # seconds; the longest that a handler asked for
    asked_again: bool = False  # the config was asked for twice, as requests came meanwhile
    preempted: bool = False  # it is being aborted because of a newer request
    cancelled: bool = False  # it is being aborted on request: its requests need nothing more
    protected: bool = False  # it is left to finish, and the log says so


@dataclass(frozen=True)
class Burst:
    """How long a burst of requests has postponed the next run."""

    waits: int = 0  # of kind QUIET, since a run was started
    arrived: bool = False  # a request came during the present one
    postponed: bool = False  # a run was postponed because its config was out of date


Dropped = frozenset[tuple[int, str]]
"""Handlers, by run number and name, that were fenced off at once and whose threads go on."""


@dataclass(frozen=True)
class State:
    """Everything that the decisions depend on."""

    handlers: frozenset[str]
    settings: ResyncSettings = field(default_factory=ResyncSettings)
    kinds: Mapping[str, tuple[str, ...]] = field(default_factory=FrozenDict)
    """The kinds that handlers declare, by the names of the handlers."""
    phase: Phase = Phase.IDLE
    present: Run = Run()
    pending: Requests = ()  # not covered by the present run
    wait: Wait | None = None
    waits: int = 0  # the number of the newest wait
    burst: Burst = Burst()
    aborts: int = 0  # runs in a row that made way for newer requests
    dropped: Dropped = frozenset()  # of runs that may still count as such
    attempts: int = 0  # retries in a row
    standby: bool = False  # another instance runs the resyncs
    pauses: frozenset[str] = frozenset()  # the owners of the pauses
    stopping: bool = False

    @property
    def held(self) -> bool:
        """Whether no run may be started, while what is requested is kept."""
        return self.standby or bool(self.pauses)


# -- inputs ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """A listener requests a resync."""

    request: ResyncRequested


@dataclass(frozen=True)
class WaitOver:
    """The seconds of wait `number` have passed."""

    number: int


@dataclass(frozen=True)
class ConfigReady:
    """The config for run `run` has arrived."""

    run: int


@dataclass(frozen=True)
class HandlerDone:
    """A handler returned or raised. It may have been fenced off long ago.

    `lasting`: it failed for a reason that a retry cannot fix. `retry_after`: it asked to be run
    again after so many seconds.
    """

    run: int
    handler: str
    failed: bool = False
    lasting: bool = False
    retry_after: float | None = None


@dataclass(frozen=True)
class HandlerGone:
    """The thread of a handler that was fenced off has ended.

    Unless the handler `began` its part of the run, this does not show that it made way.
    """

    run: int
    handler: str
    began: bool = True


@dataclass(frozen=True)
class TimeUp:
    """Run `run` has taken `resync.timeout` seconds."""

    run: int


@dataclass(frozen=True)
class GraceOver:
    """`resync.abortGrace` seconds have passed since run `run` was aborted."""

    run: int


@dataclass(frozen=True)
class StandBy:
    """Another instance runs the resyncs from now on, and is given the requests of `sources`."""

    sources: tuple[str, ...] = ()  # triggers


@dataclass(frozen=True)
class Activate:
    """Let this instance run the resyncs from now on."""


@dataclass(frozen=True)
class Abort:
    """End the run in flight; its requests need nothing more."""

    reason: str


@dataclass(frozen=True)
class Pause:
    """Start no run until `owner` resumes. With `abort`, end the run in flight, and keep its
    requests.
    """

    owner: str
    reason: str = ""
    abort: bool = False


@dataclass(frozen=True)
class Resume:
    """Lift the pause of `owner`."""

    owner: str


@dataclass(frozen=True)
class Stop:
    """End the run in flight and start no more."""


Input = (
    Request | WaitOver | ConfigReady | HandlerDone | HandlerGone | TimeUp | GraceOver | StandBy
    | Activate | Abort | Pause | Resume | Stop
)  # fmt: skip


# -- outputs ---------------------------------------------------------------------------------------
# `Wait`, above, is one too.


@dataclass(frozen=True)
class AskConfig:
    """Fetch the config for run `run`, and feed `ConfigReady`."""

    run: int


@dataclass(frozen=True)
class StartRun:
    """Start these handlers; feed `TimeUp` after the time limit. The last request is the newest."""

    run: int
    requests: Requests
    handlers: frozenset[str]


@dataclass(frozen=True)
class AbortRun:
    """Ask the handlers to return; feed `GraceOver` after the grace."""

    run: int
    reason: str


@dataclass(frozen=True)
class FenceOff:
    """Replace these handlers with fresh ones; their results no longer count.

    `dropped`: a request asked for this at once. Otherwise the handlers exceeded the grace.
    """

    run: int
    handlers: frozenset[str]
    dropped: bool


@dataclass(frozen=True)
class EndRun:
    """The run is over."""

    run: int
    status: Status


@dataclass(frozen=True)
class Settle:
    """These requests need nothing more. `run` covered them; None if they were ignored."""

    requests: Requests
    outcome: Outcome
    run: int | None


@dataclass(frozen=True)
class Refuse:
    """The coordinator is stopping and does not accept this request."""

    request: ResyncRequested


@dataclass(frozen=True)
class LetFinish:
    """`aborts` runs in a row made way, so this one is left to finish. Emitted once per run."""

    run: int
    aborts: int


@dataclass(frozen=True)
class DropLate:
    """A result came after its run was over, or after its handler was fenced off: count it."""

    run: int
    handler: str


@dataclass(frozen=True)
class Stopped:
    """Nothing is in flight, and nothing will be started."""


Output = (
    Wait | AskConfig | StartRun | AbortRun | FenceOff | EndRun | Settle | Refuse | LetFinish
    | DropLate | Stopped
)  # fmt: skip
Step = tuple[State, tuple[Output, ...]]


def step(state: State, event: Input) -> Step:
    """Returns the next state and what to do. An input that comes too late changes nothing."""
    match event:
        case Request(request):
            return _on_request(state, request)
        case WaitOver(number) if state.wait is not None and number == state.wait.number:
            return _on_wait_over(state, state.wait)
        case ConfigReady(run) if state.phase is Phase.PREPARING and run == state.present.number:
            return _on_config(state)
        case HandlerDone():
            return _on_handler_done(state, event)
        case HandlerGone(run, handler) if (run, handler) in state.dropped:
            return _on_dropped_gone(state, event), ()
        case TimeUp(run) if state.phase is Phase.RUNNING and run == state.present.number:
            expired = replace(state.present, failed=True, retryable=True)
            reason = f"it took over {state.settings.timeout:g} s"
            return _abort(replace(state, present=expired), reason)
        case GraceOver(run) if state.phase is Phase.ABORTING and run == state.present.number:
            return _fence_off(state, dropped=False)
        case StandBy(sources) if not state.standby:
            standby = replace(_without(state, sources), standby=True)
            return _withdraw(standby, "this instance no longer leads")
        case Activate() if state.standby:
            return _release(replace(state, standby=False))
        case Abort(reason) if state.phase is Phase.RUNNING:
            cancelled = replace(state.present, failed=False, retryable=False, cancelled=True)
            return _abort(replace(state, present=cancelled), reason)
        case Pause() if not state.stopping:
            return _on_pause(state, event)
        case Resume(owner) if owner in state.pauses:
            return _release(replace(state, pauses=state.pauses - {owner}))
        case Stop() if not state.stopping:
            return _withdraw(replace(state, stopping=True), "stopping")
    return state, ()


def policy_of(state: State, request: ResyncRequested) -> OnNewRequest:
    """Returns what `request` does to a run in flight: its own policy, else the settings'."""
    if request.policy is None:
        return state.settings.on_new_request
    return OnNewRequest(request.policy)


def participants(state: State, requests: Requests) -> frozenset[str]:
    """Returns the handlers that a run for `requests` starts.

    A handler that declares no kinds is always among them. If nobody sends the kinds, all are.
    """
    wanted = scope_of(requests).kinds
    chosen = frozenset(
        name
        for name in state.handlers
        if wanted is None or not (own := state.kinds.get(name)) or not wanted.isdisjoint(own)
    )
    return chosen or state.handlers


# -- requests and waits ----------------------------------------------------------------------------


def _on_request(state: State, request: ResyncRequested) -> Step:
    if state.stopping:
        return state, (Refuse(request),)
    policy = policy_of(state, request)
    if state.phase is Phase.RUNNING and policy is OnNewRequest.IGNORE:
        return state, (Settle((request,), "ignored", None),)
    gathers = not state.pending or _waits_for(state, WaitKind.RETRY)
    gathered, outputs = _debounce(state) if gathers else (state, ())
    arrived = replace(gathered.burst, arrived=_waits_for(gathered, WaitKind.QUIET))
    pending = _merge(state.pending, (request,))
    accepted: Step = replace(gathered, pending=pending, attempts=0, burst=arrived), outputs
    if state.phase in {Phase.IDLE, Phase.WAITING}:
        return _then(accepted, _next)
    if state.phase is Phase.RUNNING:
        return _then(
            accepted, lambda running: _preempt(running, request, policy, FIRST_QUIET_SECONDS)
        )
    if state.phase is Phase.ABORTING and policy is OnNewRequest.DROP and not state.held:
        return _then(accepted, lambda aborting: _fence_off(aborting, dropped=True))
    if state.phase is Phase.ABORTING and state.burst.waits and _may_postpone(state):
        return _then(accepted, _wait_for_quiet)  # the burst goes on while the handlers return
    return accepted


def _debounce(state: State) -> Step:
    """The first request since the last run has come: others have time to join it."""
    if not state.settings.debounce:
        return replace(state, wait=None), ()
    return _wait(state, WaitKind.DEBOUNCE, state.settings.debounce)


def _wait_for_quiet(state: State, seconds: float = QUIET_SECONDS) -> Step:
    """More requests of the same burst may join those that are pending."""
    if state.wait is not None:
        return state, ()
    burst = replace(state.burst, waits=state.burst.waits + 1, arrived=False)
    return _wait(replace(state, burst=burst), WaitKind.QUIET, seconds)


def _wait(state: State, kind: WaitKind, seconds: float) -> Step:
    wait = Wait(state.waits + 1, kind, seconds)
    return replace(state, waits=wait.number, wait=wait), (wait,)


def _waits_for(state: State, kind: WaitKind) -> bool:
    return state.wait is not None and state.wait.kind is kind


def _on_wait_over(state: State, wait: Wait) -> Step:
    over = replace(state, wait=None, burst=replace(state.burst, arrived=False))
    if wait.kind is WaitKind.QUIET and state.burst.arrived and _may_postpone(state):
        return _wait_for_quiet(over)
    return _prepare(over) if state.phase is Phase.WAITING else (over, ())


def _may_postpone(state: State) -> bool:
    return state.burst.waits < MOST_QUIET_WAITS and not (state.stopping or state.held)


# -- the run in flight -----------------------------------------------------------------------------


def _preempt(state: State, request: ResyncRequested, policy: OnNewRequest, quiet: float) -> Step:
    """A run is in flight, and the pending `request` is newer.

    If it aborts the run, the next one is postponed until no request has come for `quiet` seconds.
    """
    if policy in {OnNewRequest.QUEUE, OnNewRequest.IGNORE} or state.held:
        return state, ()  # while no other run may follow, the one in flight is left alone
    if state.aborts >= state.settings.max_consecutive_aborts:
        if state.present.protected:
            return state, ()
        protected = replace(state.present, protected=True)
        return replace(state, present=protected), (LetFinish(protected.number, state.aborts),)
    preempted = replace(state.present, failed=False, retryable=False, preempted=True)
    aborted = _abort(replace(state, present=preempted), f"superseded: {request.reason}")
    if policy is OnNewRequest.DROP:
        return _then(aborted, lambda aborting: _fence_off(aborting, dropped=True))
    return _then(aborted, lambda aborting: _wait_for_quiet(aborting, quiet))


def _abort(state: State, reason: str) -> Step:
    return replace(state, phase=Phase.ABORTING), (AbortRun(state.present.number, reason),)


def _on_config(state: State) -> Step:
    run = state.present
    may_postpone = not state.burst.postponed and _may_postpone(state)
    if state.pending and may_postpone and (run.asked_again or state.burst.waits):
        # Requests keep coming: after the config was asked for twice, or after the request that
        # aborted the run in flight.
        postponed = _pending_again(replace(state, burst=replace(state.burst, postponed=True)))
        return _then(_wait_for_quiet(postponed), _next)
    if state.pending and not run.asked_again:
        # The config may be older than these requests, so they join the run and the config is
        # asked for again. Only once: a steady stream of requests must not delay the run for ever.
        joined = replace(run, covered=_merge(run.covered, state.pending), asked_again=True)
        return replace(state, present=joined, pending=(), wait=None), (AskConfig(run.number),)
    working = participants(state, run.covered)
    running = replace(
        state, phase=Phase.RUNNING, present=replace(run, working=working), burst=Burst()
    )
    start = (running, (StartRun(run.number, run.covered, working),))
    newer = [each for each in state.pending if _aborts(policy_of(state, each))]
    if not newer:
        return start
    # Also for a `drop` request: the handlers have hardly begun, so they return at once.
    return _then(start, lambda begun: _preempt(begun, newer[-1], OnNewRequest.ABORT, QUIET_SECONDS))


def _aborts(policy: OnNewRequest) -> bool:
    return policy in {OnNewRequest.ABORT, OnNewRequest.DROP}


def _on_handler_done(state: State, done: HandlerDone) -> Step:
    run = state.present
    if done.run != run.number or done.handler not in run.working:
        return state, (DropLate(done.run, done.handler),)
    asked = [seconds for seconds in (run.retry_after, done.retry_after) if seconds is not None]
    # What a handler of an aborted run raises on its way out is not a failure of the run.
    counts = done.failed and state.phase is Phase.RUNNING
    left = replace(
        run,
        working=run.working - {done.handler},
        failed=run.failed or counts,
        retryable=run.retryable or (counts and not done.lasting),
        retry_after=max(asked, default=None),
    )
    after = replace(state, present=left)
    return (after, ()) if left.working else _end_run(after)


def _on_dropped_gone(state: State, gone: HandlerGone) -> State:
    """A dropped run has made way when the last of its handlers has gone, and each had begun."""
    if not gone.began:
        return replace(state, dropped=frozenset(d for d in state.dropped if d[0] != gone.run))
    dropped = state.dropped - {(gone.run, gone.handler)}
    made_way = all(other != gone.run for other, _ in dropped)
    return replace(state, dropped=dropped, aborts=state.aborts + made_way)


def _on_pause(state: State, pause: Pause) -> Step:
    paused = replace(state, pauses=state.pauses | {pause.owner})
    if state.phase is Phase.RUNNING and not pause.abort:
        return paused, ()
    return _withdraw(paused, f"paused: {pause.reason}")


def _release(state: State) -> Step:
    """A pause or the standby has ended: go on unless something else holds the runs."""
    return _next(state) if state.phase is Phase.IDLE else (state, ())


def _withdraw(state: State, reason: str) -> Step:
    """Let nothing run any more: this instance stops, stands by, or is paused."""
    if state.phase is Phase.RUNNING:
        withdrawn = replace(state.present, failed=False, retryable=False)
        return _abort(replace(state, present=withdrawn), reason)
    if state.phase in {Phase.ABORTING, Phase.STOPPED}:
        return state, ()
    return _next(_pending_again(state))


def _fence_off(state: State, *, dropped: bool) -> Step:
    run = state.present
    fenced = replace(state, present=replace(run, working=frozenset(), preempted=False))
    if dropped and run.preempted:
        hung = frozenset((run.number, handler) for handler in run.working)
        fenced = replace(fenced, dropped=state.dropped | hung)
    return _then((fenced, (FenceOff(run.number, run.working, dropped),)), _end_run)


def _end_run(state: State) -> Step:
    """No handler of the present run is at work any more."""
    run = state.present
    if run.failed:
        return _end_failed(state)
    if run.cancelled:
        settled = _settle(state, "aborted")
        return _then((settled[0], (EndRun(run.number, "aborted"), *settled[1])), _next)
    if state.phase is Phase.ABORTING:
        again = replace(_pending_again(state), aborts=state.aborts + run.preempted)
        return _then((again, (EndRun(run.number, "aborted"),)), _next)
    settled = _settle(state, "completed")
    return _then((settled[0], (EndRun(run.number, "completed"), *settled[1])), _next)


def _end_failed(state: State) -> Step:
    ended = EndRun(state.present.number, "failed")
    delay = retry_delay(state)
    if delay is None:
        settled = _settle(state, "failed")
        return _then((settled[0], (ended, *settled[1])), _next)
    again = replace(
        _pending_again(state), aborts=0, dropped=frozenset(), attempts=state.attempts + 1
    )
    if state.pending or state.stopping or state.standby:
        return _then((again, (ended,)), _next)
    waiting, wait = _wait(again, WaitKind.RETRY, delay)
    return _then((waiting, (ended, *wait)), _next)


def retry_delay(state: State) -> float | None:
    """Returns after how many seconds the present run, which failed, is retried; None if never.

    A handler that raised RetryLater is retried whatever `resync.retry` says, but not for ever.
    """
    run, retry = state.present, state.settings.retry
    if run.retry_after is not None:
        if state.attempts >= max(MOST_RETRY_LATER, retry.attempts):
            return None
        return min(max(run.retry_after, SHORTEST_RETRY_LATER), LONGEST_RETRY_LATER)
    if not run.retryable or state.attempts >= retry.attempts:
        return None
    return retry.backoff * 2.0 ** min(state.attempts, 32)


# -- requests, and what follows --------------------------------------------------------------------


def _settle(state: State, outcome: Outcome) -> Step:
    """The requests that the present run covered need nothing more."""
    run = state.present
    settled = replace(
        state, present=replace(run, covered=()), aborts=0, dropped=frozenset(), attempts=0
    )
    return settled, (Settle(run.covered, outcome, run.number),)


def _pending_again(state: State) -> State:
    pending = _merge(state.present.covered, state.pending)
    return replace(state, present=replace(state.present, covered=()), pending=pending)


def _without(state: State, sources: tuple[str, ...]) -> State:
    """Drop the requests of `sources`: as they are not settled, these give them to the instance
    that is active now.
    """

    def kept(requests: Requests) -> Requests:
        return tuple(request for request in requests if request.trigger not in sources)

    present = replace(state.present, covered=kept(state.present.covered))
    return replace(state, present=present, pending=kept(state.pending))


def _next(state: State) -> Step:
    """No run is in flight: decide what follows."""
    if state.stopping:
        return replace(state, phase=Phase.STOPPED), (Stopped(),)
    if state.held or not state.pending:
        return replace(state, phase=Phase.IDLE), ()
    if state.wait is not None:
        return replace(state, phase=Phase.WAITING), ()
    return _prepare(state)


def _prepare(state: State) -> Step:
    run = Run(state.present.number + 1, state.pending)
    preparing = replace(state, phase=Phase.PREPARING, present=run, pending=())
    return preparing, (AskConfig(run.number),)


def _merge(older: Requests, newer: Requests) -> Requests:
    """Both, the newest of each trigger: bounded by the number of triggers, not of requests.

    The newest asks for what the earlier ones asked for as well.
    """
    earlier = {request.trigger: request for request in older}
    later = {request.trigger for request in newer}
    return (
        *(request for request in older if request.trigger not in later),
        *(
            joined(earlier[request.trigger], request) if request.trigger in earlier else request
            for request in newer
        ),
    )


def _then(done: Step, follow: Callable[[State], Step]) -> Step:
    state, outputs = done
    following, more = follow(state)
    return following, (*outputs, *more)
