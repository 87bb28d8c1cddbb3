"""Reports the state of runs to Port, however Port behaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pykka

from ocean_actors.actors import Actor, Backoff, Message, handles
from ocean_actors.log import get_logger
from ocean_actors.messages import Lease, RoleChanged, RunEnded, RunReported, RunStarted
from ocean_actors.port.client import PortClient
from ocean_actors.port.report_sender import Deliver, Delivery, ReportSender
from ocean_actors.port.reports import Report, Schedule, enqueue, left_running, report_of
from ocean_actors.port_time import parse_time

logger = get_logger(__name__)

FLUSH_PAUSE = 0.2  # seconds between two attempts while the system stops


@dataclass(frozen=True)
class SendReports(Message):
    """The backoff is over: send what waits."""


@dataclass(frozen=True)
class FlushReports(Message):
    """The process is about to end: send what waits without a backoff, then set `flushed`."""

    flushed: pykka.Future[None]


class Reporter(Actor):
    """Reports each run to Port: running, then completed, failed or aborted; in this order.

    It is told the events of runs by the coordinator and does not subscribe to them: a custom
    actor that publishes such an event must not reach Port.

    Reports wait here, a bounded number of them. A report sender sends them one at a time, so
    this actor never waits for Port and its mailbox stays short. Each report is sent until Port
    accepts it. A run with a report that Port refuses for good is logged and left out.

    `running` is sent only once Port's record is known not to show another run as running. It may
    show one that a dead process left, or one whose end Port refused. Then that run is reported
    as aborted first. Port's record is also looked at when this instance becomes active.

    When the role changes, the reports that wait are dropped: the other instance reports. Each
    tenure has a report sender of its own, which holds the tenure's lease.
    """

    _queue: tuple[Report, ...]
    _sending: Report | None
    _failures: int
    _open: int | None  # the run that was started and has not ended
    _record_clear: bool  # Port's record shows no other run as running
    _look_due: bool  # at Port's record, without waiting for a run

    def __init__(self, client: PortClient, schedule: Schedule | None, backoff: Backoff) -> None:
        super().__init__()
        self._client = client
        self._schedule = schedule
        self._backoff = backoff
        self._flushed: pykka.Future[None] | None = None  # the process is about to end
        self._tenure_client: PortClient | None = None
        self._begin_tenure(look=False)

    def on_start(self) -> None:
        """Start a report sender; its lease comes with the role, if the role can be lost."""
        self._start_sender(None)

    def on_stop(self) -> None:
        """Close the report sender's client."""
        if self._tenure_client is not None:
            self._tenure_client.close()

    def on_failure(self, *_: Any) -> None:
        """Close the report sender's client."""
        self.on_stop()

    @handles(RunStarted)
    def on_run_started(self, event: RunStarted) -> None:
        """Report `running`."""
        self._open = event.run.number
        self._add(report_of(event, self._schedule))

    @handles(RunEnded)
    def on_run_ended(self, event: RunEnded) -> None:
        """Report how it ended, unless its start was left out or belongs to another tenure."""
        if event.run.number == self._open:
            self._open = None
            self._add(report_of(event, self._schedule))
        else:
            self.context.publish(RunReported(event.run.id, accepted=False))

    @handles(RoleChanged)
    def on_role_changed(self, event: RoleChanged) -> None:
        """Drop what waits, and begin a new tenure with the lease."""
        self.context.stop(self._sender)
        self.on_stop()  # ends a call that hangs
        self._begin_tenure(look=event.active)
        self._start_sender(event.lease)
        self._send()

    @handles(SendReports)
    def on_send_reports(self, _message: SendReports) -> None:
        """Send what waits."""
        self._send()

    @handles(FlushReports)
    def on_flush(self, command: FlushReports) -> None:
        """Send what waits, without a backoff from now on."""
        self._flushed = command.flushed
        self._send()

    @handles(Delivery)
    def on_delivery(self, delivery: Delivery) -> None:
        """Send the next report, or the same one later."""
        report = delivery.report
        if report is not self._sending:
            return  # of an earlier tenure
        self._sending = None
        if delivery.outcome == "later":
            self._retry_later(delivery)
            return
        if self._failures:
            self._failures = 0
            logger.info("Port accepts reports of runs again")
        if delivery.outcome == "refused":
            self._leave_out(report, delivery.error)
        elif report.kind == "left":
            self._record_clear = True
        else:
            self._queue = self._queue[1:]
            if report.kind == "end":
                self.context.publish(RunReported(report.run_id, accepted=True))
        self._look_due = False
        self._send()

    def _begin_tenure(self, *, look: bool) -> None:
        self._queue = ()
        self._sending = None
        self._failures = 0
        self._open = None
        self._record_clear = False
        self._look_due = look

    def _start_sender(self, lease: Lease | None) -> None:
        self._tenure_client = self._client.clone(self._client.token)
        self._sender = self.context.spawn(
            ReportSender, self._tenure_client, lease, name="report-sender"
        )

    def _add(self, report: Report) -> None:
        self._queue = enqueue(self._queue, report)
        if self._failures == 0:  # else a timer is set
            self._send()

    def _send(self) -> None:
        """Send what is next, unless something is being sent."""
        if self._sending is not None:
            return
        self._sending = self._next()
        if self._sending is not None:
            self._sender.tell(Deliver(self._sending, self.context.ref))
        elif self._flushed is not None:
            self._flushed.set(None)

    def _next(self) -> Report | None:
        """Returns the report to send now: the first that waits, or a look at Port's record."""
        first = self._queue[0] if self._queue else None
        starts = first is not None and first.kind == "start"
        if not self._record_clear and (starts or (first is None and self._look_due)):
            moment = parse_time(first.body["lastResyncStart"]) if first is not None else None
            return left_running(moment or self.context.clock.now(), self._schedule)
        return first

    def _retry_later(self, delivery: Delivery) -> None:
        backoff = self._backoff.delay(self._failures, self.context.jitter())
        delay = FLUSH_PAUSE if self._flushed is not None else max(backoff, delivery.wait)
        self._failures += 1
        if self._failures == 1:
            logger.warning(
                "reports of runs wait for Port, first %s; it is sent again in %.1f s: %s",
                _described(delivery.report), delay, delivery.error,
            )  # fmt: skip
        self.context.schedule(delay, SendReports())

    def _leave_out(self, report: Report, error: str | None) -> None:
        """Drop all reports of a run of which Port refuses one.

        If it is an end, Port's record still shows the run as running, so that is looked at
        before the next start. If the look itself is refused, the run that waits for it is left
        out: if it were reported, Port might show two runs as running.
        """
        if report.kind == "left":
            waits = self._queue[0] if self._queue else None
            refused = None if waits is None else waits.run
            what_next = (
                "; that is tried again before the next run is reported" if waits is None
                else f"; run {waits.run_id}, which waited for that, is not reported"
            )  # fmt: skip
        elif report.kind == "start":
            refused = report.run
            what_next = "; the end of the run is not reported either"
        else:
            refused = report.run
            what_next = "; Port shows the run as running until the next one is reported"
        logger.error("Port refused %s%s: %s", _described(report), what_next, error)
        if report.kind == "end":
            self._record_clear = False
        for waiting in self._queue:
            if waiting.run == refused and waiting.kind == "end":
                self.context.publish(RunReported(waiting.run_id, accepted=False))
        self._queue = tuple(waiting for waiting in self._queue if waiting.run != refused)
        if self._open == refused:
            self._open = None


def _described(report: Report) -> str:
    if report.kind == "left":
        return "the end of a run that it may show as running"
    return f"the report {report.body['status']!r} of run {report.run_id}"
