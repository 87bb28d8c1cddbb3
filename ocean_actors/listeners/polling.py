"""POLLING: ask Port every `interval` seconds."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ocean_actors.actors import Backoff, Message, Timer, handles
from ocean_actors.context import Actor
from ocean_actors.listeners.watermark import Observed, Watermark, next_look, observe
from ocean_actors.messages import IntegrationMissing, RunStarted
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.settings import PollingSettings

logger = logging.getLogger(__name__)

SLOWEST_POLL = 300.0  # seconds; while Port fails, unless the interval itself is longer


@dataclass(frozen=True)
class Poll(Message):
    """Ask Port."""


class PollingListener(Actor):
    """Requests a resync when Port's config of the integration differs from what was seen, or a
    newer resync request is there.

    The first answer is the baseline: with `resyncOnStart` the first resync is requested then,
    so a request that is already there is answered by it and does not come up again; without,
    only what an earlier process left owed is. A failing poll is logged and tried again, ever
    more slowly.
    """

    subscribes_to = (RunStarted,)

    def __init__(self, client: PortClient, settings: PollingSettings) -> None:
        super().__init__()
        self._client = client
        self._interval = settings.interval
        self._resync_on_start = settings.resync_on_start
        self._backoff = Backoff(settings.interval, max(settings.interval, SLOWEST_POLL))
        self._failures = 0
        self._watermark = Watermark()
        self._next: Timer | None = None

    def on_start(self) -> None:
        """Poll at once."""
        self.context.ref.tell(Poll())

    @handles(Poll)
    def on_poll(self, _message: Poll) -> None:
        """Ask Port; the answer goes to the end of the mailbox, behind news of runs."""
        self._watermark = self._watermark.asking()
        try:
            observed = observe(self._client)
        except PortError as error:
            if error.status == 404:
                self.context.publish(IntegrationMissing())
            self._failures += 1
            backoff = self._backoff.delay(self._failures - 1, self.context.jitter())
            delay = next_look(error, backoff)
            logger.warning("poll failed, again in %.1f s: %s", delay, error)
        else:
            if self._failures:
                logger.info("Port answers polls again")
            self._failures = 0
            delay = self._interval
            self.context.ref.tell(observed)
        self._next = self.context.schedule(delay, Poll())

    @handles(Observed)
    def on_observed(self, observed: Observed) -> None:
        """Compare with what was seen; both signals of one change make one request."""
        if self._watermark.overtaken:
            self._look_again()
            return
        first = "start" if self._resync_on_start else observed.owed
        self._watermark, reason = self._watermark.advance(observed, first)
        if reason is not None:
            self.context.config_updated(reason, observed.snapshot)

    @handles(RunStarted)
    def on_run_started(self, event: RunStarted) -> None:
        """Whoever requested it."""
        self._watermark = self._watermark.ran(event.run)

    def _look_again(self) -> None:
        if self._next is not None:
            self._next.cancel()
        self.context.ref.tell(Poll())
