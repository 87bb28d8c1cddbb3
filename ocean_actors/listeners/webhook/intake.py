"""What stands between the open internet and the coordinator: who may do what with a call.

    a valid signature ──▶ the event is Port's: it is judged, and a request is offered
    an invalid one, or one that was used before ──▶ 401
    none ──▶ 401 if signatures are required; else a hint, for which Port is asked

So a stranger can neither start nor abort a run.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import pykka
from pydantic import SecretStr

from ocean_actors.actors import Clock, MailboxFull
from ocean_actors.listeners.changelog import ConfigUpdate, Irrelevant, Unreadable, interpret, read
from ocean_actors.listeners.webhook.addresses import is_within, source_of
from ocean_actors.messages import ConfigUpdated, Reception, ResyncRequested
from ocean_actors.settings import WebhookSettings
from ocean_actors.web.answers import Answer, Refusal
from ocean_actors.web.signature import BadSignature, Proof, ReplayMemory, verify

OFFER_SECONDS = 1.0
COALESCE_SECONDS = 0.1
RETRY = {"Retry-After": "1"}


@dataclass(frozen=True)
class Listening:
    """The listener behind the intake: its name, and how to tell it of a hint."""

    name: str
    wake: Callable[[], None]


@dataclass(frozen=True)
class CoalescedRequest:
    """A request that the coordinator took, and that stands for those like it that come after.

    The run that covers it asks Port for the config before it starts. As long as that has not
    begun (`asked` is the count of such questions when the request was offered), the run covers
    whatever arrives as well. `until` (monotonic seconds) bounds it, so that a coordinator that
    takes nothing any more is noticed.
    """

    id: str
    asked: int
    until: float


class WebhookIntake:
    """Implements `Receiver` of `app.py`; called in the threads of the WSGI server.

    `offer(request, seconds)` hands a request to the coordinator and answers what became of it;
    `reached` says whether Port ever answered. Shut, as it is until `open`, it answers 503.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        identifier: str,
        client_secret: SecretStr,
        *,
        offer: Callable[[ResyncRequested, float], Reception],
        reached: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self.reached = reached
        self._settings = settings
        self._anybody = not (settings.allowed_ips or settings.trusted_proxies)
        self._identifier = identifier
        secrets = settings.secrets or (client_secret,)
        self._secrets = tuple(secret.get_secret_value().encode() for secret in secrets)
        self._offer = offer
        self._clock = clock
        self._memory = ReplayMemory(settings.signature_tolerance)
        self._prefix = uuid.uuid4().hex[:16]
        self._numbers = itertools.count(1)
        self._listening: Listening | None = None
        self._hinted = False
        self._asked = 0  # how often Port was asked for a run's config
        self._coalesced: CoalescedRequest | None = None

    # -- for the listener --------------------------------------------------------------------

    def open(self, listening: Listening) -> None:
        """Let calls in from now on."""
        self._hinted = False
        self._coalesced = None
        self._listening = listening

    def shut(self) -> None:
        """Answer 503 from now on."""
        self._listening = None

    def config_asked(self) -> None:
        """Port is about to be asked for a run's config: later requests may need another run."""
        self._asked += 1

    def hint_taken(self) -> None:
        """The listener was woken: the next hint is to wake it again."""
        self._hinted = False

    # -- for the web application -------------------------------------------------------------

    def source(self, peer: str, forwarded_for: str | None) -> str:
        """The address that counts, or what the server says of a peer that has none."""
        if self._anybody and peer.isprintable():
            return peer or "an unknown address"
        address = source_of(peer, forwarded_for, self._settings.trusted_proxies)
        return str(address) if address is not None else f"{peer[:100]!a}"

    def admit(self, source: str) -> None:
        """Raise Refusal (403) unless calls from `source` are allowed."""
        allowed = self._settings.allowed_ips
        if not allowed:
            return
        address = source_of(source, None, ())
        if address is None or not is_within(address, allowed):
            raise Refusal(403, "calls from this address are not allowed")

    def accept(self, body: bytes, timestamp: str | None, signature: str | None) -> Answer:
        """Take a call. Raises Refusal: 400, 401 or 503."""
        now = self._clock.now().timestamp()
        proof = self._proof(body, timestamp, signature, now)
        listening = self._listening
        if listening is None:
            raise Refusal(503, "this integration is not listening now", RETRY, noteworthy=False)
        if proof is None:
            return self._hint(body, listening)
        used = self._memory.use(proof, now)
        if used == "used":
            raise Refusal(401, "this signature was used before")
        if used == "full":
            raise Refusal(503, "too many signatures within eventListener.signatureTolerance", RETRY)
        try:
            return self._event(body, listening)
        except BaseException as error:
            if not isinstance(error, Refusal) or error.status == 503:
                self._memory.give_back(proof)  # not served: the caller may come again with it
            raise

    def health(self) -> dict[str, bool]:
        """Ready is who listens, and has heard from Port."""
        return {"listening": self._listening is not None, "port": self.reached()}

    # -- parts -------------------------------------------------------------------------------

    def _proof(
        self, body: bytes, timestamp: str | None, signature: str | None, now: float
    ) -> Proof | None:
        try:
            proof = verify(
                self._secrets, timestamp, signature, body,
                now=now, tolerance=self._settings.signature_tolerance,
            )  # fmt: skip
        except BadSignature as error:
            raise Refusal(401, str(error)) from None
        if proof is None and self._settings.verify_signature == "required":
            raise Refusal(401, "calls have to be signed here")
        return proof

    def _hint(self, body: bytes, listening: Listening) -> Answer:
        """Something may have changed, says somebody: have Port asked."""
        if body:
            _parse(body)
        if not self._hinted:  # else the listener is about to ask; its mailbox is no place to pile
            self._hinted = True
            listening.wake()
        return Answer(202, {"ok": True, "status": "checking"})

    def _event(self, body: bytes, listening: Listening) -> Answer:
        """Port says so. An empty body is a resync request."""
        verdict = interpret(_parse(body), self._identifier, "WEBHOOK") if body else None
        if isinstance(verdict, Irrelevant):
            return Answer(200, {"ok": True, "status": "ignored", "reason": verdict.reason})
        if isinstance(verdict, ConfigUpdate):
            return self._offered(
                ConfigUpdated(
                    id=self._next_id(),
                    reason="configuration changed",
                    trigger=listening.name,
                    requested_at=self._clock.now(),
                    snapshot=verdict.snapshot,
                )
            )
        standing = self._coalesced
        if standing is not None and self._stands(standing):
            return _taken("accepted", standing.id)
        asked = self._asked
        request = ResyncRequested(
            id=self._next_id(),
            reason="resync requested",
            trigger=listening.name,
            requested_at=self._clock.now(),
        )
        answer = self._offered(request)
        if answer.body["status"] == "accepted":
            until = self._clock.monotonic() + COALESCE_SECONDS
            self._coalesced = CoalescedRequest(request.id, asked, until)
        return answer

    def _offered(self, request: ResyncRequested) -> Answer:
        try:
            reception = self._offer(request, OFFER_SECONDS)
        except (pykka.Timeout, pykka.ActorDeadError, MailboxFull):
            reception = "refused"
        if reception == "refused":
            raise Refusal(503, "the request cannot be taken now", RETRY)
        return _taken(reception, request.id)

    def _stands(self, standing: CoalescedRequest) -> bool:
        return standing.asked == self._asked and self._clock.monotonic() < standing.until

    def _next_id(self) -> str:
        return f"{self._prefix}-{next(self._numbers)}"


def _taken(reception: Reception, request_id: str) -> Answer:
    return Answer(202, {"ok": True, "status": reception, "id": request_id})


def _parse(body: bytes) -> object:
    try:
        return read(body)
    except Unreadable as error:
        raise Refusal(400, f"the body cannot be read: {error}") from None
