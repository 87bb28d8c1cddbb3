"""The actor of one path: it queues calls, hands them to workers, and decides what failures mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pykka

from ocean_actors.actors import (
    Actor,
    CancelToken,
    Message,
    Ref,
    Terminated,
    Timer,
    handles,
)
from ocean_actors.live.call import LiveCall
from ocean_actors.live.commands import (
    AttemptDue,
    AttemptGraceOver,
    AttemptTimeUp,
    DrainEvents,
    DrainOver,
    LookAgain,
)
from ocean_actors.live.flood import Flood
from ocean_actors.live.intake import CallsArrived, LiveIntake
from ocean_actors.live.queue import GiveUp, LiveQueue, QueuedEvent, QueueLimits
from ocean_actors.live.router_log import RouterLog
from ocean_actors.live.worker import (
    CallHandled,
    Failure,
    HandleCall,
    LiveServices,
    LiveWorker,
)
from ocean_actors.messages import IntegrationRegistered, LiveEventFailed, RoleChanged, RunStarted
from ocean_actors.text import one_line

GRACE_SECONDS = 5.0
"""For an attempt to end once its time is over."""

DRAIN_SECONDS = 0.7
"""For events that wait when the system stops; less than what the system waits for."""

LOOK_SECONDS = 0.01
"""Between two looks at what has arrived, during a flood."""

MOST_HUNG = 8
"""Threads of one path that may hang: then no event of it is started until one of them ends."""

SHORTEST_RETRY, LONGEST_RETRY = 0.1, 3600.0
"""Seconds within which a handler may ask to be called again."""


@dataclass
class Slot:
    """A worker, and the event that it handles; None if it is idle."""

    number: int
    worker: Ref
    token: CancelToken
    event: QueuedEvent[LiveCall] | None = None
    timer: Timer | None = None


class LiveRouter(Actor):
    """Queues the calls of one path and has them handled by workers, its children."""

    subscribes_to: ClassVar[tuple[type[Message], ...]] = (
        RoleChanged, RunStarted, IntegrationRegistered,
    )  # fmt: skip

    def __init__(self, intake: LiveIntake, services: LiveServices) -> None:
        super().__init__()
        self._intake = intake
        self._services = services
        self._spec = spec = intake.spec
        self._queue: LiveQueue[LiveCall] = LiveQueue(
            QueueLimits(spec.workers, spec.attempts, spec.backoff), intake.numbers
        )
        self._slots: dict[int, Slot] = {}
        self._hung: set[Ref] = set()
        self._opened = 0
        self._flood = Flood()
        self._looks_again = False
        self._drained: pykka.Future[None] | None = None  # until it is set
        self._log = RouterLog(spec, services.clock)

    def on_start(self) -> None:
        """Take calls, also those that a former life has left."""
        self._intake.open(self.context.ref)
        self._pump()

    def on_stop(self) -> None:
        """Take no more calls, leave behind what has not ended, and say what is lost."""
        self._intake.shut()
        self._leave_behind()
        self._log.lost(self._intake.room.count)
        self._intake.running = 0

    def on_failure(self, *_: Any) -> None:
        """Do the same, until the restarted actor takes calls again."""
        self._intake.shut()
        self._leave_behind()
        self._log.lost(len(self._queue))
        for call in self._queue.items():
            self._intake.room.remove(len(call.body))
        self._intake.running = 0

    # -- messages ----------------------------------------------------------------------------

    @handles(CallsArrived)
    def on_arrived(self, _message: CallsArrived) -> None:
        """Queue the calls that have arrived."""
        self._pump()

    @handles(CallHandled)
    def on_handled(self, message: CallHandled) -> None:
        """An attempt is over."""
        slot = self._at_work(message.slot, message.number)
        if slot is None:
            return  # it was given up before
        overdue = slot.token.cancelled
        event = self._release(slot)
        failure = message.failure
        if overdue:
            slot.token = CancelToken()
            if failure is not None:
                failure = Failure(f"it took longer than {self._spec.timeout:g} s")
        if self._queue.held and failure is not None:  # the stop has cut it short
            self._queue.interrupted(event.number)
            self._pump()
            return
        self._finish_attempt(event, failure)

    @handles(AttemptDue)
    def on_due(self, message: AttemptDue) -> None:
        """Try an event again."""
        self._queue.due(message.number)
        self._pump()

    @handles(LookAgain)
    def on_look_again(self, _message: LookAgain) -> None:
        """Queue what has arrived during a flood."""
        self._looks_again = False
        self._pump()

    @handles(AttemptTimeUp)
    def on_time_up(self, message: AttemptTimeUp) -> None:
        """End the calls of an attempt that takes too long."""
        slot = self._at_work(message.slot, message.number)
        if slot is not None:
            slot.token.cancel(f"the event's time of {self._spec.timeout:g} s is over")
            slot.timer = self.context.schedule(
                GRACE_SECONDS, AttemptGraceOver(message.slot, message.number)
            )

    @handles(AttemptGraceOver)
    def on_grace_over(self, message: AttemptGraceOver) -> None:
        """Leave an attempt behind that does not end, and give up its event."""
        slot = self._at_work(message.slot, message.number)
        if slot is None:
            return
        event = self._release(slot)
        del self._slots[slot.number]
        self._hung.add(slot.worker)
        self.context.abandon(slot.worker)
        self.context.watch(slot.worker)
        if len(self._hung) >= MOST_HUNG:
            self._log.hung(len(self._hung))
        seconds = self._spec.timeout + GRACE_SECONDS
        text = f"it did not end within {seconds:g} s, and its thread is left behind"
        self._finish_attempt(event, Failure(text, lasting=True))

    @handles(Terminated)
    def on_terminated(self, message: Terminated) -> None:
        """A worker has ended: one that hung, or because of a bug of ours."""
        if message.ref in self._hung:
            self._hung.discard(message.ref)
            self._pump()
            return
        slot = next((each for each in self._slots.values() if each.worker == message.ref), None)
        if slot is None or self.context.stopping.is_set():
            return
        del self._slots[slot.number]
        if slot.event is not None:
            cause = message.failure or "its thread ended"
            self._finish_attempt(self._release(slot), Failure(f"its worker died: {cause}"))

    @handles(RoleChanged)
    def on_role_changed(self, event: RoleChanged) -> None:
        """Refuse calls on standby, so that they come to the active instance."""
        self._intake.standby = not event.active

    @handles(RunStarted)
    def on_run_started(self, event: RunStarted) -> None:
        """Note the config."""
        self._services.config.value = event.run.config

    @handles(IntegrationRegistered)
    def on_registered(self, event: IntegrationRegistered) -> None:
        """Note the config."""
        self._services.config.value = event.snapshot.config

    @handles(DrainEvents)
    def on_drain(self, command: DrainEvents) -> None:
        """Handle what waits, at once."""
        self._intake.shut()
        self._drained = command.drained
        self._queue.hurry()
        self.context.schedule(DRAIN_SECONDS, DrainOver())
        self._pump()

    @handles(DrainOver)
    def on_drain_over(self, _message: DrainOver) -> None:
        """End what is at work: the stop follows soon."""
        self._queue.hold()
        self._end_attempts()

    # -- parts -------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Queue what has arrived, and start what can be started."""
        most = self._take()
        while len(self._hung) < MOST_HUNG and (event := self._queue.start(most)) is not None:
            idle = (each for each in self._slots.values() if each.event is None)
            slot = next(idle, None) or self._open_slot()
            slot.event = event
            slot.timer = self.context.schedule(
                self._spec.timeout, AttemptTimeUp(slot.number, event.number)
            )
            slot.worker.tell(HandleCall(slot.number, event.number, event.item, slot.token))
        self._intake.running = self._queue.working
        if self._drained is not None and not self._queue.working:
            self._drained.set(None)
            self._drained = None

    def _take(self) -> int | None:
        """Queue what has arrived. Returns how many events may be at work: 1 while there is a flood.

        During a flood the router is not told of each call; it looks every `LOOK_SECONDS`.
        """
        now = self.context.clock.monotonic()
        if not self._flood.lasts(now):
            self._intake.tell_again()
        for call, key in self._intake.take():
            self._flood.arrived(now)
            self._queue.add(key, call)
        if not self._flood.lasts(now):
            return None
        if not self._looks_again:
            self._looks_again = True
            self.context.schedule(LOOK_SECONDS, LookAgain())
        return 1

    def _end_attempts(self) -> None:
        for slot in self._slots.values():
            slot.token.cancel("the integration stops")

    def _leave_behind(self) -> None:
        self._end_attempts()
        for slot in self._slots.values():
            if slot.event is not None:
                self.context.abandon(slot.worker)

    def _open_slot(self) -> Slot:
        self._opened += 1
        name = f"{self.context.name}-{self._opened}"
        report: Callable[[CallHandled], None] = self.context.ref.tell
        worker = self.context.spawn(LiveWorker, self._spec, self._services, report, name=name)
        self.context.watch(worker)
        slot = self._slots[self._opened] = Slot(self._opened, worker, CancelToken())
        return slot

    def _at_work(self, slot_number: int, number: int) -> Slot | None:
        """Returns the slot if its worker still handles that event."""
        slot = self._slots.get(slot_number)
        if slot is None or slot.event is None or slot.event.number != number:
            return None
        return slot

    def _release(self, slot: Slot) -> QueuedEvent[LiveCall]:
        assert slot.event is not None  # noqa: S101  (the callers looked)
        if slot.timer is not None:
            slot.timer.cancel()
        event, slot.event, slot.timer = slot.event, None, None
        return event

    def _finish_attempt(self, event: QueuedEvent[LiveCall], failure: Failure | None) -> None:
        """Remove the event of an attempt that is over, or have it tried again."""
        if failure is None:
            self._queue.succeeded(event.number)
            self._intake.room.remove(len(event.item.body))
            self._intake.handled += 1
        else:
            after = failure.after
            if after is not None:
                after = min(max(after, SHORTEST_RETRY), LONGEST_RETRY)
            decision = self._queue.failed(
                event.number, self.context.jitter(), lasting=failure.lasting, after=after
            )
            if isinstance(decision, GiveUp):
                self._give_up(event, failure)
            else:
                self._intake.retried += 1
                self._log.retried(event, failure, decision.seconds)
                self.context.schedule(decision.seconds, AttemptDue(event.number))
        self._pump()

    def _give_up(self, event: QueuedEvent[LiveCall], failure: Failure) -> None:
        self._intake.room.remove(len(event.item.body))
        self._intake.dead += 1
        self._log.given_up(event, failure)
        now = self.context.clock.now()
        self.context.publish(
            LiveEventFailed(
                self._spec.path, one_line(event.key, 100), event.attempt, failure.text, now
            )
        )
