"""The parts of the WEBHOOK listener, put together; imports the web server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ocean_actors.actors import ActorSystem, Clock, Ref
from ocean_actors.listeners.webhook.app import webhook_app
from ocean_actors.listeners.webhook.intake import WebhookIntake
from ocean_actors.listeners.webhook.listener import WebhookListener
from ocean_actors.listeners.webhook.refusals import RefusalLog
from ocean_actors.messages import Reception, ResyncRequested
from ocean_actors.port.client import PortClient
from ocean_actors.settings import Settings, WebhookSettings
from ocean_actors.web.channel import limits
from ocean_actors.web.server import HttpServer

WsgiApp = Callable[..., Any]


class Webhook:
    """The web application, the intake behind it, and the server unless somebody else serves it.

    Nothing is started before `spawn`.
    """

    def __init__(
        self,
        listener: WebhookSettings,
        settings: Settings,
        *,
        offer: Callable[[ResyncRequested, float], Reception],
        reached: Callable[[], bool],
        clock: Clock,
        serve_http: bool,
    ) -> None:
        self._http = settings.http
        self._serve_http = serve_http
        self._check_interval = listener.check_interval
        self._refusals = RefusalLog(clock)
        self._intake = WebhookIntake(
            listener,
            settings.integration.identifier,
            settings.port.client_secret,
            offer=offer,
            reached=reached,
            clock=clock,
        )
        self.app: WsgiApp = webhook_app(
            self._intake, self._refusals, max_body_bytes=settings.http.max_body_bytes
        )

    def config_asked(self) -> None:
        """To be called before Port is asked for a run's config; see the intake."""
        self._intake.config_asked()

    def spawn(self, actors: ActorSystem, client: PortClient) -> Ref:
        """Start the listener."""
        server = self._server if self._serve_http else None
        return actors.spawn(
            WebhookListener, client, self._intake, server, self._check_interval, name="webhook"
        )

    def _server(self) -> HttpServer:
        http = self._http
        return HttpServer(
            self.app,
            http.host,
            http.port,
            threads=http.threads,
            **limits(http.max_body_bytes, self._refusals.add),
        )
