"""Decides what a call to the webhook means.

    a call that Port signed ──▶ its event counts: a request is offered to the coordinator
    any other call ──▶ only a hint: Port is asked what is new

So a stranger can neither start nor abort a run. How calls are told apart is in `caller.py`.
"""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

import pykka

from ocean_actors.actors import Clock, MailboxFull
from ocean_actors.errors import OceanError
from ocean_actors.listeners.changelog import ConfigUpdate, Irrelevant, interpret, read
from ocean_actors.listeners.webhook.caller import WebhookCall
from ocean_actors.log import get_logger
from ocean_actors.messages import ConfigUpdated, Reception, ResyncRequested

logger = get_logger(__name__)

OFFER_SECONDS = 1.0
COALESCE_SECONDS = 0.025
"""A quarter of the coordinator's wait for the end of a burst, so that it hears of a burst in time
even if it is slow to answer."""


class NotTaken(OceanError):
    """A call cannot be taken now; it may be repeated."""


class NotListening(NotTaken):
    """The listener has not started, has stopped, or is in another process."""


@dataclass(frozen=True)
class WebhookOutcome:
    """What a call led to.

    `accepted`: a run that starts after the call covers the request `request_id`. `ignored`: the
    request was not taken as a run is in flight (`resync.onNewRequest: ignore`), or, with a
    `reason`, the event does not concern this integration. `checking`: Port is asked.
    """

    status: Literal["accepted", "ignored", "checking"]
    request_id: str | None = None
    reason: str | None = None


class Resync(Protocol):
    """What is needed of a `ResyncClient`."""

    @property
    def generation(self) -> int:
        """How often a run's config was asked for."""

    def offer(self, request: ResyncRequested, timeout: float) -> Reception:
        """Ask the coordinator to take a request."""


@dataclass(frozen=True)
class Listening:
    """The listener that calls are for: its name, how to tell it of a hint, and its process."""

    name: str
    wake: Callable[[], None]
    pid: int = field(default_factory=os.getpid)


@dataclass(frozen=True)
class CoalescedRequest:
    """A request that the coordinator accepted, and that stands for those like it that follow.

    The run that covers it asks Port for the config before it starts. Until then (`generation`
    counts these questions) that run covers whatever arrives as well. `until` (monotonic seconds)
    is a bound, so that a coordinator that hangs is noticed.
    """

    id: str
    generation: int
    until: float


class WebhookIntake:
    """Takes calls in the threads of the web server, and offers requests to the coordinator.

    It takes none before `open` and after `shut`. A copy in a forked process takes none either,
    as the actors are in the process that was forked.
    """

    def __init__(
        self,
        identifier: str,
        *,
        resync: Resync,
        clock: Clock,
    ) -> None:
        self._identifier = identifier
        self._resync = resync
        self._clock = clock
        self._prefix = uuid.uuid4().hex[:16]
        self._numbers = itertools.count(1)
        self._listening: Listening | None = None
        self._hinted = False
        self._coalesced: CoalescedRequest | None = None
        self._last_call_at: datetime | None = None

    # -- for the listener --------------------------------------------------------------------

    def open(self, listening: Listening) -> None:
        """Take calls from now on."""
        self._hinted = False
        self._coalesced = None
        self._listening = listening

    def shut(self) -> None:
        """Take no calls from now on."""
        self._listening = None

    def hint_received(self) -> None:
        """The listener was woken: the next hint wakes it again."""
        self._hinted = False

    # -- for the web application -------------------------------------------------------------

    @property
    def is_listening(self) -> bool:
        """Whether calls are taken in this process."""
        return self._here() is not None

    def take(self, call: WebhookCall) -> WebhookOutcome:
        """Take a call, and return what it led to.

        Raises NotListening, NotTaken if the coordinator does not take the request within
        `OFFER_SECONDS`, and Unreadable if the body is not JSON.
        """
        listening = self._here()
        if listening is None:
            raise NotListening
        self._last_call_at = self._clock.now()
        if call.proof is None:
            return self._hint(call.body, listening)
        return self._event(call.body, listening)

    def details(self) -> dict[str, str | None]:
        """Returns when the last call came, for `status()`."""
        last = self._last_call_at
        return {"lastCallAt": None if last is None else last.isoformat()}

    # -- parts -------------------------------------------------------------------------------

    def _here(self) -> Listening | None:
        """Returns the listener, unless it is in the process that this one was forked from."""
        listening = self._listening
        if listening is None or listening.pid == os.getpid():
            return listening
        self.shut()
        logger.error(
            "this process (%d) was forked from %d after the system was started there: calls here "
            "are answered 503. Start the system in the process that serves, after the fork",
            os.getpid(), listening.pid,
        )  # fmt: skip
        return None

    def _hint(self, body: bytes, listening: Listening) -> WebhookOutcome:
        """Have Port asked, as something may have changed."""
        if body:
            read(body)
        if not self._hinted:  # one message at a time, so that a flood does not fill the mailbox
            self._hinted = True
            listening.wake()
        return WebhookOutcome("checking")

    def _event(self, body: bytes, listening: Listening) -> WebhookOutcome:
        """Offer what an authentic event asks for. An empty body is a resync request."""
        verdict = interpret(read(body), self._identifier, "WEBHOOK") if body else None
        if isinstance(verdict, Irrelevant):
            return WebhookOutcome("ignored", reason=verdict.reason)
        if isinstance(verdict, ConfigUpdate):
            return self._offer(
                ConfigUpdated(
                    id=self._next_id(),
                    reason="configuration changed",
                    trigger=listening.name,
                    requested_at=self._clock.now(),
                    snapshot=verdict.snapshot,
                )
            )
        coalesced = self._coalesced
        if coalesced is not None and self._covers_more(coalesced):
            return WebhookOutcome("accepted", coalesced.id)
        generation = self._resync.generation
        request = ResyncRequested(
            id=self._next_id(),
            reason="resync requested",
            trigger=listening.name,
            requested_at=self._clock.now(),
        )
        outcome = self._offer(request)
        if outcome.status == "accepted":
            until = self._clock.monotonic() + COALESCE_SECONDS
            self._coalesced = CoalescedRequest(request.id, generation, until)
        return outcome

    def _offer(self, request: ResyncRequested) -> WebhookOutcome:
        try:
            reception = self._resync.offer(request, OFFER_SECONDS)
        except (pykka.Timeout, pykka.ActorDeadError, MailboxFull):
            reception = "refused"
        if reception == "refused":
            raise NotTaken("the request cannot be taken now")
        return WebhookOutcome(reception, request.id)

    def _covers_more(self, coalesced: CoalescedRequest) -> bool:
        return (
            coalesced.generation == self._resync.generation
            and self._clock.monotonic() < coalesced.until
        )

    def _next_id(self) -> str:
        return f"{self._prefix}-{next(self._numbers)}"
