"""Tells Port how runs go, however Port behaves."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pykka

from ocean_actors.actors import Actor, Backoff, Message, handles
from ocean_actors.messages import Lease, RoleChanged, RunEnded, RunStarted
from ocean_actors.port.client import PortClient
from ocean_actors.port.report_sender import Deliver, Delivery, ReportSender
from ocean_actors.port.reports import Report, Schedule, enqueue, left_running, report_of

logger = logging.getLogger(__name__)

FLUSH_PAUSE = 0.2  # seconds between two attempts at the end, which is near


@dataclass(frozen=True)
class SendReports(Message):
    """Try again to send what waits."""


@dataclass(frozen=True)
class FlushReports(Message):
    """The process is about to end: send what waits without a backoff, then set `flushed`."""

    flushed: pykka.Future[None]


class Reporter(Actor):
    """Reports each run to Port: running, then completed, failed or aborted; in this order.

    It is told the events of runs by the coordinator and does not subscribe to them: a custom
    actor that publishes such an event must not reach Port.

    Reports wait here, a bounded number of them. A report sender takes them to Port one at a time,
    so this actor never waits for Port and its mailbox stays short. Each report is sent until Port
    takes it. A run whose report Port refuses for good is logged and left out.

    Before the first run, the report sender looks whether Port's record says `running`. Such a run
    belongs to a process that died during it, and is reported as aborted.
    """

    def __init__(self, client: PortClient, schedule: Schedule | None, backoff: Backoff) -> None:
        super().__init__()
        self._client = client
        self._schedule = schedule
        self._backoff = backoff
        self._queue: tuple[Report, ...] = ()
        self._on_its_way: Report | None = None
        self._failures = 0
        self._open: int | None = None  # the run that was started and has not ended
        self._quiet = True  # nothing was reported yet since this instance became active
        self._flushed: pykka.Future[None] | None = None  # the process is about to end
        self._lease: Lease | None = None  # checked before each report

    def on_start(self) -> None:
        """Take a report sender on."""
        self._sender = self.context.spawn(ReportSender, self._client, name="report-sender")

    @handles(RunStarted)
    def on_run_started(self, event: RunStarted) -> None:
        """Report `running`."""
        if self._quiet:
            self._quiet = False
            self._add(left_running(event.run.started_at, self._schedule))
        self._open = event.run.number
        self._add(report_of(event, self._schedule))

    @handles(RunEnded)
    def on_run_ended(self, event: RunEnded) -> None:
        """Report how it ended, unless its start was not reported: refused, or another's role."""
        if event.run.number == self._open:
            self._open = None
            self._add(report_of(event, self._schedule))

    @handles(RoleChanged)
    def on_role_changed(self, event: RoleChanged) -> None:
        """Say nothing more of what was: Port hears of it from the other instance."""
        self._lease = event.lease
        self._queue = ()
        self._on_its_way = None
        self._failures = 0
        self._open = None
        self._quiet = True

    @handles(SendReports)
    def on_send_again(self, _message: SendReports) -> None:
        """Try again after a backoff."""
        self._send()

    @handles(FlushReports)
    def on_flush(self, command: FlushReports) -> None:
        """Send what waits now, and retry without a backoff."""
        self._flushed = command.flushed
        self._send()

    @handles(Delivery)
    def on_delivery(self, delivery: Delivery) -> None:
        """Go on with the next report, or with the same one later."""
        report = delivery.report
        if report is not self._on_its_way:
            return  # of before the role changed
        self._on_its_way = None
        if delivery.outcome == "later":
            self._failures += 1
            if self._failures == 1:
                logger.warning("reports of runs wait for Port: %s", delivery.error)
            backoff = self._backoff.delay(self._failures - 1, self.context.jitter())
            self.context.schedule(
                FLUSH_PAUSE if self._flushed is not None else backoff, SendReports()
            )
            return
        if self._failures:
            self._failures = 0
            logger.info("reports of runs reach Port again")
        if delivery.outcome == "refused":
            self._leave_out(report, delivery.error)
        else:
            self._queue = self._queue[1:]
        self._send()

    def _add(self, report: Report) -> None:
        self._queue = enqueue(self._queue, report)
        if self._failures == 0:  # else a timer is running
            self._send()

    def _send(self) -> None:
        if self._on_its_way is not None:
            return
        if self._queue:
            self._on_its_way = self._queue[0]
            self._sender.tell(Deliver(self._on_its_way, self.context.ref, self._lease))
        elif self._flushed is not None:
            self._flushed.set(None)

    def _leave_out(self, report: Report, error: str | None) -> None:
        """All of a run: its end without its start would be no legal view of it."""
        logger.error("Port refused the report %r: %s", report.body["status"], error)
        self._queue = tuple(waiting for waiting in self._queue if waiting.run != report.run)
        if self._open == report.run:
            self._open = None
