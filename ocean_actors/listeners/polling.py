"""POLLING: ask Port every `interval` seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ocean_actors.actors import Backoff, Message, Timer, handles
from ocean_actors.context import Actor
from ocean_actors.listeners.port_watcher import Observed, PortWatcher
from ocean_actors.listeners.spec import Listener, ListenerSpec, Services
from ocean_actors.messages import IntegrationMissing, RunStarted
from ocean_actors.port.client import PortClient
from ocean_actors.port.transport import LONGEST_MESSAGE
from ocean_actors.settings import PollingSettings

LONGEST_BACKOFF = 60.0  # seconds; while Port fails, unless the interval itself is longer


@dataclass(frozen=True)
class Poll(Message):
    """Ask Port."""


class PollingListener(Actor):
    """Requests a resync when the config in Port has changed, or Port has a newer resync request.

    The first answer is the baseline. With `resyncOnStart` the first resync is requested then, so
    it also answers a request that Port already has. Without it, a resync is requested only if an
    earlier process still owes one. A poll that fails is logged and repeated with a backoff.
    """

    message_bound = LONGEST_MESSAGE
    subscribes_to = (RunStarted,)

    def __init__(self, client: PortClient, settings: PollingSettings) -> None:
        super().__init__()
        self._resync_on_start = settings.resync_on_start
        backoff = Backoff(settings.interval, max(settings.interval, LONGEST_BACKOFF))
        self._watcher = PortWatcher(client, backoff, settings.interval)
        self._next: Timer | None = None
        self._last_poll_at: datetime | None = None  # that Port answered
        self._last_event_at: datetime | None = None  # of Port, that called for a resync
        self._next_poll_at: datetime | None = None

    def on_start(self) -> None:
        """Poll at once."""
        self.context.ref.tell(Poll())

    @handles(Poll)
    def on_poll(self, _message: Poll) -> None:
        """Ask Port; the answer goes to the end of the mailbox, behind news of runs."""
        result = self._watcher.ask(self.context.jitter())
        if result.observed is not None:
            self.context.ref.deliver(result.observed)  # this actor may have been stopped meanwhile
            self._last_poll_at = self.context.clock.now()
        if result.missing:
            self.context.publish(IntegrationMissing())
        self._next = self.context.schedule(result.next_in, Poll())
        self._next_poll_at = self.context.clock.now() + timedelta(seconds=result.next_in)
        self._show()

    @handles(Observed)
    def on_observed(self, observed: Observed) -> None:
        """Compare with what was seen; both signals of one change make one request."""
        if self._watcher.overtaken:
            self._poll_again()
            return
        first = "start" if self._resync_on_start else observed.owed
        reason = self._watcher.reason(observed, first)
        if reason is not None:
            self._last_event_at = self.context.clock.now()
            self._show()
            self.context.config_updated(reason, observed.snapshot)

    @handles(RunStarted)
    def on_run_started(self, event: RunStarted) -> None:
        """Remember what the run answers, whoever requested it."""
        self._watcher.run_started(event.run)

    def _show(self) -> None:
        times = {
            "lastPollAt": self._last_poll_at,
            "lastEventAt": self._last_event_at,
            "nextPollAt": self._next_poll_at,
        }
        shown = {name: at.isoformat() if at is not None else None for name, at in times.items()}
        self.context.show(connected=not self._watcher.failing, **shown)

    def _poll_again(self) -> None:
        if self._next is not None:
            self._next.cancel()
        self.context.ref.tell(Poll())


def _build(settings: PollingSettings, services: Services) -> Listener:
    return Listener(PollingListener, (services.client(), settings))


SPEC = ListenerSpec(
    name="POLLING",
    settings=PollingSettings,
    build=_build,
    describe=lambda settings: f"POLLING, every {settings.interval:g} s",
    answers_requests=True,
)
