"""WEBHOOK: serves the endpoint that Port calls, and asks Port after calls that prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ocean_actors.actors import Backoff, Message, Timer, handles
from ocean_actors.context import Actor
from ocean_actors.listeners.port_watcher import Observed, PortWatcher
from ocean_actors.listeners.webhook.intake import Listening, WebhookIntake
from ocean_actors.log import get_logger
from ocean_actors.messages import IntegrationMissing, IntegrationRegistered, RunStarted
from ocean_actors.port.client import PortClient

logger = get_logger(__name__)

LOOK_GAP = 1.0  # seconds at least between two questions to Port, however many calls come
LOOK_BACKOFF = Backoff(initial=1.0, maximum=60.0)  # while Port fails
STOP_SECONDS = 0.8  # for calls in flight; they wait for the coordinator, which has stopped


class Server(Protocol):
    """What is needed of an `HttpServer`."""

    url: Any

    def start(self) -> None:
        """Binds and serves. Raises OSError."""

    def stop(self, timeout: float = 5.0) -> None:
        """Frees the port."""


@dataclass(frozen=True)
class Hinted(Message):
    """A call came that Port did not sign."""


@dataclass(frozen=True)
class Look(Message):
    """Ask Port, unless another look was scheduled after this one."""

    number: int


@dataclass(frozen=True)
class WebhookServed(Message):
    """Published: the webhook is served at `url`, an address on this machine."""

    url: str


class WebhookListener(Actor):
    """Serves the webhook, and asks Port what is new.

    The first look, once Port knows the integration, finds what an earlier process left owed.
    Later ones follow every `check_interval` seconds, and at once after an unsigned call, but at
    least `LOOK_GAP` after the look before; all calls that come in that gap lead to one look.
    Requests of signed calls do not pass through this actor: the intake offers them to the
    coordinator, so that an answer never waits for this actor.
    """

    subscribes_to = (RunStarted, IntegrationRegistered)

    def __init__(
        self,
        client: PortClient,
        intake: WebhookIntake,
        server: Callable[[], Server] | None,
        check_interval: float,
    ) -> None:
        """Takes the client to ask with and the intake to open.

        `server` makes the server of the web application; it is None if the application is
        mounted in another server.
        """
        super().__init__()
        self._intake = intake
        self._make_server = server
        self._server: Server | None = None
        self._watcher = PortWatcher(client, LOOK_BACKOFF, check_interval)
        self._looked_at = float("-inf")
        self._timer: Timer | None = None
        self._due: float | None = None  # when the scheduled look is due
        self._number = 0

    def on_start(self) -> None:
        """Binds, and opens the intake. Shuts the system down if the port is in use."""
        if self._make_server is not None:
            self._server = self._make_server()
            try:
                self._server.start()
            except OSError as error:
                self._server = None
                self.context.shutdown(1, f"{error}: free the port, or set http.port and http.host")
                return
            logger.info("listening for Port on %s", self._server.url)
            self.context.show(url=self._server.url)
            self.context.publish(WebhookServed(self._server.url))
        ref = self.context.ref
        self._intake.open(Listening(self.context.name, lambda: ref.tell(Hinted())))
        if self._intake.reached():
            self._look_in(0.0)

    def on_stop(self) -> None:
        """Answers 503 from now on, and frees the port."""
        self._intake.shut()
        if self._server is not None:
            self._server.stop(STOP_SECONDS)

    def on_failure(self, *_exc_info: object) -> None:
        """Does the same; the restarted actor binds again."""
        self.on_stop()

    @handles(IntegrationRegistered)
    def on_registered(self, _event: IntegrationRegistered) -> None:
        """Looks for the first time."""
        self._look_in(0.0)

    @handles(Hinted)
    def on_hinted(self, _message: Hinted) -> None:
        """Looks soon; if Port fails or does not know us yet, a look is scheduled already."""
        self._intake.hint_received()
        if not self._watcher.failing and self._intake.reached():
            self._look_in(0.0)

    @handles(Look)
    def on_look(self, due: Look) -> None:
        """Asks Port, and schedules the next look."""
        if due.number != self._number:
            return
        self._due = self._timer = None
        self._looked_at = self.context.clock.monotonic()
        look = self._watcher.look(self.context.jitter())
        if look.observed is not None:
            self.context.ref.tell(look.observed)
        if look.missing:
            self.context.publish(IntegrationMissing())
        self._look_in(look.next_in)

    @handles(Observed)
    def on_observed(self, observed: Observed) -> None:
        """Requests a resync for what is newer than the last look and the last run."""
        if self._watcher.overtaken:
            self._look_in(0.0)
            return
        reason = self._watcher.reason(observed, observed.owed)
        if reason is not None:
            self.context.config_updated(reason, observed.snapshot)

    @handles(RunStarted)
    def on_run_started(self, event: RunStarted) -> None:
        """Notes what the run covers, whoever requested it."""
        self._watcher.run_started(event.run)

    def _look_in(self, seconds: float) -> None:
        """Makes sure that Port is asked within `seconds`, or as soon as `LOOK_GAP` allows."""
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
