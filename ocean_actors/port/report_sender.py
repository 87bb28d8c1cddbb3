"""Sends one report at a time to Port, so that the reporter never waits for Port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ocean_actors.actors import Actor, Message, OnFailure, Ref, Supervision, handles
from ocean_actors.messages import Lease
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.reports import Report
from ocean_actors.port_time import parse_time
from ocean_actors.resync.current_lease import is_valid
from ocean_actors.retry import ONCE

UNSURE = "another instance may have taken over"
RIGHTS_STATUSES = frozenset({401, 403})
RIGHTS_WAIT = 60.0
"""Seconds before the next attempt if credentials or rights are refused, as a person has to act."""


@dataclass(frozen=True)
class Deliver(Message):
    """Send this report to Port, once, and answer with a `Delivery`."""

    report: Report
    reply_to: Ref


@dataclass(frozen=True)
class Delivery(Message):
    """Port accepted the report, refused it for good, or may accept it later.

    Then the next attempt is due after `wait` seconds, or after the caller's own backoff if that
    is longer.
    """

    report: Report
    outcome: Literal["accepted", "refused", "later"]
    error: str | None = None
    wait: float = 0.0


class ReportSender(Actor):
    """Sends reports while this instance holds one lease; each once, however long Port takes."""

    supervision = Supervision(OnFailure.ESCALATE)  # the reporter waits for an answer
    message_bound = None  # Port may hang up to the client's time-out, and that is logged

    def __init__(self, client: PortClient, lease: Lease | None) -> None:
        """Take the lease that is checked before each report; None if it cannot be lost."""
        super().__init__()
        self._client = client
        self._lease = lease

    @handles(Deliver)
    def on_deliver(self, deliver: Deliver) -> None:
        """Send the report."""
        report = deliver.report
        try:
            body = report.body if report.kind != "left" else self._end_of_left_run(report)
            if not is_valid(self._lease):
                delivery = Delivery(report, "later", UNSURE)
            else:
                if body is not None:
                    self._client.report_resync_state(body, retry=ONCE)
                delivery = Delivery(report, "accepted")
        except PortError as error:
            delivery = _failed(report, error)
        deliver.reply_to.tell(delivery)

    def _end_of_left_run(self, report: Report) -> Mapping[str, Any] | None:
        """Returns what ends the run that Port's record shows as running; None if it shows none.

        The clock of that run may have been ahead of ours, so it is ended no sooner than it began.
        """
        try:
            state = self._client.get_integration(retry=ONCE).resync_state
        except PortError as error:
            if error.status != 404 or self._lease is None:
                raise
            return None  # the integration is registered once this instance is active
        if state is None or state.status != "running":
            return None
        body = dict(report.body)
        if self._lease is not None and state.next_resync is not None and body["nextResync"]:
            body["nextResync"] = state.next_resync.isoformat()  # by which we stay in phase
        began, end = state.last_resync_start, parse_time(report.body["lastResyncEnd"])
        if began is not None and end is not None and began > end:
            body["lastResyncEnd"] = began.isoformat()
        return body


def _failed(report: Report, error: PortError) -> Delivery:
    if error.status in RIGHTS_STATUSES:
        return Delivery(report, "later", str(error), error.delay(RIGHTS_WAIT))
    outcome: Literal["refused", "later"] = "later" if error.temporary else "refused"
    return Delivery(report, outcome, str(error), error.delay(0.0))
