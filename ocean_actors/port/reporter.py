"""Tells Port how runs go, however Port behaves."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ocean_actors.actors import Actor, Backoff, Message, handles
from ocean_actors.messages import RoleChanged, RunEnded, RunLeftRunning, RunStarted
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.reports import Report, Schedule, abandoned, enqueue, report_of
from ocean_actors.retry import ONCE

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SendReports(Message):
    """Try again to send what waits."""


@dataclass(frozen=True)
class FlushReports(Message):
    """Send what waits before answering; the asker bounds the time and cancels the client."""


class Reporter(Actor):
    """Reports each run to Port: running, then completed, failed or aborted; in this order.

    A report is sent until Port takes it, one attempt at a time, so that the mailbox is read in
    between; those behind it wait. One that Port refuses for good is logged and left out. A run
    never waits for its reports.
    """

    subscribes_to = (RunStarted, RunEnded, RunLeftRunning, RoleChanged)

    def __init__(self, client: PortClient, schedule: Schedule | None, backoff: Backoff) -> None:
        super().__init__()
        self._client = client
        self._schedule = schedule
        self._backoff = backoff
        self._queue: tuple[Report, ...] = ()
        self._failures = 0
        self._open: int | None = None  # the run that was started and has not ended
        self._quiet = True  # nothing was reported yet since this instance became active

    @handles(RunLeftRunning)
    def on_left_running(self, _event: RunLeftRunning) -> None:
        """Report a dead process's run as aborted; it is our own one once we reported any."""
        if self._quiet:
            self._add(abandoned(self.context.clock.now(), self._schedule))

    @handles(RunStarted)
    def on_run_started(self, event: RunStarted) -> None:
        """Report `running`."""
        self._open = event.run.number
        self._add(report_of(event, self._schedule))

    @handles(RunEnded)
    def on_run_ended(self, event: RunEnded) -> None:
        """Report how it ended, unless another instance has taken over in between."""
        if event.run.number == self._open:
            self._open = None
            self._add(report_of(event, self._schedule))

    @handles(RoleChanged)
    def on_role_changed(self, _event: RoleChanged) -> None:
        """Say nothing more of what was: Port hears of it from the other instance."""
        self._queue = ()
        self._open = None
        self._quiet = True

    @handles(SendReports)
    def on_send_again(self, _message: SendReports) -> None:
        """Try again after a backoff."""
        self._send()

    @handles(FlushReports)
    def on_flush(self, _message: FlushReports) -> None:
        """Send what waits, without a pause worth the name: the process is about to end."""
        while self._queue and not self._send_first():
            self._client.pause(self._backoff.initial)

    def _add(self, report: Report) -> None:
        self._quiet = False
        self._queue = enqueue(self._queue, report)
        if self._failures == 0:  # else a timer is running
            self._send()

    def _send(self) -> None:
        while self._queue:
            if not self._send_first():
                delay = self._backoff.delay(self._failures - 1, self.context.chance())
                self.context.schedule(delay, SendReports())
                return

    def _send_first(self) -> bool:
        """Send the oldest report: whether it is off the queue."""
        first = self._queue[0]
        try:
            self._client.report_resync_state(first.body, retry=ONCE)
        except PortError as error:
            if error.temporary:
                self._failures += 1
                if self._failures == 1:
                    logger.warning("reports of runs wait for Port: %s", error)
                return False
            logger.error("Port refused the report %r: %s", first.body["status"], error)  # noqa: TRY400
        if self._failures:
            logger.info("reports of runs reach Port again")
        self._failures = 0
        self._queue = self._queue[1:]
        return True
