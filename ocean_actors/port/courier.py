"""Takes one report at a time to Port, so that its sender never waits for Port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ocean_actors.actors import Actor, Message, Ref, Supervision, handles
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.reports import Report
from ocean_actors.retry import ONCE


@dataclass(frozen=True)
class Deliver(Message):
    """Take this report to Port, once, and answer `Delivery`."""

    report: Report
    reply_to: Ref


@dataclass(frozen=True)
class Delivery(Message):
    """Port has taken the report, refuses it for good, or is to be tried again later."""

    report: Report
    outcome: Literal["taken", "refused", "later"]
    error: str | None = None


class Courier(Actor):
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
        try:
            if report.kind != "left" or self._one_is_running():
                self._client.report_resync_state(report.body, retry=ONCE)
        except PortError as error:
            answer = Delivery(report, "later" if error.temporary else "refused", str(error))
        else:
            answer = Delivery(report, "taken")
        deliver.reply_to.tell(answer)

    def _one_is_running(self) -> bool:
        state = self._client.get_integration(retry=ONCE).resync_state
        return state is not None and state.status == "running"
