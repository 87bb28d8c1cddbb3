"""The parts of the WEBHOOK listener, put together; imports the web server."""

from __future__ import annotations

import functools

from ocean_actors.listeners.spec import Listener, Services
from ocean_actors.listeners.webhook.app import WebhookApp
from ocean_actors.listeners.webhook.caller import CallReader
from ocean_actors.listeners.webhook.intake import WebhookIntake
from ocean_actors.listeners.webhook.listener import WebhookListener
from ocean_actors.settings import WebhookSettings
from ocean_actors.web.channel import limits
from ocean_actors.web.log import WebLog
from ocean_actors.web.server import HttpServer


def webhook(settings: WebhookSettings, services: Services) -> Listener:
    """Returns the listener, its web application, and the server unless somebody else serves it."""
    http, clock = services.settings.http, services.clock
    log = WebLog(clock)
    intake = WebhookIntake(
        services.settings.integration.identifier,
        resync=services.resync,
        reached=services.registered,
        clock=clock,
    )
    reader = CallReader(
        settings,
        services.settings.port.client_secret,
        max_body_bytes=http.max_body_bytes,
        clock=clock,
    )
    app = WebhookApp(reader, intake, log)
    server = functools.partial(
        HttpServer, app, http.host, http.port,
        threads=http.threads, **limits(http.max_body_bytes, log.refused),
    )  # fmt: skip
    args = (services.client(), intake, server if services.serve_http else None)
    return Listener(WebhookListener, (*args, settings.check_interval), app, intake.details)
