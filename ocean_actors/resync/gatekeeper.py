"""Asks the custom actors that decide about requests before the coordinator is given them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import ClassVar

import pykka

from ocean_actors.actors import (
    Actor,
    AtLimit,
    MailboxFull,
    MailboxPolicy,
    Message,
    OnFailure,
    Ref,
    Supervision,
    Timer,
    handles,
)
from ocean_actors.log import get_logger
from ocean_actors.messages import Allow, Delay, Ignore, Reception, ResyncRequested
from ocean_actors.resync.admission import Admit, Decide, Decided, Offer
from ocean_actors.resync.commands import GetUnsettled, SetRole
from ocean_actors.resync.scope import joined
from ocean_actors.throttle import Throttle

logger = get_logger(__name__)

DECIDE_SECONDS = 0.5
"""For all decisions about one request, in time for a webhook's caller, who waits a second."""
MOST_UNDECIDED = 1000
"""Requests that may wait for decisions; further ones are allowed at once."""

Reply = pykka.Future[Reception] | None


@dataclass(frozen=True)
class DecisionOver(Message):
    """To itself: the time for the decisions about request `number` is over."""

    number: int


@dataclass(frozen=True)
class DelayOver(Message):
    """To itself: request `number` was delayed for long enough."""

    number: int


@dataclass
class Undecided:
    """A request that some actors have not decided about."""

    request: ResyncRequested
    reply: Reply
    asked: set[str]
    timer: Timer
    seconds: float | None = None  # the longest delay so far


@dataclass
class Delayed:
    """A request that waits for its delay to end."""

    number: int
    request: ResyncRequested
    timer: Timer = field(repr=False)


class Gatekeeper(Actor):
    """Stands between whoever requests a resync and the coordinator. It never waits.

    One `Ignore` is enough. The longest of several delays counts. An actor that fails, has ended,
    is flooded, or does not answer within `DECIDE_SECONDS` counts as `Allow`. A later request of a
    trigger stands for an earlier one that is delayed.

    As it holds requests, a failure of this actor ends the system, and the sources bring them back.
    """

    supervision: ClassVar[Supervision] = Supervision(OnFailure.ESCALATE)
    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(
        limit=10_000,
        at_limit={
            Message: AtLimit.ADMIT,  # there are few of the others
            ResyncRequested: AtLimit.REFUSE,
            Offer: AtLimit.REFUSE,
        },
    )

    def __init__(self, coordinator: Ref, deciders: tuple[Ref, ...]) -> None:
        super().__init__()
        self._coordinator = coordinator
        self._deciders = deciders
        self._numbers = itertools.count(1)
        self._undecided: dict[int, Undecided] = {}
        self._delayed: dict[str, Delayed] = {}  # by trigger, so bounded

    def on_start(self) -> None:
        """Prepare the log."""
        self._failure_log = Throttle(self.context.clock)

    @handles(ResyncRequested)
    def on_request(self, request: ResyncRequested) -> None:
        """Ask the deciders about a request that nobody waits for."""
        self._ask(request, None)

    @handles(Offer)
    def on_offer(self, offer: Offer) -> None:
        """Ask the deciders about a request whose reception is waited for."""
        self._ask(offer.request, offer.reply)

    @handles(Decided)
    def on_decided(self, decided: Decided) -> None:
        """Count one decision."""
        if decided.failure is not None:
            self._log_failure(decided.decider, decided.failure)
        waiting = self._undecided.get(decided.number)
        if waiting is None or decided.decider not in waiting.asked:
            return  # too late
        waiting.asked.discard(decided.decider)
        if isinstance(decided.decision, Ignore):
            self._close(decided.number, decided.decision)
            return
        if isinstance(decided.decision, Delay):
            waiting.seconds = max(waiting.seconds or 0.0, decided.decision.seconds)
        if not waiting.asked:
            self._close(decided.number, Allow())

    @handles(DecisionOver)
    def on_decision_over(self, event: DecisionOver) -> None:
        """Go on without those who have not answered."""
        waiting = self._undecided.get(event.number)
        if waiting is not None:
            for name in sorted(waiting.asked):
                self._log_failure(name, f"did not decide within {DECIDE_SECONDS:g} s")
            self._close(event.number, Allow())

    @handles(DelayOver)
    def on_delay_over(self, event: DelayOver) -> None:
        """Hand a delayed request on."""
        for trigger, delayed in list(self._delayed.items()):
            if delayed.number == event.number:
                del self._delayed[trigger]
                self._show()
                self._coordinator.tell(Admit(delayed.request))

    @handles(GetUnsettled)
    def on_get_unsettled(self, query: GetUnsettled) -> tuple[ResyncRequested, ...]:
        """Returns the requests of one trigger that are not handed on yet."""
        delayed = [each.request for each in self._delayed.values()]
        undecided = [each.request for each in self._undecided.values()]
        return tuple(each for each in (*delayed, *undecided) if each.trigger == query.trigger)

    @handles(SetRole)
    def on_set_role(self, command: SetRole) -> None:
        """Another instance is given what `sources` requested: drop that here."""
        if command.active:
            return
        for number, waiting in list(self._undecided.items()):
            if waiting.request.trigger in command.sources:
                self._forget(number)
        for source in command.sources:
            self._take_delayed(source)

    def _ask(self, request: ResyncRequested, reply: Reply) -> None:
        number = next(self._numbers)
        crowded = len(self._undecided) >= MOST_UNDECIDED
        asked = set() if crowded else {ref.name for ref in self._deciders if ref.is_alive()}
        timer = self.context.schedule(DECIDE_SECONDS, DecisionOver(number))
        self._undecided[number] = Undecided(request, reply, asked, timer)
        for ref in self._deciders:
            if ref.name not in asked:
                continue
            try:
                ref.tell(Decide(request, number, self.context.ref))
            except MailboxFull as error:
                asked.discard(ref.name)
                self._log_failure(ref.name, str(error))
        if not asked:
            self._close(number, Allow())

    def _close(self, number: int, decision: Allow | Ignore) -> None:
        """Hand the request on or delay it, now that all decisions that count are known."""
        waiting = self._forget(number)
        request, reply = waiting.request, waiting.reply
        if isinstance(decision, Ignore):
            self._coordinator.tell(Admit(request, reply, decision))
            return
        earlier = self._take_delayed(request.trigger)
        if earlier is not None:
            request = joined(earlier, request)
        if not waiting.seconds:
            self._coordinator.tell(Admit(request, reply))
            return
        timer = self.context.schedule(waiting.seconds, DelayOver(number))
        self._delayed[request.trigger] = Delayed(number, request, timer)
        self._show()
        logger.info("the request of %s is delayed by %g s", request.trigger, waiting.seconds)
        if reply is not None:
            reply.set("accepted")

    def _forget(self, number: int) -> Undecided:
        waiting = self._undecided.pop(number)
        waiting.timer.cancel()
        return waiting

    def _take_delayed(self, trigger: str) -> ResyncRequested | None:
        delayed = self._delayed.pop(trigger, None)
        if delayed is None:
            return None
        delayed.timer.cancel()
        self._show()
        return delayed.request

    def _show(self) -> None:
        self.context.show(delayed=sorted(self._delayed))

    def _log_failure(self, name: str, failure: str) -> None:
        admission = self._failure_log.admit()
        if admission.admitted:
            logger.warning(
                "%s did not decide about a request, which is taken: %s%s",
                name, failure, admission.more,
            )  # fmt: skip
