"""The actor around the state machine: it feeds it, and does what it says."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from ocean_actors.actors import (
    Actor,
    AtLimit,
    CancelToken,
    MailboxPolicy,
    Message,
    OnFailure,
    Ref,
    Supervision,
    Timer,
    handles,
)
from ocean_actors.messages import (
    ConfigFetched,
    ConfigSnapshot,
    ConfigUpdated,
    CoordinatorStopped,
    FetchConfig,
    GetStatus,
    HandlerFinished,
    HandlerProgressed,
    Outcome,
    Progress,
    Reception,
    RequestSettled,
    ResyncRequested,
    RoleChanged,
    RunEnded,
    RunInfo,
    RunProgressed,
    RunStarted,
    SetRole,
    Status,
    StopResyncs,
    Written,
)
from ocean_actors.resync import machine
from ocean_actors.resync.handlers import HandlerActor, HandlerFactory, StartResync
from ocean_actors.resync.load_stats import LoadStats
from ocean_actors.resync.run import ResyncAborted, ResyncRun, RunWriter
from ocean_actors.settings import OnNewRequest, ResyncSettings

logger = logging.getLogger(__name__)

REMEMBERED_RUNS = 20


@dataclass(frozen=True)
class Elapsed(Message):
    """A time that the state machine asked for is over; `event` is what it wants to hear."""

    event: machine.WaitOver | machine.TimeUp | machine.GraceOver


@dataclass
class Flight:
    """The run in flight, as the coordinator's own notes."""

    info: RunInfo
    token: CancelToken
    writer: RunWriter
    failures: list[str] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    progress: dict[str, Progress] = field(default_factory=dict)


