"""Shows on Port's page of the integration how the kinds of a run are getting on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import pykka

from ocean_actors.actors import (
    Actor,
    AtLimit,
    Backoff,
    MailboxPolicy,
    Message,
    Repeat,
    Supervision,
    handles,
)
from ocean_actors.log import get_logger
from ocean_actors.messages import HandlerEnded, RunEnded, RunStarted
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.ingest import IngestAddresses, below
from ocean_actors.port.kind_metrics import (
    UNKNOWN,
    KindMetrics,
    RunMetrics,
    Source,
    run_ends,
    runtime_begins,
)
from ocean_actors.port.transport import segment
from ocean_actors.throttle import Throttle

logger = get_logger(__name__)

HEARTBEAT_SECONDS = 10.0
"""Port aborts a run on its page if the heartbeats stop."""

LARGEST_POST = 500  # rows; each takes less than 1 KiB of the 1 MiB that Port reads
TIMEOUT = (5.0, 10.0)
"""Seconds to connect and to wait for the next byte: nothing that comes later is worth it."""

BEST_EFFORT = Supervision(backoff=Backoff(initial=10.0, maximum=60.0), limit=1000)
"""Of actors whose failure must not end the system: fewer restarts fit into a window."""


@dataclass(frozen=True)
class SendHeartbeat(Message):
    """To itself: a heartbeat of the run in flight is due."""


@dataclass(frozen=True)
class Flush(Message):
    """The process is about to end: once what waits has been sent, set `flushed`."""

    flushed: pykka.Future[None]


class SyncMetrics(Actor):
    """Tells Port which kinds of a run are pending, at work and done, and sends the heartbeat.

    The coordinator tells it the events of runs, as it does the reporter. Everything is best
    effort: what Port does not take is not repeated, but the end of a run sends all rows once
    more. It sends nothing while Port names no address for it.
    """

    subscribes_to = (IngestAddresses,)
    supervision = BEST_EFFORT
    mailbox = MailboxPolicy(
        limit=1000, at_limit={Message: AtLimit.DROP_OLDEST, SendHeartbeat: AtLimit.COALESCE}
    )
    message_bound = None  # Port may hang up to the time-out, and that is logged

    def __init__(
        self, client: PortClient, source: Source, kinds: Mapping[str, tuple[str, ...]]
    ) -> None:
        """Take the client to send with, and the kinds of each handler."""
        super().__init__()
        self._client = client
        self._source = source
        self._kinds = kinds
        self._address: str | None = None
        self._run: RunMetrics | None = None
        self._heartbeat: Repeat | None = None

    def on_start(self) -> None:
        """Prepare the log line."""
        self._throttle = Throttle(self.context.clock, burst=1, seconds=600.0)

    @handles(IngestAddresses)
    def on_addresses(self, event: IngestAddresses) -> None:
        """Send to this address from now on."""
        self._address = event.metrics
        self._source = replace(self._source, installation_type=event.installation_type or UNKNOWN)

    @handles(RunStarted)
    def on_run_started(self, event: RunStarted) -> None:
        """Show all kinds of the run as pending, then as begun."""
        self._end_heartbeat()
        every = RunMetrics.pending(event.run.id, self._kinds)
        pending = every.of(event.run.handlers, event.run.kinds)
        self._run = pending.syncing()
        self._heartbeat = self.context.schedule_every(HEARTBEAT_SECONDS, SendHeartbeat())
        if self._post(event.run.id, (*pending.all(), runtime_begins())):
            self._put(event.run.id, self._run.all())

    @handles(HandlerEnded)
    def on_handler_ended(self, event: HandlerEnded) -> None:
        """Show how the kinds of a handler ended."""
        if self._run is not None and self._run.event_id == event.run.id:
            self._run = self._run.with_handler_ended(event)
            self._put(event.run.id, self._run.rows[event.handler])

    @handles(RunEnded)
    def on_run_ended(self, event: RunEnded) -> None:
        """Show how the run ended."""
        if self._run is not None and self._run.event_id == event.run.id:
            self._end_heartbeat()
            self._post(event.run.id, (*self._run.all(), *run_ends(event)))
            self._run = None

    @handles(SendHeartbeat)
    def on_send_heartbeat(self, _message: SendHeartbeat) -> None:
        """Show that the run in flight is alive."""
        if self._run is not None:
            self._send("POST", "/heartbeat", {"eventId": self._run.event_id})

    @handles(Flush)
    def on_flush(self, command: Flush) -> None:
        """Say that everything before was sent."""
        command.flushed.set(None)

    def _end_heartbeat(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            self._heartbeat = None

    def _post(self, event_id: str, rows: Iterable[KindMetrics]) -> bool:
        """Send rows; returns whether Port took them."""
        bodies = (row.body(self._source, event_id) for row in rows)
        while batch := list(islice(bodies, LARGEST_POST)):
            if not self._send("POST", "/syncMetrics", {"syncKindsMetrics": batch}):
                return False
        return True

    def _put(self, event_id: str, rows: Iterable[KindMetrics]) -> None:
        """Send rows one by one, up to the first that Port does not take."""
        for row in rows:
            path = f"/syncMetrics/resync/{segment(event_id)}/kind/{segment(row.identifier)}"
            if not self._send("PUT", path, {"syncKindMetrics": row.body(self._source, event_id)}):
                return

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> bool:
        if self._address is None:
            return False
        try:
            self._client.deliver(method, below(self._address, path), body)
        except PortError as error:
            self._log(error)
            return False
        return True

    def _log(self, error: PortError) -> None:
        admission = self._throttle.admit()
        if admission.admitted:
            logger.warning(
                "Port's page of the integration may not show the newest state of runs: %s%s",
                error, admission.more,
            )  # fmt: skip
