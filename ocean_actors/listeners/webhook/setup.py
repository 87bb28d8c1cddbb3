"""The parts of the WEBHOOK listener, put together; imports the web server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ocean_actors.actors import ActorSystem, Clock, Ref
from ocean_actors.listeners.webhook.app import WebhookApp
from ocean_actors.listeners.webhook.caller import CallReader
from ocean_actors.listeners.webhook.intake import WebhookIntake
from ocean_actors.listeners.webhook.listener import WebhookListener
from ocean_actors.port.client import PortClient
from ocean_actors.resync.client import ResyncClient
from ocean_actors.settings import Settings, WebhookSettings
from ocean_actors.web.channel import limits
from ocean_actors.web.log import WebLog
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
        resync: ResyncClient,
        reached: Callable[[], bool],
        clock: Clock,
        serve_http: bool,
    ) -> None:
        self._http = settings.http
        self._serve_http = serve_http
        self._check_interval = listener.check_interval
        self._log = WebLog(clock)
        self._intake = WebhookIntake(
            settings.integration.identifier, resync=resync, reached=reached, clock=clock
        )
        reader = CallReader(
            listener,
            settings.port.client_secret,
            max_body_bytes=settings.http.max_body_bytes,
            clock=clock,
        )
        self.app: WsgiApp = WebhookApp(reader, self._intake, self._log)

    def spawn(self, actors: ActorSystem, client: PortClient) -> Ref:
        """Starts the listener."""
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
            **limits(http.max_body_bytes, self._log.refused),
        )
