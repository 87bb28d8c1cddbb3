"""How listeners, custom actors and the web reach the coordinator."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any, TypeVar

import pykka

from ocean_actors.actors import Message, Query, Ref
from ocean_actors.messages import Lease, Reception, ResyncRequested
from ocean_actors.resync.admission import Offer
from ocean_actors.resync.commands import (
    AbortResync,
    GetStatus,
    GetUnsettled,
    PauseResyncs,
    ResumeResyncs,
    SetRole,
    StopResyncs,
)
from ocean_actors.resync.current_lease import CurrentLease
from ocean_actors.resync.generation import ConfigGeneration
from ocean_actors.resync.scope import require_known
from ocean_actors.resync.totals import GetMetrics, ResyncMetrics

STATUS_SECONDS = 1.0
ABORT_SECONDS = 5.0

ReplyT = TypeVar("ReplyT")


class ResyncClient:
    """Sends requests and questions to the coordinator. Any thread may use it.

    It exists before the coordinator does; until `connect` is called, requests are refused.
    """

    def __init__(self, generation: ConfigGeneration, kinds: tuple[str, ...] = ()) -> None:
        """Take the counter that the coordinator advances, and the kinds that may be requested."""
        self.kinds = kinds
        self.lease = CurrentLease(active=True)
        """Whether this instance may write to Port."""
        self._coordinator: Ref | None = None
        self._gatekeeper: Ref | None = None
        self._generation = generation
        self._last: dict[type[Message], Any] = {}  # answers, once no more runs are started

    @property
    def generation(self) -> int:
        """How often a run's config was asked for: while it stays, one run covers all requests."""
        return self._generation.value

    def connect(self, coordinator: Ref, gatekeeper: Ref | None = None) -> None:
        """Send everything to `coordinator` from now on, requests to a `gatekeeper` if given."""
        self._gatekeeper = gatekeeper
        self._coordinator = coordinator

    @property
    def connected(self) -> bool:
        """Whether there is a coordinator to send to."""
        return self._coordinator is not None

    def submit(self, request: ResyncRequested) -> None:
        """Tell the coordinator a request, and return at once.

        Raises RuntimeError unless the system was started, MailboxFull if it is flooded,
        UnknownKind if no handler declares one of its kinds.
        """
        require_known(request.kinds, self.kinds)
        (self._gatekeeper or self._connected()).tell(request)

    def offer(self, request: ResyncRequested, timeout: float) -> Reception:
        """Ask the coordinator to take a request, and return what it did with it.

        Raises pykka.Timeout after `timeout` seconds, pykka.ActorDeadError if the coordinator has
        stopped, RuntimeError unless the system was started, MailboxFull if it is flooded,
        UnknownKind if no handler declares one of its kinds.
        """
        require_known(request.kinds, self.kinds)
        if self._gatekeeper is None:
            return self._connected().ask(request, timeout=timeout)
        if not self._gatekeeper.is_alive():
            raise pykka.ActorDeadError("the gatekeeper has stopped")
        reply: pykka.Future[Reception] = pykka.ThreadingFuture()
        self._gatekeeper.tell(Offer(request, reply))
        return reply.get(timeout=timeout)

    def unsettled(self, trigger: str) -> tuple[ResyncRequested, ...]:
        """Returns the requests of `trigger` that are not settled, the oldest first.

        Raises pykka.Timeout after 5 seconds, pykka.ActorDeadError if the coordinator has stopped,
        RuntimeError unless the system was started.
        """
        question = GetUnsettled(trigger)
        coordinator, gatekeeper = self._connected(), self._gatekeeper
        # The gatekeeper first: what it hands on meanwhile reaches the coordinator before us.
        held = () if gatekeeper is None else gatekeeper.ask(question)
        taken = coordinator.ask(question)
        return tuple({request.id: request for request in (*taken, *held)}.values())

    def abort(self, reason: str, timeout: float = ABORT_SECONDS) -> bool:
        """Abort the run in flight and settle its requests; returns whether there was one.

        Raises pykka.Timeout after `timeout` seconds, pykka.ActorDeadError if the coordinator has
        stopped, RuntimeError unless the system was started.
        """
        return self._connected().ask(AbortResync(reason), timeout=timeout)

    def pause(self, reason: str, *, owner: str, abort: bool = False) -> None:
        """Have no run started until `owner` resumes; see `PauseResyncs`.

        Raises RuntimeError unless the system was started.
        """
        self._connected().tell(PauseResyncs(owner, reason, abort))

    def resume(self, reason: str, *, owner: str) -> None:
        """Lift the pause of `owner`. Raises RuntimeError unless the system was started."""
        self._connected().tell(ResumeResyncs(owner, reason))

    def set_role(
        self, *, active: bool, sources: tuple[str, ...] = (), lease: Lease | None = None
    ) -> None:
        """Tell the coordinator whether this instance runs the resyncs; see `SetRole`.

        Raises RuntimeError unless the system was started.
        """
        self.lease.change(active=active, lease=lease)
        command = SetRole(active, sources, lease)
        if self._gatekeeper is not None:
            self._gatekeeper.tell(command)
        self._connected().tell(command)

    def stop(self, timeout: float) -> None:
        """Have the coordinator end the run in flight and start no more.

        Returns once nothing is in flight, after `timeout` seconds at the latest. What `status` and
        `metrics` answer then is kept for the time when the coordinator has ended.
        """
        if self._coordinator is None or not self._coordinator.is_alive():
            return
        stopped: pykka.Future[None] = pykka.ThreadingFuture()
        self._coordinator.tell(StopResyncs(stopped))
        with contextlib.suppress(pykka.Timeout):
            stopped.get(timeout=timeout)
            status, metrics = self.status(), self.metrics()
            self._last[GetStatus] = status
            self._last[GetMetrics] = metrics and replace(metrics, active=False)

    def status(self, timeout: float = STATUS_SECONDS) -> dict[str, object] | None:
        """Returns the coordinator's status, or None if it did not answer in `timeout` seconds.

        Once it has ended: its last status, or None if it ended because of a failure.
        """
        return self._answer(GetStatus(), timeout)

    def metrics(self, timeout: float = STATUS_SECONDS) -> ResyncMetrics | None:
        """Returns what the coordinator counts; see `status`."""
        return self._answer(GetMetrics(), timeout)

    def _answer(self, question: Query[ReplyT], timeout: float) -> ReplyT | None:
        """Returns the coordinator's answer, or the last one that was kept, or None."""
        if self._coordinator is None:
            return None
        try:
            return self._coordinator.ask(question, timeout=timeout)
        except (pykka.Timeout, pykka.ActorDeadError):
            last: ReplyT | None = self._last.get(type(question))
            return last

    def _connected(self) -> Ref:
        if self._coordinator is None:
            raise RuntimeError("the OceanSystem was not started: call start(), or use `with`")
        return self._coordinator
