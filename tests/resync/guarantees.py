"""The guarantees of `docs/architecture.md`, as an onlooker checks them.

An onlooker sees what is fed to the state machine and what it answers, never its state, and knows
from that what has to come and what must not. The same onlooker watches the exhaustive search, the
random walks and, through the events they publish, the real actors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce

from ocean_actors.frozen import FrozenDict
from ocean_actors.messages import ResyncRequested
from ocean_actors.resync import machine
from ocean_actors.resync.machine import (
    Abort,
    AbortRun,
    Activate,
    AskConfig,
    ConfigReady,
    DropLate,
    EndRun,
    FenceOff,
    GraceOver,
    HandlerDone,
    HandlerGone,
    Input,
    LetFinish,
    Output,
    Pause,
    Refuse,
    Request,
    Resume,
    Settle,
    StandBy,
    StartRun,
    Stop,
    Stopped,
    TimeUp,
    Wait,
    WaitKind,
    WaitOver,
)
from ocean_actors.settings import OnNewRequest, ResyncSettings

Requests = tuple[ResyncRequested, ...]


def newest(requests: Iterable[ResyncRequested]) -> Requests:
    """The newest of each trigger: it stands for the earlier ones, and asks for as much as they."""
    kept: dict[str, ResyncRequested] = {}
    for request in requests:
        earlier = kept.pop(request.trigger, None)
        kept[request.trigger] = request if earlier is None else widened(request, earlier)
    return tuple(kept.values())


def widened(request: ResyncRequested, other: ResyncRequested) -> ResyncRequested:
    """The request, asking for no less than the other."""
    asked = None
    if request.kinds is not None and other.kinds is not None:
        asked = tuple(sorted({*request.kinds, *other.kinds}))
    same = request.parameters == other.parameters
    parameters = request.parameters if same else FrozenDict()
    return replace(request, kinds=asked, parameters=parameters)


def ids(requests: Iterable[ResyncRequested]) -> set[tuple[object, ...]]:
    """What tells requests apart: which they are, and what they ask for."""
    return {
        (each.id, None if each.kinds is None else frozenset(each.kinds), each.parameters)
        for each in requests
    }


@dataclass(frozen=True)
class Onlooker:
    """What was seen so far, as far as it matters for what may follow."""

    handlers: frozenset[str]
    settings: ResyncSettings
    kinds: Mapping[str, tuple[str, ...]] = field(default_factory=FrozenDict)  # of the handlers
    unsettled: Requests = ()  # accepted and not settled, in the order of arrival
    taken: Requests = ()  # those that the run in preparation or in flight is to cover
    ready: int | None = None  # the run whose config was asked for
    joined: bool = False  # ... and asked for again, for requests that came meanwhile
    run: int | None = None  # the run in flight
    latest: int = 0  # the number of the newest run that was prepared
    at_work: frozenset[str] = frozenset()  # handlers neither back nor fenced off
    aborting: str | None = None  # why the run in flight is to end
    failed: bool = False  # whether one of its handlers failed before it was to end
    fixable: bool = False  # whether a retry may fix one of these failures
    retry_after: float | None = None  # the longest that one of its handlers asked for
    warned: bool = False  # that it is left to finish
    fenced: bool = False  # its handlers did not end by themselves
    aborts: int = 0  # runs in a row that newer requests aborted and whose handlers made way
    dropped: frozenset[tuple[int, str]] = frozenset()  # handlers that may still make way
    tries: int = 0  # runs in a row that failed and were to be tried again
    wait: Wait | None = None  # what has to be over before the next run is prepared
    arrived: bool = False  # a request has, in this wait for the end of a burst
    pauses: int = 0  # such waits since a run was started
    put_off: bool = False  # as the config was out of date twice, since a run was started
    to_settle: str | None = None  # the outcome that has to be told next
    to_wait: float | None = None  # the backoff that has to be asked for next
    standby: bool = False
    paused: frozenset[str] = frozenset()  # by whom
    stopping: bool = False
    stopped: bool = False

    def saw(self, event: Input, outputs: tuple[Output, ...]) -> Onlooker:
        """Check one step; returns what is known after it. Raises AssertionError."""
        _answers(self, event, outputs)
        seen = _heard(self, event)
        for output in outputs:
            seen = _follow(seen, event, output)
        _complete(seen)
        return seen

    @property
    def pausing(self) -> bool:
        """What is waited for is the end of a burst."""
        return self.wait is not None and self.wait.kind is WaitKind.QUIET

    def policy(self, request: ResyncRequested) -> OnNewRequest:
        """What the request does to a run in flight: its own policy counts first."""
        own = request.policy
        return self.settings.on_new_request if own is None else OnNewRequest(own)

    @property
    def pending(self) -> Requests:
        """Unsettled, and not covered by the run in preparation or in flight."""
        taken = {request.id for request in self.taken}
        return tuple(request for request in self.unsettled if request.id not in taken)

    @property
    def held(self) -> bool:
        """No run may be started, and nothing is dropped."""
        return self.standby or bool(self.paused)


def _answers(before: Onlooker, event: Input, outputs: tuple[Output, ...]) -> None:
    """What the input itself calls for."""
    kinds = [type(output) for output in outputs]
    running = before.run is not None and before.aborting is None
    if before.stopped:
        late = isinstance(event, Request | HandlerDone)
        assert not outputs or late, "Clean stop: nothing more is done after it"
    match event:
        case Request(request) if before.stopping:
            assert outputs == (Refuse(request),), "Clean stop: no request is accepted any more"
        case Request(request):
            assert Refuse not in kinds, "Nothing lost: only a stop refuses a request"
            _policy(before, request, outputs)
        case HandlerDone(run, handler):
            if run == before.run and handler in before.at_work:
                assert DropLate not in kinds, "a result that came in time counts"
            else:
                assert outputs == (DropLate(run, handler),), "late results are dropped and counted"
        case TimeUp(run) if run == before.run and running:
            assert kinds == [AbortRun], "Time limit: a run past it is aborted"
        case GraceOver(run) if run == before.run and not running:
            assert kinds[:2] == [FenceOff, EndRun], "One at a time: who does not end is fenced off"
        case HandlerGone():
            assert outputs == (), "a thread that ends is only counted"
        case WaitOver() | ConfigReady() | Activate() | Resume():
            pass  # what follows is checked output by output
        case Abort() if running:
            assert kinds == [AbortRun], "Steering: the run in flight is aborted"
        case Pause(_, _, abort) if not before.stopping:
            if running and not abort:
                assert kinds == [], "Steering: a pause lets the run in flight finish"
            else:
                _withdrawn(before, kinds, running=running)
        case StandBy() if not before.standby and not before.stopped:
            _withdrawn(before, kinds, running=running)
        case Stop() if not before.stopping:
            _withdrawn(before, kinds, running=running)
            assert before.run is not None or kinds == [Stopped], "Clean stop: at once if idle"
        case _:
            assert outputs == (), "an input that came too late changes nothing"


def _policy(before: Onlooker, request: ResyncRequested, outputs: tuple[Output, ...]) -> None:
    """Policies, and No starvation."""
    policy = before.policy(request)
    kinds = [type(output) for output in outputs]
    retries = before.wait is not None and before.wait.kind is WaitKind.RETRY
    first = not before.pending or retries
    ignored = any(_ignores(output) for output in outputs)
    gathers = first and before.settings.debounce > 0 and not ignored
    if gathers:
        assert kinds[0] is Wait, "debounce: others have time to join the first request"
    free = before.wait is None or retries  # else the pending requests wait already
    pauses = AbortRun in kinds and policy is OnNewRequest.ABORT and not gathers and free
    if before.aborting is not None and before.pauses and policy is not OnNewRequest.DROP:
        more = before.pauses < machine.MOST_QUIET_WAITS and not before.held
        pauses = more and before.wait is None  # the burst goes on
    assert kinds.count(Wait) == gathers + pauses, "debounce: counts from the first request"
    if before.run is None or before.aborting is not None:
        assert AbortRun not in kinds, "a run is aborted once"
        assert not any(_ignores(output) for output in outputs), "ignored only while a run goes on"
        ends = before.run is not None and policy is OnNewRequest.DROP and not before.held
        assert (FenceOff in kinds) is ends, "drop: whoever is still ending is not waited for"
    elif policy is OnNewRequest.IGNORE:
        assert outputs == (Settle((request,), "ignored", None),), "ignore: answered, visibly"
    elif before.paused:
        assert set(kinds) <= {Wait}, "Steering: nobody aborts a run for one that may not start"
    elif policy is OnNewRequest.QUEUE:
        assert set(kinds) <= {Wait}, "queue: the run in flight is let alone"
    elif before.aborts >= before.settings.max_consecutive_aborts:
        assert set(kinds) <= {Wait, LetFinish}, "No starvation: this run is left to finish"
        assert (LetFinish in kinds) is not before.warned, "No starvation: one warning a run"
    elif policy is OnNewRequest.ABORT:
        assert AbortRun in kinds, "abort: the run in flight is asked to end"
        assert EndRun not in kinds, "abort: its end is waited for"
    else:
        at = kinds.index(AbortRun)
        assert kinds[at : at + 3] == [AbortRun, FenceOff, EndRun], "drop: nothing is waited for"


def _ignores(output: Output) -> bool:
    return isinstance(output, Settle) and output.outcome == "ignored"


def _withdrawn(before: Onlooker, kinds: list[type[Output]], *, running: bool) -> None:
    if running:
        assert kinds == [AbortRun], "Clean stop: the run in flight is aborted"
    elif before.run is not None:
        assert kinds == [], "a run is aborted once"


def _heard(before: Onlooker, event: Input) -> Onlooker:
    """The input alone."""
    match event:
        case Request(request):
            in_flight = before.run is not None and before.aborting is None
            ignored = in_flight and before.policy(request) is OnNewRequest.IGNORE
            if before.stopping or ignored:
                return before
            waits = newest((*before.pending, request))
            wait = before.wait
            if wait is not None and wait.kind is WaitKind.RETRY:
                wait = None  # a newer request comes first
            return replace(
                before,
                unsettled=(*before.taken, *waits), tries=0, wait=wait, arrived=before.pausing,
            )  # fmt: skip
        case ConfigReady(number) if (
            number == before.ready and before.pending and (before.joined or before.pauses)
        ):
            if not before.put_off and before.pauses < machine.MOST_QUIET_WAITS:  # newer ones
                return _pending_again(replace(before, ready=None, put_off=True))
        case HandlerDone(run, handler, failed, lasting, later) if (
            run == before.run and handler in before.at_work
        ):
            asked = [each for each in (before.retry_after, later) if each is not None]
            counts = failed and before.aborting is None
            return replace(
                before,
                at_work=before.at_work - {handler},
                failed=before.failed or counts,
                fixable=before.fixable or (counts and not lasting),
                retry_after=max(asked, default=None),
            )
        case HandlerGone(run, handler, began) if (run, handler) in before.dropped:
            if not began:  # it never had a chance to make way
                others = frozenset(each for each in before.dropped if each[0] != run)
                return replace(before, dropped=others)
            dropped = before.dropped - {(run, handler)}
            made_way = run not in {number for number, _ in dropped}
            return replace(before, dropped=dropped, aborts=before.aborts + made_way)
        case WaitOver(number) if before.wait is not None and before.wait.number == number:
            return replace(before, wait=None)
        case StandBy() if not before.standby:
            return _unprepared(replace(before, standby=True))
        case Activate() if before.standby:
            return replace(before, standby=False)
        case Pause(owner) if not before.stopping:
            return _unprepared(replace(before, paused=before.paused | {owner}))
        case Resume(owner) if owner in before.paused:
            return replace(before, paused=before.paused - {owner})
        case Stop() if not before.stopping:
            return _unprepared(replace(before, stopping=True))
    return before


def _unprepared(seen: Onlooker) -> Onlooker:
    return seen if seen.run is not None else _pending_again(replace(seen, ready=None))


def _pending_again(seen: Onlooker) -> Onlooker:
    return replace(seen, unsettled=newest(seen.unsettled), taken=())


def _follow(seen: Onlooker, event: Input, output: Output) -> Onlooker:
    """One output after the other; each has to be legal where it stands."""
    assert seen.to_settle is None or isinstance(output, Settle), "At least once: settle at the end"
    match output:
        case Wait(_, kind, seconds):
            if kind is WaitKind.RETRY:
                assert seconds == seen.to_wait, "Retry: after the backoff"
            elif kind is WaitKind.QUIET:
                return _pause(seen, event, output)
            else:
                assert seconds == seen.settings.debounce > 0, "debounce: its time"
            return replace(seen, wait=output, to_wait=None)
        case AskConfig(number):
            return _prepare(seen, number)
        case StartRun(number, requests, handlers):
            assert event == ConfigReady(number), "a run starts with the config it asked for"
            assert seen.ready == number, "every run is prepared"
            assert seen.run is None, "One at a time: no two runs overlap"
            assert not seen.at_work, "One at a time: every handler is back or fenced off"
            _active(seen)
            assert ids(requests) == ids(seen.taken), "Nothing lost: one run covers them all"
            assert len(set(requests)) == len(requests), "Nothing lost: each once"
            assert handlers == _wanted(seen), "Kinds: those who send what was asked for, no other"
            return replace(
                seen,
                ready=None, run=number, at_work=handlers,
                aborting=None, failed=False, fixable=False, retry_after=None, warned=False,
                fenced=False, pauses=0, put_off=False,
            )  # fmt: skip
        case AbortRun(number):
            return _abort(seen, event, number)
        case FenceOff(number, handlers, at_once):
            assert number == seen.run, "only a run in flight can be fenced off"
            assert seen.aborting is not None, "nobody is fenced off unasked"
            assert handlers == seen.at_work, "One at a time: all who do not end are fenced off"
            assert at_once is isinstance(event, Request), "at once for a request, else after grace"
            if at_once and seen.aborting == "preempted":
                hung = frozenset((number, handler) for handler in handlers)
                seen = replace(seen, dropped=seen.dropped | hung)
            return replace(seen, at_work=frozenset(), fenced=True)
        case EndRun(number, status):
            return _end(seen, number, status)
        case Settle(requests, "ignored", number):
            assert isinstance(event, Request), "ignored at once or never"
            assert number is None, "no run covers what is ignored"
            assert requests == (event.request,), "ignored for itself alone"
            return seen
        case Settle(requests, outcome, number):
            assert outcome == seen.to_settle, "At least once: only when the run has ended for good"
            assert number == seen.latest, "At least once: names the run that covered it"
            assert ids(requests) == ids(seen.taken), "At least once: what the run covered"
            return replace(seen, unsettled=seen.pending, taken=(), to_settle=None)
        case LetFinish(number, aborts):
            assert number == seen.run, "No starvation: of the run in flight"
            assert not seen.warned, "No starvation: one warning a run"
            assert aborts == seen.aborts, "No starvation: says how many made way"
            assert aborts >= seen.settings.max_consecutive_aborts, "No starvation: not before"
            return replace(seen, warned=True)
        case Stopped():
            assert seen.stopping, "Clean stop: as asked"
            assert not seen.stopped, "Clean stop: once"
            assert seen.run is None, "Clean stop: nothing is in flight"
            return replace(seen, stopped=True, ready=None)
        case Refuse() | DropLate():
            return seen
    raise AssertionError(output)


def _pause(seen: Onlooker, event: Input, wait: Wait) -> Onlooker:
    """A burst is covered by one run: it is waited for, but not for ever."""
    assert seen.wait is None, "one wait at a time"
    assert seen.pending, "a pause is for somebody"
    pauses = seen.pauses + 1
    assert pauses <= machine.MOST_QUIET_WAITS, "No starvation: not for ever"
    if isinstance(event, WaitOver):
        assert seen.arrived, "another pause only for another request"
    lone = isinstance(event, Request) and pauses == 1
    expected = machine.FIRST_QUIET_SECONDS if lone else machine.QUIET_SECONDS
    assert wait.seconds == expected, "a lone request waits for less than a burst"
    return replace(seen, wait=wait, arrived=False, pauses=pauses)


def _prepare(seen: Onlooker, number: int) -> Onlooker:
    assert seen.run is None, "One at a time: the next run is not prepared before"
    _active(seen)
    assert seen.unsettled, "a run is for somebody"
    if seen.ready is None:
        assert number > seen.latest, "every run has a number of its own"
        assert seen.wait is None, "debounce and backoff are waited for"
    else:
        assert number == seen.ready, "one run is prepared at a time"
        assert not seen.joined, "No starvation: the config is asked for twice at most"
        assert seen.pending, "the config is asked for again only for a reason"
    again = seen.ready is not None
    unsettled = newest(seen.unsettled)
    return replace(
        seen,
        ready=number,
        joined=again,
        latest=number,
        unsettled=unsettled,
        taken=unsettled,
        wait=None,
    )


def _wanted(seen: Onlooker) -> frozenset[str]:
    """The handlers that a run for the requests which are taken needs."""
    asked = reduce(lambda one, other: widened(other, one), seen.taken).kinds
    if asked is None:
        return seen.handlers
    return frozenset(
        name
        for name in seen.handlers
        if not seen.kinds.get(name) or set(seen.kinds[name]) & set(asked)
    )


def _active(seen: Onlooker) -> None:
    assert not seen.stopping, "Clean stop: nothing more is started"
    assert not seen.standby, "another instance runs the resyncs"
    assert not seen.paused, "Steering: a paused system runs nothing"


def _abort(seen: Onlooker, event: Input, number: int) -> Onlooker:
    assert number == seen.run, "Port's view: only a run in flight can be aborted"
    assert seen.aborting is None, "Port's view: a run is aborted once"
    match event:
        case TimeUp():
            return replace(seen, aborting="time", failed=True, fixable=True)
        case Stop() | StandBy() | Pause():
            return replace(seen, aborting="withdrawn", failed=False)
        case Abort():
            return replace(seen, aborting="cancelled", failed=False)
    policies = {seen.policy(request) for request in seen.pending}
    assert policies & {OnNewRequest.ABORT, OnNewRequest.DROP}, "Policies: nobody else aborts a run"
    limit = seen.settings.max_consecutive_aborts
    assert seen.aborts < limit, "No starvation: not one more in a row"
    return replace(seen, aborting="preempted", failed=False)


def _end(seen: Onlooker, number: int, status: str) -> Onlooker:
    assert number == seen.run, "Port's view: one end for each run, never out of order"
    assert not seen.at_work, "One at a time: a run ends when every handler is back or fenced off"
    expected = "completed" if seen.aborting is None else "aborted"
    expected = "failed" if seen.failed else expected
    assert status == expected, f"Port's view: {expected}, not {status}"
    made_way = seen.aborting == "preempted" and not seen.fenced
    ended = replace(seen, run=None, aborting=None)
    if seen.aborting == "cancelled":
        ended = replace(ended, aborts=0, dropped=frozenset(), tries=0)
        return replace(ended, to_settle="aborted")
    if status == "aborted":  # one that was fenced off protects nobody
        return _pending_again(replace(ended, aborts=seen.aborts + made_way))
    ended = replace(ended, aborts=0, dropped=frozenset())
    if status == "completed":
        return replace(ended, to_settle=status, tries=0)
    delay = _backoff(seen)
    if delay is None:
        return replace(ended, to_settle=status, tries=0)
    first = not (seen.pending or seen.stopping or seen.standby)
    return replace(_pending_again(ended), tries=seen.tries + 1, to_wait=delay if first else None)


def _backoff(seen: Onlooker) -> float | None:
    """Retry: after how many seconds the failed run has to be tried again, if at all."""
    retry = seen.settings.retry
    if seen.retry_after is not None:
        within = seen.tries < max(machine.MOST_RETRY_LATER, retry.attempts)
        return min(max(seen.retry_after, 0.1), 3600.0) if within else None
    tried_again = seen.fixable and seen.tries < retry.attempts
    return retry.backoff * 2**seen.tries if tried_again else None


def _complete(seen: Onlooker) -> None:
    """What has to hold whenever the machine waits for its next input."""
    assert seen.to_settle is None, "At least once: a run that ended for good settles its requests"
    assert seen.to_wait is None, "Retry: a failed run that nothing else follows is tried again"
    assert seen.run is None or seen.at_work, "a run without handlers at work is over"
    assert not (seen.stopping and seen.run is None) or seen.stopped, "Clean stop: and then stopped"
    if seen.unsettled and not (seen.held or seen.stopping):
        under_way = seen.run is not None or seen.ready is not None or seen.wait is not None
        assert under_way, "Nothing lost: something is under way for whoever waits"
