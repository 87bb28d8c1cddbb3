"""The parts of the WEBHOOK listener, put together; imported when it is built."""

from __future__ import annotations

from ocean_actors.listeners.spec import Listener, Services
from ocean_actors.listeners.webhook.app import WebhookApp
from ocean_actors.listeners.webhook.caller import CallReader
from ocean_actors.listeners.webhook.intake import WebhookIntake
from ocean_actors.listeners.webhook.listener import WebhookListener
from ocean_actors.settings import WebhookSettings
from ocean_actors.web.log import WebLog


def webhook(settings: WebhookSettings, services: Services) -> Listener:
    """Returns the listener and its web application."""
    clock = services.clock
    intake = WebhookIntake(
        services.settings.integration.identifier,
        resync=services.resync,
        clock=clock,
    )
    reader = CallReader(
        settings,
        services.settings.port.client_secret,
        max_body_bytes=services.settings.http.max_body_bytes,
        clock=clock,
    )
    app = WebhookApp(reader, intake, WebLog(clock))
    args = (services.client(), intake, settings.check_interval)
    return Listener(WebhookListener, args, app, intake.details)
