"""How listeners, custom actors and the web reach the coordinator."""

from __future__ import annotations

import contextlib
from typing import Any

import pykka

from ocean_actors.actors import Ref
from ocean_actors.messages import GetStatus, Lease, Reception, ResyncRequested, SetRole, StopResyncs
from ocean_actors.resync.generation import ConfigGeneration
from ocean_actors.resync.totals import GetMetrics, ResyncMetrics

STATUS_SECONDS = 1.0


class ResyncClient:
    """Sends requests and questions to the coordinator. Any thread may use it.

    It exists before the coordinator does; until `connect` is called, requests are refused.
    """

    def __init__(self, generation: ConfigGeneration) -> None:
        """Take the counter that the coordinator advances."""
        self._coordinator: Ref | None = None
        self._generation = generation

    @property
    def generation(self) -> int:
        """How often a run's config was asked for: while it stays, one run covers all requests."""
        return self._generation.value

    def connect(self, coordinator: Ref) -> None:
        """Send everything to `coordinator` from now on."""
        self._coordinator = coordinator

    @property
    def connected(self) -> bool:
        """Whether there is a coordinator to send to."""
        return self._coordinator is not None

    def submit(self, request: ResyncRequested) -> None:
        """Tell the coordinator a request, and return at once.

        Raises RuntimeError unless the system was started, MailboxFull if it is flooded.
        """
        self._connected().tell(request)

    def offer(self, request: ResyncRequested, timeout: float) -> Reception:
        """Ask the coordinator to take a request, and return what it did with it.

        Raises pykka.Timeout after `timeout` seconds, pykka.ActorDeadError if the coordinator has
        stopped, RuntimeError unless the system was started, MailboxFull if it is flooded.
        """
        answer: Reception = self._connected().ask(request, timeout=timeout)
        return answer

    def set_role(
        self, *, active: bool, source: str | None = None, lease: Lease | None = None
    ) -> None:
        """Tell the coordinator whether this instance runs the resyncs; see `SetRole`.

        Raises RuntimeError unless the system was started.
        """
        self._connected().tell(SetRole(active, source, lease))

    def stop(self, timeout: float) -> None:
        """Have the coordinator end the run in flight and start no more.

        Returns once nothing is in flight, after `timeout` seconds at the latest.
        """
        if self._coordinator is None or not self._coordinator.is_alive():
            return
        stopped: pykka.Future[None] = pykka.ThreadingFuture()
        self._coordinator.tell(StopResyncs(stopped))
        with contextlib.suppress(pykka.Timeout):
            stopped.get(timeout=timeout)

    def status(self, timeout: float = STATUS_SECONDS) -> dict[str, Any] | None:
        """Returns the coordinator's status, or None if it did not answer in `timeout` seconds."""
        if self._coordinator is None:
            return None
        try:
            answer: dict[str, Any] = self._coordinator.ask(GetStatus(), timeout=timeout)
        except (pykka.Timeout, pykka.ActorDeadError):
            return None
        return answer

    def metrics(self, timeout: float = STATUS_SECONDS) -> ResyncMetrics | None:
        """Returns what the coordinator counts, or None without an answer in `timeout` seconds."""
        if self._coordinator is None:
            return None
        try:
            answer: ResyncMetrics = self._coordinator.ask(GetMetrics(), timeout=timeout)
        except (pykka.Timeout, pykka.ActorDeadError):
            return None
        return answer

    def _connected(self) -> Ref:
        if self._coordinator is None:
            raise RuntimeError("the OceanSystem was not started: call start(), or use `with`")
        return self._coordinator
