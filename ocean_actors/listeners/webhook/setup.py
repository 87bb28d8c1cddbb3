"""The parts of the WEBHOOK listener, put together; imports the web server."""

from __future__ import annotations

import functools

from ocean_actors.listeners.spec import Listener, Services
from ocean_actors.listeners.webhook.app import webhook_app
from ocean_actors.listeners.webhook.intake import WebhookIntake
from ocean_actors.listeners.webhook.listener import WebhookListener
from ocean_actors.listeners.webhook.refusals import RefusalLog
from ocean_actors.settings import WebhookSettings
from ocean_actors.web.channel import limits
from ocean_actors.web.server import HttpServer


def webhook(settings: WebhookSettings, services: Services) -> Listener:
    """Returns the listener, its web application, and the server unless somebody else serves it."""
    http = services.settings.http
    refusals = RefusalLog(services.clock)
    intake = WebhookIntake(
        settings,
        services.settings.integration.identifier,
        services.settings.port.client_secret,
        offer=services.resync.offer,
        reached=services.registered,
        clock=services.clock,
    )
    app = webhook_app(intake, refusals, max_body_bytes=http.max_body_bytes)
    server = functools.partial(
        HttpServer, app, http.host, http.port,
        threads=http.threads, **limits(http.max_body_bytes, refusals.add),
    )  # fmt: skip
    args = (services.client(), intake, server if services.serve_http else None)
    return Listener(
        WebhookListener, (*args, settings.check_interval), app, on_config_asked=intake.config_asked
    )
