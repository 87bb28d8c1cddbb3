"""The KAFKA listener as the system knows it; the consumer is imported when it is built."""

from __future__ import annotations

from ocean_actors.listeners.spec import Listener, ListenerSpec, Services
from ocean_actors.settings import KafkaSettings


def _build(settings: KafkaSettings, services: Services) -> Listener:
    from ocean_actors.listeners.kafka.listener import KafkaListener

    integration, strict = services.settings.integration, services.settings.ssl.port.x509.strict
    commits = not services.settings.resync.dry_run
    return Listener(
        KafkaListener,
        (services.client(), settings, integration, services.started_at, strict, commits),
    )


def _describe(settings: KafkaSettings) -> str:
    return f"KAFKA, at {', '.join(settings.brokers)}" if settings.brokers else "KAFKA"


SPEC = ListenerSpec(
    name="KAFKA",
    settings=KafkaSettings,
    build=_build,
    destination=lambda _settings: {"type": "KAFKA"},
    describe=_describe,
    standby=True,
)
