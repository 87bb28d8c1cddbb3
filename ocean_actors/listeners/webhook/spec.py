"""The WEBHOOK listener as the system knows it; its parts are imported when it is built."""

from __future__ import annotations

from ocean_actors.listeners.spec import Listener, ListenerSpec, Services
from ocean_actors.settings import WebhookSettings


def _build(settings: WebhookSettings, services: Services) -> Listener:
    from ocean_actors.listeners.webhook.setup import webhook

    return webhook(settings, services)


SPEC = ListenerSpec(
    name="WEBHOOK",
    settings=WebhookSettings,
    build=_build,
    destination=lambda settings: {"type": "WEBHOOK", "url": f"{settings.app_host}/resync"},
    describe=lambda settings: f"WEBHOOK, at {settings.app_host}/resync",
    answers_requests=True,
)
