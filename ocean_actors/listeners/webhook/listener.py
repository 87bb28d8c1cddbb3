"""WEBHOOK: Port calls us; where it proves nothing, or says nothing, we ask."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ocean_actors.actors import Backoff, Message, Timer, handles
from ocean_actors.context import Actor
from ocean_actors.listeners.port_watcher import Observed, PortWatcher
from ocean_actors.listeners.webhook.intake import Listening, WebhookIntake
from ocean_actors.messages import IntegrationRegistered, RunStarted
from ocean_actors.port.client import PortClient

logger = logging.getLogger(__name__)

LOOK_GAP = 1.0  # seconds at least between two questions to Port, however many calls come
LOOK_BACKOFF = Backoff(initial=1.0, maximum=60.0)  # while Port fails
STOP_SECONDS = 0.8  # for calls in flight; the coordinator they wait for is stopped by then


class Server(Protocol):
    """What is needed of an `HttpServer`."""

    url: Any

    def start(self) -> None:
        """Bind and serve. Raises OSError."""

    def stop(self, timeout: float = 5.0) -> None:
        """Free the port."""


@dataclass(frozen=True)
class Hinted(Message):
    """Somebody called without proof."""


@dataclass(frozen=True)
class Look(Message):
    """Ask Port, if this is still the look that was last arranged."""

    number: int


@dataclass(frozen=True)
class WebhookServed(Message):
    """Published: the webhook is served under `url`, an address on this machine."""

    url: str


class WebhookListener(Actor):
    """Serves the webhook, and asks Port what only Port can be believed.

    The first look, once Port knows the integration, finds what an earlier process left owed.
    Later ones come `check_interval` seconds apart, and at once after an unsigned call, but
    never sooner than `LOOK_GAP` after the one before; calls that come meanwhile lead to one
    more at its end. Requests of authentic calls do not pass here: the intake offers them to the
    coordinator, so that nothing this actor waits for delays an answer.
    """

    subscribes_to = (RunStarted, IntegrationRegistered)

    def __init__(
        self,
        client: PortClient,
        intake: WebhookIntake,
        server: Callable[[], Server] | None,
        check_interval: float,
    ) -> None:
        """Take the client to ask with and the intake to open.

        `server` makes the server of the web application; None if somebody else serves it.
        """
        super().__init__()
        self._intake = intake
        self._make_server = server
        self._server: Server | None = None
        self._watcher = PortWatcher(client, LOOK_BACKOFF, check_interval)
        self._looked_at = float("-inf")
        self._timer: Timer | None = None
        self._due: float | None = None  # of the look that is arranged
        self._number = 0

    def on_start(self) -> None:
        """Bind, and open the intake. A port in use ends the system."""
        if self._make_server is not None:
            self._server = self._make_server()
            try:
                self._server.start()
            except OSError as error:
                self._server = None
                self.context.shutdown(1, f"{error}: free it, or set http.port and http.host")
                return
            logger.info("listening for Port on %s", self._server.url)
            self.context.show(url=self._server.url)
            self.context.publish(WebhookServed(self._server.url))
        ref = self.context.ref
        self._intake.open(Listening(self.context.name, lambda: ref.tell(Hinted())))
        if self._intake.reached():
            self._look_in(0.0)

    def on_stop(self) -> None:
        """Answer 503 from now on, and free the port."""
        self._intake.shut()
        if self._server is not None:
            self._server.stop(STOP_SECONDS)

    def on_failure(self, *_exc_info: object) -> None:
        """The next life binds anew."""
        self.on_stop()

    @handles(IntegrationRegistered)
    def on_registered(self, _event: IntegrationRegistered) -> None:
        """Now there is something to ask for."""
        self._look_in(0.0)

    @handles(Hinted)
    def on_hinted(self, _message: Hinted) -> None:
        """Look soon; while Port fails, or does not know us yet, a look is due anyway."""
        self._intake.hint_received()
        if not self._watcher.failing and self._intake.reached():
            self._look_in(0.0)

    @handles(Look)
    def on_look(self, due: Look) -> None:
        """Ask Port, and arrange the next time."""
        if due.number != self._number:
            return
        self._due = self._timer = None
        self._looked_at = self.context.clock.monotonic()
        look = self._watcher.look(self.context.jitter())
        if look.observed is not None:
            self.context.ref.tell(look.observed)
        self._look_in(look.next_in)

    @handles(Observed)
    def on_observed(self, observed: Observed) -> None:
        """Request a resync for what is newer than what was seen, and than the last run."""
        if self._watcher.overtaken:
            self._look_in(0.0)
            return
        reason = self._watcher.reason(observed, observed.owed)
        if reason is not None:
            self.context.config_updated(reason, observed.snapshot)

    @handles(RunStarted)
    def on_run_started(self, event: RunStarted) -> None:
        """Whoever requested it."""
        self._watcher.run_started(event.run)

    def _look_in(self, seconds: float) -> None:
        """See to it that Port is asked within `seconds`, or as soon after as the gap allows."""
        now = self.context.clock.monotonic()
        due = max(now + seconds, self._looked_at + LOOK_GAP)
        if self._due is not None and self._due <= due:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due = due
        self._number += 1
        look = Look(self._number)
        if due > now:
            self._timer = self.context.schedule(due - now, look)
        else:
            self.context.ref.tell(look)
