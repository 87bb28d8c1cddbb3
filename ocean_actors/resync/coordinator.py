"""The actor around the state machine: it feeds the inputs and carries out the outputs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pykka

from ocean_actors.actors import (
    Actor,
    AtLimit,
    CancelToken,
    MailboxFull,
    MailboxPolicy,
    Message,
    OnFailure,
    Ref,
    Supervision,
    Terminated,
    handles,
)
from ocean_actors.frozen import FrozenDict
from ocean_actors.log import current_context, get_logger, set_context
from ocean_actors.messages import (
    ConfigSnapshot,
    ConfigUpdated,
    CoordinatorStopped,
    HandlerEnded,
    Outcome,
    PortRequest,
    Progress,
    Reception,
    RequestSettled,
    ResyncRequested,
    ResyncsPaused,
    ResyncsResumed,
    RetryScheduled,
    RoleChanged,
    RunEnded,
    RunInfo,
    RunProgressed,
    RunStarted,
    Status,
)
from ocean_actors.pauses import SharedPauses
from ocean_actors.rate_limit import RateLimiter, WaitTally
from ocean_actors.resync import machine
from ocean_actors.resync.admission import Admit
from ocean_actors.resync.commands import (
    AbortResync,
    ConfigFetched,
    FetchConfig,
    GetStatus,
    GetUnsettled,
    PauseResyncs,
    ResumeResyncs,
    SetRole,
    StopResyncs,
)
from ocean_actors.resync.flight import LONGEST_LINE, Flight, written_text
from ocean_actors.resync.generation import ConfigGeneration
from ocean_actors.resync.handler_actor import (
    HandlerActor,
    HandlerFinished,
    HandlerProgressed,
    StartResync,
)
from ocean_actors.resync.handlers import HandlerSpec
from ocean_actors.resync.history import History, request_data
from ocean_actors.resync.run import ResyncAborted, ResyncRun, RunWriter, Sharding
from ocean_actors.resync.scope import all_kinds, scope_of
from ocean_actors.resync.totals import (
    GetMetrics,
    ResyncMetrics,
    progress_ratios,
    shard_counts,
    shard_entities,
)
from ocean_actors.resync.traces import EndTrace, trace_of
from ocean_actors.settings import Settings
from ocean_actors.text import one_line
from ocean_actors.throttle import Throttle

logger = get_logger(__name__)

PROGRESS_LOG_SECONDS = 30.0


@dataclass(frozen=True)
class Elapsed(Message):
    """To itself: a time that the state machine asked for has passed; feed it `event`."""

    event: machine.WaitOver | machine.TimeUp | machine.GraceOver


@dataclass(frozen=True)
class LogProgress(Message):
    """To itself: log how far the handlers of run `number` are."""

    number: int


class ResyncCoordinator(Actor):
    """Serializes resyncs: `machine.step` decides, and this actor carries the decisions out.

    A failure of this actor is a bug of ours and ends the system, as nothing could be said about
    what runs and what is owed. The next start recovers both from what the sources remember.
    """

    supervision: ClassVar[Supervision] = Supervision(OnFailure.ESCALATE)
    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(
        limit=10_000,
        at_limit={
            Message: AtLimit.ADMIT,  # there are few of the others
            ResyncRequested: AtLimit.REFUSE,
            HandlerProgressed: AtLimit.DROP_OLDEST,
        },
    )

    def __init__(
        self,
        handlers: Mapping[str, HandlerSpec],
        settings: Settings,
        integration: Ref,
        reporter: Ref | None,
        open_writer: Callable[[RunInfo, CancelToken], RunWriter],
        run_prefix: str,
        *,
        active: bool = True,
        sync_metrics: Ref | None = None,
        traces: Ref | None = None,
        generation: ConfigGeneration | None = None,
        sharding: Sharding | None = None,
    ) -> None:
        """Prepare; the handlers start with the actor.

        `integration` answers `FetchConfig`, `reporter` is told `RunStarted`, `RunEnded` and
        `RoleChanged` (None: nobody reports), `open_writer` makes the source of each handler's
        `run.port`. The id of a run is `run_prefix`, a hyphen and its number. Unless `active`, the
        coordinator stands by until it is told `SetRole`. `sync_metrics` is told `RunStarted`,
        `HandlerEnded` and `RunEnded`. `generation` is advanced whenever a run's config is asked
        for. `traces` ends the spans of runs; without it nothing is traced. `sharding` has workers
        do the shards of a `ShardedHandler`.
        """
        super().__init__()
        self._generation = generation or ConfigGeneration()
        self._handlers = handlers
        self._all_settings = settings
        self._settings = settings.resync
        self._integration = integration
        self._reporter = reporter
        self._sync_metrics = sync_metrics
        self._traces = traces
        self._sharding = sharding
        self._open_writer = open_writer
        self._run_prefix = run_prefix
        kinds = FrozenDict({name: spec.kinds for name, spec in handlers.items()})
        self._all_kinds = all_kinds(kinds)
        self._state = machine.State(frozenset(handlers), settings.resync, kinds, standby=not active)
        self._pauses: dict[str, ResyncsPaused] = {}  # by owner
        self._waiting = 0  # requests that no run is prepared for
        self._covered = 0  # requests of the run that is prepared or in flight
        self._history = History()
        self._config: ConfigSnapshot | None = None
        self._pushed: ConfigSnapshot | None = None  # since the config was last asked for
        self._answers: PortRequest | None = None
        self._flight: Flight | None = None
        self._stopped: pykka.Future[None] | None = None  # set once nothing is in flight
        self._refs: dict[str, Ref] = {}
        self._waits = {name: WaitTally() for name in handlers}
        self._fenced: dict[Ref, ResyncRun] = {}  # whose threads have not ended, and their part

    def on_start(self) -> None:
        """Start the handlers' actors."""
        self._ignored_log = Throttle(self.context.clock)
        self._refused_log = Throttle(self.context.clock)
        self.context.show(standby=self._state.standby)
        self.context.publish(RoleChanged(active=not self._state.standby))
        for name in self._handlers:
            self._spawn_handler(name)

    def on_stop(self) -> None:
        """Abort the handlers' work; their actors are children and end with this one."""
        if self._flight is not None:
            self._flight.token.cancel("the coordinator ended")

    def on_failure(self, *_: Any) -> None:
        """Abort the handlers' work."""
        self.on_stop()

    # -- messages ----------------------------------------------------------------------------

    @handles(ResyncRequested)
    def on_request(self, request: ResyncRequested) -> Reception:
        """Take a request, and the config that an authentic one may carry."""
        moment = self.context.clock.monotonic()
        self._history = self._history.with_request(request.trigger, moment)
        if isinstance(request, ConfigUpdated) and request.snapshot is not None:
            self._config = request.snapshot.newer(self._config)
            self._pushed = request.snapshot.newer(self._pushed)
        self._waiting += 1
        outputs = self._feed(machine.Request(request))
        if machine.Refuse(request) in outputs:
            self._waiting -= 1
            return "refused"
        if machine.Settle((request,), "ignored", None) in outputs:
            self._waiting -= 1
            return "ignored"
        return "accepted"

    @handles(Admit)
    def on_admit(self, admitted: Admit) -> None:
        """Take a request that custom actors decided about."""
        request, ignore = admitted.request, admitted.ignore
        if ignore is None or self._state.stopping:
            reception = self.on_request(request)
        else:
            now = self.context.clock.monotonic()
            self._history = self._history.with_request(request.trigger, now)
            self._log_throttled(
                self._ignored_log,
                "ignored the request of %s%s",
                f"{request.trigger}: {ignore.reason}",
            )
            self._tell_all_settled((request,), "ignored", None)
            reception = "ignored"
        if admitted.reply is not None:
            admitted.reply.set(reception)

    @handles(ConfigFetched)
    def on_config_fetched(self, event: ConfigFetched) -> None:
        """Go on with the run that waits for its config."""
        # What Port was asked for wins over older snapshots, even if Port's clock was set back.
        self._config = event.snapshot.newer(self._pushed if event.fresh else self._config)
        self._answers = event.answers
        self._feed(machine.ConfigReady(event.number))

    @handles(HandlerProgressed)
    def on_handler_progressed(self, event: HandlerProgressed) -> None:
        """Publish the progress of the present run; count that of a run that is over as late."""
        flight = self._flight
        if flight is None or flight.info.number != event.number:
            self._history = self._history.with_late()
            return
        flight.note(event.progress, self.context.clock.monotonic())
        self.context.publish(RunProgressed(flight.info, event.progress))

    @handles(HandlerFinished)
    def on_handler_finished(self, event: HandlerFinished) -> None:
        """A handler returned or raised, perhaps long after it was fenced off."""
        flight, failure = self._flight, event.failure
        current = flight is not None and flight.info.number == event.number
        if flight is not None and current and event.handler in self._state.present.working:
            aborting = self._state.phase is machine.Phase.ABORTING
            if failure is None and flight.token.cancelled and not aborting:
                reason = one_line(flight.token.reason)
                failure = f"{event.handler}: a handler cancelled the run's token: {reason}"
            flight.writer.handler_finished(event.handler, ok=failure is None)
            if failure is not None:
                flight.failures.append(failure)
            status: Status = "completed" if failure is None else "failed"
            self._announce_handler_ended(flight, event.handler, "aborted" if aborting else status)
        self._feed(
            machine.HandlerDone(
                event.number, event.handler, failure is not None, event.lasting, event.retry_after
            )
        )

    @handles(Terminated)
    def on_terminated(self, event: Terminated) -> None:
        """A handler's actor has ended: expected of one that was fenced off, else an incident."""
        fenced = self._fenced.pop(event.ref, None)
        if fenced is not None:
            gone = machine.HandlerGone(fenced.info.number, fenced.handler, fenced.begun)
            self._feed(gone)
            return
        name = next((name for name, ref in self._refs.items() if ref == event.ref), None)
        if name is None or self.context.stopping.is_set():
            return
        cause = event.failure or "its thread ended"
        logger.error("the actor of handler %s died and is replaced: %s", name, cause)
        self._spawn_handler(name)
        number = self._state.present.number
        if name in self._state.present.working:
            failure = f"{name}: its actor died: {cause}"
            self.on_handler_finished(HandlerFinished(number, name, failure))

    @handles(Elapsed)
    def on_elapsed(self, message: Elapsed) -> None:
        """A wait, a time limit or a grace is over."""
        self._feed(message.event)

    @handles(LogProgress)
    def on_log_progress(self, message: LogProgress) -> None:
        """Log how far each handler of the run in flight is."""
        flight = self._flight
        if flight is None or flight.info.number != message.number:
            return
        aborting = self._state.phase is machine.Phase.ABORTING
        logger.info(
            "run %s %s for %.0f s: %s",
            flight.info.id, "was aborted and has run" if aborting else "has run",
            flight.seconds(self.context.clock.now()),
            flight.progress_text(self._state.present.working),
        )  # fmt: skip

    @handles(SetRole)
    def on_set_role(self, command: SetRole) -> None:
        """Run the resyncs, or stand by while another instance runs them."""
        if command.active == self._state.standby:
            self._announce(RoleChanged(command.active, command.lease))
            self._feed(machine.Activate() if command.active else machine.StandBy(command.sources))
            self.context.show(standby=self._state.standby)  # for probes, which ask nobody
            if not self._state.pending and not self._state.present.covered:
                self._waiting = self._covered = 0  # the other instance is given them

    @handles(AbortResync)
    def on_abort(self, command: AbortResync) -> bool:
        """Abort the run in flight and settle its requests; returns whether there was one."""
        outputs = self._feed(machine.Abort(command.reason))
        return any(isinstance(output, machine.AbortRun) for output in outputs)

    @handles(PauseResyncs)
    def on_pause(self, command: PauseResyncs) -> None:
        """Start no run until the owner resumes."""
        if self._state.stopping:
            return
        owner = command.owner
        known = self._pauses.get(owner)
        since = self.context.clock.now() if known is None else known.since
        self._pauses[owner] = paused = ResyncsPaused(owner, command.reason, since)
        if known is None:
            logger.info(
                "resyncs are paused by %s: %s; requests wait; the pause ends with the process",
                owner, command.reason,
            )  # fmt: skip
            self.context.publish(paused)
        self._feed(machine.Pause(owner, command.reason, command.abort))

    @handles(ResumeResyncs)
    def on_resume(self, command: ResumeResyncs) -> None:
        """Lift the owner's pause."""
        owner = command.owner
        if self._pauses.pop(owner, None) is None:
            logger.info("%s resumed resyncs, but had not paused them", owner)
            return
        others = ", ".join(sorted(self._pauses))
        logger.info(
            "the pause by %s is lifted: %s; %s",
            owner, command.reason,
            f"still paused by {one_line(others, LONGEST_LINE)}" if others else "resyncs go on",
        )  # fmt: skip
        self.context.publish(ResyncsResumed(owner, command.reason, paused=bool(others)))
        self._feed(machine.Resume(owner))

    @handles(StopResyncs)
    def on_stop_resyncs(self, command: StopResyncs) -> None:
        """Abort the run in flight and take no more requests."""
        self._stopped = command.stopped
        self._feed(machine.Stop())

    @handles(GetUnsettled)
    def on_get_unsettled(self, query: GetUnsettled) -> tuple[ResyncRequested, ...]:
        """Returns the requests of one trigger that no run has settled."""
        unsettled = (*self._state.present.covered, *self._state.pending)
        return tuple(request for request in unsettled if request.trigger == query.trigger)

    @handles(GetStatus)
    def on_get_status(self, _query: GetStatus) -> dict[str, object]:
        """Returns what runs, what is pending and what ran, as plain data."""
        state, flight, clock = self._state, self._flight, self.context.clock
        run = None
        if flight is not None:
            run = flight.as_data(clock.now(), clock.monotonic(), state.present.working)
        return {
            "state": self._shown_state(),
            "pauses": [
                {"owner": each.owner, "reason": each.reason, "since": each.since.isoformat()}
                for each in self._pauses.values()
            ],
            "pending": [request_data(request) for request in state.pending],
            "run": run,
            "kinds": {name: list(handler.kinds) for name, handler in self._handlers.items()},
            **self._history.as_data(),
        }

    def _shown_state(self) -> str:
        if self._state.standby:
            return "standby"
        paused = self._state.pauses and self._state.phase is machine.Phase.IDLE
        return "paused" if paused else self._state.phase.value

    @handles(GetMetrics)
    def on_get_metrics(self, _query: GetMetrics) -> ResyncMetrics:
        """Returns what was counted so far, and how far the run in flight is."""
        state, flight, now = self._state, self._flight, self.context.clock.monotonic()
        measured = ResyncMetrics(
            active=not state.standby,
            totals=self._history.totals,
            waiting=tuple(each.trigger for each in (*state.pending, *state.present.covered)),
            waited={name: each.seconds(now) for name, each in self._waits.items()},
        )
        if flight is None:
            return measured
        return replace(
            measured,
            written=flight.writer.written(),
            progress=progress_ratios(flight.info.handlers, state.present.working, flight.progress),
            shards=shard_counts(flight.progress),
            shard_entities=shard_entities(flight.progress),
        )

    # -- outputs -----------------------------------------------------------------------------

    def _feed(self, event: machine.Input) -> tuple[machine.Output, ...]:
        self._state, outputs = machine.step(self._state, event)
        for output in outputs:
            self._carry_out(output)
        return outputs

    def _carry_out(self, output: machine.Output) -> None:
        match output:
            case machine.Wait(number, kind, seconds):
                if kind is machine.WaitKind.RETRY:
                    failed = self._run_id(self._state.present.number)
                    logger.info("run %s is retried in %g s", failed, seconds)
                    self.context.publish(RetryScheduled(failed, seconds, self._state.attempts))
                self.context.schedule(seconds, Elapsed(machine.WaitOver(number)))
            case machine.AskConfig(number):
                self._covered, self._waiting = self._covered + self._waiting, 0
                self._generation.advance()  # before: later requests may need another run
                self._pushed = None
                self._integration.tell(FetchConfig(number, self.context.ref, self._run_id(number)))
            case machine.StartRun(number, requests, handlers):
                self._start_run(number, requests, handlers)
            case machine.AbortRun(number, reason):
                self._abort_run(number, reason)
            case machine.FenceOff(_, names, dropped):
                self._fence_off(names, dropped=dropped)
            case machine.EndRun(_, status):
                self._end_run(status)
            case machine.Settle(requests, outcome, number):
                self._settle(requests, outcome, None if number is None else self._run_id(number))
            case machine.LetFinish(number, aborts):
                logger.warning(
                    "%d runs in a row were aborted by newer requests: run %s is left to finish, "
                    "and newer requests wait for its end. %s. Request less often "
                    "(eventListener.interval, scheduledResyncInterval), or set "
                    "resync.onNewRequest: queue, or resync.debounce; resync.timeout limits a run",
                    aborts, self._run_id(number), self._history.load,
                )  # fmt: skip
            case machine.DropLate(number, name):
                self._history = self._history.with_late()
                logger.info(
                    "handler %s finished its part of run %s too late; its result is dropped",
                    name, self._run_id(number),
                )  # fmt: skip
            case machine.Stopped():
                self.context.publish(CoordinatorStopped())
                if self._stopped is not None:
                    self._stopped.set(None)
            case machine.Refuse(request):
                self._history = self._history.with_settled(request.trigger, "refused")
                self._log_throttled(
                    self._refused_log,
                    "the system is stopping: the next start serves the request of %s%s",
                    request.trigger,
                )

    def _start_run(self, number: int, requests: machine.Requests, handlers: frozenset[str]) -> None:
        assert self._config is not None  # noqa: S101  (ConfigFetched comes before StartRun)
        newest = requests[-1]
        scope = scope_of(requests)
        kinds = tuple(k for k in self._all_kinds if scope.kinds is None or k in scope.kinds)
        partial = kinds != self._all_kinds or bool(scope.parameters)
        info = RunInfo(
            id=self._run_id(number),
            number=number,
            trigger=newest.trigger,
            reason=newest.reason,
            requested_at=newest.requested_at,
            started_at=self.context.clock.now(),
            config=self._config.config,
            answers=self._answers,
            kinds=kinds,
            parameters=scope.parameters,
            handlers=tuple(name for name in self._handlers if name in handlers),
            partial=partial,
            covered=self._covered,
        )
        token = CancelToken(ResyncAborted)
        writer = self._open_writer(info, token)
        self._flight = flight = Flight(info, token, writer)
        set_context(replace(current_context(), run=info.id, trigger=info.trigger))
        flight.trace = None if self._traces is None else trace_of(info)
        logger.info(
            "run %s starts: %s (requested by %s)%s",
            info.id, info.reason, info.trigger, flight.scope_text(self._all_kinds),
        )  # fmt: skip
        started = RunStarted(info)
        self.context.publish(started)
        if self._settings.timeout is not None:
            self._limit_flight(self._settings.timeout, machine.TimeUp(number))
        flight.timers.append(self.context.schedule_every(PROGRESS_LOG_SECONDS, LogProgress(number)))
        coordinator = self.context.ref
        limiter, pauses = RateLimiter(self.context.clock), SharedPauses()

        def report(progress: Progress) -> None:
            coordinator.tell(HandlerProgressed(number, progress))

        for name in info.handlers:
            ref = self._refs[name]
            port = writer.for_handler(name)
            run = ResyncRun(
                info, name, token, self.context.clock, port, report, self._all_settings,
                trace=flight.trace, limiter=limiter, pauses=pauses, waits=self._waits[name],
                sharding=self._sharding,
            )  # fmt: skip
            flight.parts[name] = run
            ref.tell(StartResync(run))
        self._report(started)  # last: handlers need not wait while requests to Port are prepared

    def _abort_run(self, number: int, reason: str) -> None:
        flight = self._require_flight()
        grace = self._settings.abort_grace
        logger.info(
            "run %s is aborted: %s; its handlers have %g s to return", flight.info.id, reason, grace
        )
        self._limit_flight(grace, machine.GraceOver(number))
        flight.failures.append(reason)
        flight.token.cancel(reason)

    def _fence_off(self, names: frozenset[str], *, dropped: bool) -> None:
        flight = self._require_flight()
        for name in sorted(names):
            if dropped:
                logger.info("handler %s is fenced off: run %s was dropped", name, flight.info.id)
            else:
                logger.warning(
                    "handler %s did not stop within abortGrace (%g s); run %s goes on without it",
                    name, self._settings.abort_grace, flight.info.id,
                )  # fmt: skip
            flight.failures.append(f"{name}: was still at work when it was fenced off")
            self._announce_handler_ended(flight, name, "aborted")
            fenced = self._refs[name]
            self._fenced[fenced] = flight.parts[name]
            self.context.abandon(fenced)
            flight.parts[name].fenced.cancel("the handler was fenced off")
            self.context.watch(fenced)
            self._spawn_handler(name)

    def _end_run(self, status: Status) -> None:
        flight = self._require_flight()
        ended_at = flight.not_before_start(self.context.clock.now())
        written = flight.writer.written()
        event = RunEnded(flight.info, status, ended_at, tuple(flight.failures), written)
        self._flight = None
        for timer in flight.timers:
            timer.cancel()
        self._history = self._history.with_run(event)
        flight.writer.close()
        reasons = one_line("; ".join(flight.failures), LONGEST_LINE)
        logger.log(
            logging.WARNING if status == "failed" else logging.INFO,
            "run %s %s after %.1f s%s%s",
            flight.info.id, status, flight.seconds(ended_at), written_text(written),
            f": {reasons}" if status == "failed" and reasons else "",
        )  # fmt: skip
        self._announce(event)
        for name in flight.info.handlers:  # those that were replaced meanwhile ignore it
            self._refs[name].tell(event)
        set_context(replace(current_context(), run=None, trigger=None))
        if self._traces is not None and flight.trace is not None:
            self._traces.tell(EndTrace(flight.trace, event))

    def _settle(self, requests: machine.Requests, outcome: Outcome, run_id: str | None) -> None:
        if outcome == "ignored":
            run = self._run_id(self._state.present.number)  # the one in flight
            for request in requests:
                self._log_throttled(
                    self._ignored_log, "ignored the request of %s: it gets no run of its own%s",
                    f"{request.trigger}, as run {run} is in flight",
                )  # fmt: skip
        else:
            self._history = self._history.with_covered(self._covered)
            self._covered = 0
        self._tell_all_settled(requests, outcome, run_id)

    def _tell_all_settled(
        self, requests: machine.Requests, outcome: Outcome, run_id: str | None
    ) -> None:
        for request in requests:
            self._history = self._history.with_settled(request.trigger, outcome)
            if outcome == "ignored":
                self._history = self._history.with_ignored()
            settled = RequestSettled(request, outcome, run_id)
            if request.reply_to is not None:
                self._tell_settled(request.reply_to, settled)
            self.context.publish(settled)

    def _tell_settled(self, listener: Ref, settled: RequestSettled) -> None:
        try:
            listener.tell(settled)
        except MailboxFull as error:  # a custom actor's limit must not end this actor
            self._log_throttled(
                self._refused_log, "%s was not told that its request was settled%s", one_line(error)
            )

    def _announce(self, event: RunStarted | RunEnded | RoleChanged) -> None:
        """Tell those who report to Port, and publish the event.

        In this order, so that whoever stops the system when a run has ended does not overtake the
        report.
        """
        self._report(event)
        self.context.publish(event)

    def _report(self, event: RunStarted | RunEnded | RoleChanged) -> None:
        """Tell the actors that report to Port; they take these events from nobody else."""
        if self._reporter is not None:
            self._reporter.tell(event)
        if self._sync_metrics is not None and not isinstance(event, RoleChanged):
            self._sync_metrics.tell(event)

    def _announce_handler_ended(self, flight: Flight, name: str, status: Status) -> None:
        ended_at = flight.not_before_start(self.context.clock.now())
        written = flight.writer.written_by(name)
        event = HandlerEnded(flight.info, name, status, ended_at, written)
        if self._sync_metrics is not None:
            self._sync_metrics.tell(event)
        self.context.publish(event)

    def _log_throttled(self, throttle: Throttle, text: str, subject: str) -> None:
        admission = throttle.admit()
        if admission.admitted:
            logger.info(text, subject, admission.more)

    def _limit_flight(self, seconds: float, event: machine.TimeUp | machine.GraceOver) -> None:
        self._require_flight().timers.append(self.context.schedule(seconds, Elapsed(event)))

    def _spawn_handler(self, name: str) -> None:
        build = self._handlers[name].build
        ref = self.context.spawn(
            HandlerActor, name, build, self.context.ref, name=f"handler-{name}"
        )
        self._refs[name] = ref
        self.context.watch(ref)

    def _run_id(self, number: int) -> str:
        return f"{self._run_prefix}-{number}"

    def _require_flight(self) -> Flight:
        assert self._flight is not None  # noqa: S101  (the machine names only a run it started)
        return self._flight
