"""Takes one report at a time to Port, so that its sender never waits for Port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ocean_actors.actors import Actor, Message, Ref, Supervision, handles
from ocean_actors.messages import Lease
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.reports import Report
from ocean_actors.port_time import parse_time
from ocean_actors.retry import ONCE

UNSURE = "another instance may have taken over"


@dataclass(frozen=True)
class Deliver(Message):
    """Send this report to Port, once, if `lease` is still valid, and answer `Delivery`."""

    report: Report
    reply_to: Ref
    lease: Lease | None = None


@dataclass(frozen=True)
class Delivery(Message):
    """Port has taken the report, refuses it for good, or is to be tried again later."""

    report: Report
    outcome: Literal["taken", "refused", "later"]
    error: str | None = None


class ReportSender(Actor):
    """Tries one report, once, and says how it went; however long Port lets it wait."""

    supervision = Supervision(retries=5)  # the sender waits for an answer
    message_bound = None  # Port may hang up to the client's time-out, and that is logged

    def __init__(self, client: PortClient) -> None:
        super().__init__()
        self._client = client

    @handles(Deliver)
    def on_deliver(self, deliver: Deliver) -> None:
        """Send it."""
        report = deliver.report
        if deliver.lease is not None and not deliver.lease.valid():
            deliver.reply_to.tell(Delivery(report, "later", UNSURE))
            return
        try:
            body = self._end_of_left_run(report) if report.kind == "left" else report.body
            if body is not None:
                self._client.report_resync_state(body, retry=ONCE)
        except PortError as error:
            answer = Delivery(report, "later" if error.temporary else "refused", str(error))
        else:
            answer = Delivery(report, "taken")
        deliver.reply_to.tell(answer)

    def _end_of_left_run(self, report: Report) -> Mapping[str, Any] | None:
        """What ends the run that Port's record shows as running, if it does.

        The clock that the run began by may have been ahead of ours: it ends no sooner.
        """
        state = self._client.get_integration(retry=ONCE).resync_state
        if state is None or state.status != "running":
            return None
        began, end = state.last_resync_start, parse_time(report.body["lastResyncEnd"])
        if began is None or end is None or began <= end:
            return report.body
        return {**report.body, "lastResyncEnd": began.isoformat()}
