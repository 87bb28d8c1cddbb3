"""WEBHOOK: Port calls, and is asked what is new after calls that prove nothing."""

from __future__ import annotations

from dataclasses import dataclass

from ocean_actors.actors import Backoff, Message, Timer, handles
from ocean_actors.context import Actor
from ocean_actors.listeners.port_watcher import Observed, PortWatcher
from ocean_actors.listeners.webhook.intake import Listening, WebhookIntake
from ocean_actors.messages import IntegrationMissing, IntegrationRegistered, RunStarted
from ocean_actors.port.client import PortClient
from ocean_actors.port.transport import LONGEST_MESSAGE

ASK_GAP = 1.0  # seconds at least between two questions to Port, however many calls come
ASK_BACKOFF = Backoff(initial=1.0, maximum=60.0)  # while Port fails


@dataclass(frozen=True)
class Hinted(Message):
    """A call came that Port did not sign."""


@dataclass(frozen=True)
class AskPort(Message):
    """Ask Port, unless another question was scheduled after this one."""

    number: int


class WebhookListener(Actor):
    """Opens the webhook's intake, and asks Port what is new.

    The first question finds what an earlier process left owed, and what calls reported before the
    intake was open. Later ones follow every `check_interval` seconds, and at once after an
    unsigned call, but at least `ASK_GAP` after the previous question; all calls that come in that
    gap lead to one question.

    Requests of signed calls do not pass through this actor: the intake offers them to the
    coordinator, so that an answer never waits for this actor.
    """

    message_bound = LONGEST_MESSAGE
    subscribes_to = (RunStarted, IntegrationRegistered)

    def __init__(self, client: PortClient, intake: WebhookIntake, check_interval: float) -> None:
        """Take the client to ask with, the intake to open, and the seconds between questions."""
        super().__init__()
        self._intake = intake
        self._watcher = PortWatcher(client, ASK_BACKOFF, check_interval)
        self._asked_at = float("-inf")
        self._timer: Timer | None = None
        self._due: float | None = None  # when the scheduled question is due
        self._number = 0

    def on_start(self) -> None:
        """Open the intake, and ask Port for the first time."""
        ref = self.context.ref
        self._intake.open(Listening(self.context.name, lambda: ref.tell(Hinted())))
        self._ask_in(0.0)

    def on_stop(self) -> None:
        """Shut the intake: calls are answered 503 from now on."""
        self._intake.shut()

    def on_failure(self, *_exc_info: object) -> None:
        """Do the same, until the restarted actor opens the intake again."""
        self.on_stop()

    @handles(IntegrationRegistered)
    def on_registered(self, _event: IntegrationRegistered) -> None:
        """Ask at once when somebody had deleted the integration in Port."""
        self._ask_in(0.0)

    @handles(Hinted)
    def on_hinted(self, _message: Hinted) -> None:
        """Ask soon; while Port fails, a question is scheduled already."""
        self._intake.hint_received()
        if not self._watcher.failing:
            self._ask_in(0.0)

    @handles(AskPort)
    def on_ask_port(self, due: AskPort) -> None:
        """Ask Port, and schedule the next question."""
        if due.number != self._number:
            return
        self._due = self._timer = None
        self._asked_at = self.context.clock.monotonic()
        result = self._watcher.ask(self.context.jitter())
        if result.observed is not None:
            self.context.ref.deliver(result.observed)  # this actor may have been stopped meanwhile
        if result.missing:
            self.context.publish(IntegrationMissing())
        self._ask_in(result.next_in)

    @handles(Observed)
    def on_observed(self, observed: Observed) -> None:
        """Request a resync for what is newer than the last answer and the last run."""
        if self._watcher.overtaken:
            self._ask_in(0.0)
            return
        reason = self._watcher.reason(observed, observed.owed)
        if reason is not None:
            self.context.config_updated(reason, observed.snapshot)

    @handles(RunStarted)
    def on_run_started(self, event: RunStarted) -> None:
        """Note what the run covers, whoever requested it."""
        self._watcher.run_started(event.run)

    def _ask_in(self, seconds: float) -> None:
        """Make sure that Port is asked within `seconds`, or as soon as `ASK_GAP` allows."""
        now = self.context.clock.monotonic()
        due = max(now + seconds, self._asked_at + ASK_GAP)
        if self._due is not None and self._due <= due:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due = due
        self._number += 1
        message = AskPort(self._number)
        if due > now:
            self._timer = self.context.schedule(due - now, message)
        else:
            self.context.ref.tell(message)