class ResyncCoordinator(Actor):
    """Serializes resyncs. Every decision is `machine.step`'s; here they are carried out.

    A failure here is a bug of ours and ends the system: what runs and what is owed would be
    guesswork, while the next start recovers both from what the sources remember.
    """

    supervision: ClassVar[Supervision] = Supervision(OnFailure.ESCALATE)
    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(
        limit=10_000,
        at_limit={
            Message: AtLimit.ADMIT,  # the others are few by their nature
            ResyncRequested: AtLimit.REFUSE,
            HandlerProgressed: AtLimit.DROP_OLDEST,
        },
    )

    def __init__(
        self,
        handlers: Mapping[str, HandlerFactory],
        settings: ResyncSettings,
        integration: Ref,
        open_writer: Callable[[RunInfo, CancelToken], RunWriter],
        run_prefix: str,
        *,
        active: bool = True,
        strict_tls: bool = True,
    ) -> None:
        """Take the handlers by name, who answers `FetchConfig`, and what makes `run.port`.

        Unless `active`, it stands by until it is told `SetRole`. `strict_tls`: see
        `ssl.thirdParty.x509.strict`.
        """
        super().__init__()
        self._factories = handlers
        self._settings = settings
        self._integration = integration
        self._open_writer = open_writer
        self._run_prefix = run_prefix
        self._strict_tls = strict_tls
        self._state = machine.State(frozenset(handlers), settings, standby=not active)
        self._load = LoadStats()
        self._config: ConfigSnapshot | None = None
        self._pushed: ConfigSnapshot | None = None  # since the config was last asked for
        self._answers: datetime | None = None
        self._flight: Flight | None = None
        self._refs: dict[str, Ref] = {}
        self._ended: deque[dict[str, Any]] = deque(maxlen=REMEMBERED_RUNS)
        self._counts = {"requests": 0, "ignored": 0, "late": 0}

    def on_start(self) -> None:
        """Start the handler actors."""
        for name in self._factories:
            self._spawn_handler(name)

    def on_stop(self) -> None:
        """End the handlers' work; they are children and end with this actor."""
        if self._flight is not None:
            self._flight.token.cancel("the coordinator ended")

    def on_failure(self, *_: Any) -> None:
        """The same."""
        self.on_stop()

    # -- messages ----------------------------------------------------------------------------

    @handles(ResyncRequested)
    def on_request(self, request: ResyncRequested) -> Reception:
        """Take a request, and the config that an authentic one may carry."""
        self._counts["requests"] += 1
        self._load = self._load.requested(self.context.clock.monotonic())
        if isinstance(request, ConfigUpdated) and request.snapshot is not None:
            self._config = request.snapshot.newer(self._config)
            self._pushed = request.snapshot.newer(self._pushed)
        outputs = self._feed(machine.Request(request))
        if any(isinstance(output, machine.Refuse) for output in outputs):
            return "refused"
        ignored = machine.Settle((request,), "ignored") in outputs
        return "ignored" if ignored else "accepted"

    @handles(ConfigFetched)
    def on_config(self, message: ConfigFetched) -> None:
        """Go on with the run that waits for its config."""
        # What Port was asked for wins over older snapshots, even if Port's clock was set back.
        self._config = message.snapshot.newer(self._pushed if message.fresh else self._config)
        self._answers = message.answers
        self._feed(machine.ConfigReady(message.number))

    @handles(HandlerProgressed)
    def on_progress(self, message: HandlerProgressed) -> None:
        """Pass the progress of the present run on; that of a run that is over is late."""
        flight = self._flight
        if flight is None or flight.info.number != message.number:
            self._counts["late"] += 1
            return
        flight.progress[message.progress.handler] = message.progress
        self.context.publish(RunProgressed(flight.info, message.progress))

    @handles(HandlerFinished)
    def on_handler_finished(self, message: HandlerFinished) -> None:
        """A handler returned or raised, perhaps long after it was fenced off."""
        flight = self._flight
        current = flight is not None and flight.info.number == message.number
        if flight is not None and current and message.handler in self._state.working:
            flight.writer.handler_finished(message.handler, ok=message.failure is None)
            if message.failure is not None:
                flight.failures.append(message.failure)
        failed = message.failure is not None
        self._feed(
            machine.HandlerDone(message.number, message.handler, failed, message.retry_after)
        )

    @handles(Elapsed)
    def on_elapsed(self, message: Elapsed) -> None:
        """A debounce, a retry's backoff, a time limit or a grace is over."""
        self._feed(message.event)

    @handles(SetRole)
    def on_set_role(self, command: SetRole) -> None:
        """Run the resyncs, or stand by while another instance runs them."""
        if command.active == self._state.standby:
            self.context.publish(RoleChanged(command.active, command.lease))
            self._feed(machine.Resume() if command.active else machine.StandBy(command.source))

    @handles(StopResyncs)
    def on_stop_resyncs(self, _message: StopResyncs) -> None:
        """Abort the run in flight; `CoordinatorStopped` is published when all is over."""
        self._feed(machine.Stop())

    @handles(GetStatus)
    def status(self, _message: GetStatus) -> dict[str, Any]:
        """What runs, what waits, what ran: plain data."""
        flight = self._flight
        return {
            "state": "standby" if self._state.standby else self._state.phase.value,
            "pending": [request.trigger for request in self._state.pending],
            "run": None if flight is None else {
                **_run_data(flight.info),
                "handlers": sorted(self._state.working),
                "progress": {
                    name: {"done": item.done, "total": item.total, "message": item.message}
                    for name, item in flight.progress.items()
                },
            },
            "runs": list(self._ended),
            "kinds": {
                name: list(getattr(factory, "kinds", ()))
                for name, factory in self._factories.items()
            },
            **self._counts,
        }  # fmt: skip

    # -- outputs -----------------------------------------------------------------------------

    def _feed(self, event: machine.Input) -> tuple[machine.Output, ...]:
        self._state, outputs = machine.step(self._state, event)
        for output in outputs:
            self._carry_out(output)
        return outputs

    def _carry_out(self, output: machine.Output) -> None:
        match output:
            case machine.Wait(number, seconds, retry):
                if retry:
                    logger.info("the failed run is tried again in %g s", seconds)
                self.context.schedule(seconds, Elapsed(machine.WaitOver(number)))
            case machine.AskConfig(number):
                self._pushed = None
                self._integration.tell(FetchConfig(number, self.context.ref))
            case machine.StartRun(number, requests):
                self._start_run(number, requests)
            case machine.AbortRun(number, reason):
                self._abort_run(number, reason)
            case machine.FenceOff(number, names):
                self._fence_off(number, names)
            case machine.EndRun(_, status):
                self._end_run(status)
            case machine.Settle(requests, outcome):
                self._settle(requests, outcome)
            case machine.LetFinish(_, aborts):
                logger.warning(
                    "%d runs in a row were aborted by newer requests: this one is left to finish. "
                    "%s. Request less often (eventListener.interval, scheduledResyncInterval), "
                    "or set resync.onNewRequest: queue, or resync.debounce", aborts, self._load,
                )  # fmt: skip
            case machine.DropLate(number, name):
                self._counts["late"] += 1
                logger.info("dropped the late result of handler %s in run %d", name, number)
            case machine.Stopped():
                self.context.publish(CoordinatorStopped())
            case machine.Refuse(request):
                logger.info(
                    "stopping: the request of %s is left for the next start", request.trigger
                )

    def _start_run(self, number: int, requests: machine.Requests) -> None:
        assert self._config is not None  # noqa: S101  (a run is prepared by ConfigFetched)
        newest = requests[-1]
        info = RunInfo(
            id=f"{self._run_prefix}-{number}",
            number=number,
            trigger=newest.trigger,
            reason=newest.reason,
            requested_at=newest.requested_at,
            started_at=self.context.clock.now(),
            config=self._config.config,
            answers=self._answers,
        )
        token = CancelToken(ResyncAborted)
        writer = self._open_writer(info, token)
        self._flight = Flight(info, token, writer)
        logger.info("run %s starts: %s (%s)", info.id, info.reason, info.trigger)
        self.context.publish(RunStarted(info))
        if self._settings.timeout is not None:
            self._limit_flight(self._settings.timeout, machine.TimeUp(number))
        coordinator = self.context.ref

        def report(progress: Progress) -> None:
            coordinator.tell(HandlerProgressed(number, progress))

        for name, ref in self._refs.items():
            port = writer.for_handler(name)
            run = ResyncRun(
                info, name, token, self.context.clock, port, report, strict_tls=self._strict_tls
            )
            ref.tell(StartResync(run))

    def _abort_run(self, number: int, reason: str) -> None:
        flight = self._require_flight()
        logger.info("run %s is aborted: %s", flight.info.id, reason)
        self._limit_flight(self._settings.abort_grace, machine.GraceOver(number))
        flight.failures.append(reason)
        flight.token.cancel(reason)

    def _fence_off(self, number: int, names: frozenset[str]) -> None:
        flight = self._require_flight()
        dropped = self._settings.on_new_request is OnNewRequest.DROP and not self._state.stopping
        for name in sorted(names):
            if dropped:
                logger.info("handler %s is fenced off from run %d", name, number)
            else:
                logger.warning("handler %s does not end run %d: it is fenced off", name, number)
            flight.failures.append(f"{name}: was still at work when it was fenced off")
            self.context.abandon(self._refs[name])
            self._spawn_handler(name)

    def _end_run(self, status: Status) -> None:
        flight = self._require_flight()
        # The machine's clock may have been set back meanwhile.
        ended_at = max(self.context.clock.now(), flight.info.started_at)
        written = flight.writer.written()
        event = RunEnded(flight.info, status, ended_at, tuple(flight.failures), written)
        seconds = (ended_at - flight.info.started_at).total_seconds()
        self._flight = None
        for timer in flight.timers:
            timer.cancel()
        self._load = self._load.ran(seconds)
        flight.writer.close()
        logger.info("run %s %s after %.1f s%s", flight.info.id, status, seconds, _told(written))
        self._ended.append(ended_data(event))
        self.context.publish(event)

    def _settle(self, requests: machine.Requests, outcome: Outcome) -> None:
        run_id = None if outcome == "ignored" else self._ended[-1]["id"]
        for request in requests:
            if outcome == "ignored":
                self._counts["ignored"] += 1
                logger.info("ignored the request of %s: a run is in flight", request.trigger)
            settled = RequestSettled(request, outcome, run_id)
            if request.reply_to is not None:
                request.reply_to.tell(settled)
            self.context.publish(settled)

    def _limit_flight(self, seconds: float, event: machine.TimeUp | machine.GraceOver) -> None:
        self._require_flight().timers.append(self.context.schedule(seconds, Elapsed(event)))

    def _spawn_handler(self, name: str) -> None:
        self._refs[name] = self.context.spawn(
            HandlerActor, name, self._factories[name], self.context.ref, name=f"handler-{name}"
        )

    def _require_flight(self) -> Flight:
        assert self._flight is not None  # noqa: S101  (the machine speaks of a run it started)
        return self._flight


def _told(written: Written) -> str:
    """What a run wrote, for the log; nothing if it wrote nothing."""
    counts = (
        (written.upserted, "entities sent"), (written.failed, "refused"),
        (written.deleted, "deleted"),
    )  # fmt: skip
    told = ", ".join(f"{count} {what}" for count, what in counts if count)
    return told and f": {told}"


def _run_data(info: RunInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "trigger": info.trigger,
        "reason": info.reason,
        "requestedAt": info.requested_at.isoformat(),
        "startedAt": info.started_at.isoformat(),
    }


def ended_data(event: RunEnded) -> dict[str, Any]:
    """A run that ended, as plain data: times in ISO 8601, `seconds` between start and end."""
    return {
        **_run_data(event.run),
        "status": event.status,
        "seconds": (event.ended_at - event.run.started_at).total_seconds(),
        "entities": event.written.upserted,
        "failedEntities": event.written.failed,
        "deletedEntities": event.written.deleted,
        "failures": list(event.failures),
    }
