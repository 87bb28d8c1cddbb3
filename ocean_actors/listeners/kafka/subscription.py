"""Where the messages of an integration are, and how to get at them: docs/port-wire.md, section 7. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ocean_actors.port.models import KafkaCredentials, Organization
from ocean_actors.settings import IntegrationSettings, KafkaSettings

REQUESTS_FLAG = "OCEAN_KAFKA_INTEGRATION_RESYNC_REQUESTS_TOPIC_ENABLED"
OPEN_GROUP = "no-security"
EU_BROKERS = tuple(
    f"b-{number}-public.publicclusterprod.t9rw6w.c1.kafka.eu-west-1.amazonaws.com:9196"
    for number in (1, 2, 3)
)

MOST_SECONDS_BETWEEN_HEARTBEATS = 0.3  # a standby learns by one that the other has left


@dataclass(frozen=True)
class Place:
    """A topic, the group to read it in, and the brokers. `requests_only`: see `changelog.judge`."""

    topic: str
    group: str
    brokers: tuple[str, ...]
    requests_only: bool
    credentials: KafkaCredentials | None


def place_of(
    settings: KafkaSettings,
    integration: IntegrationSettings,
    organization: Organization,
    credentials: KafkaCredentials | None,
) -> Place:
    """Where to consume. `credentials` are None with `kafkaSecurityEnabled: false`.

    Brokers: those set, else those that Port gives with the credentials, else upstream's.
    """
    requests_only = REQUESTS_FLAG in organization.feature_flags
    name = "integration.resync.requests" if requests_only else "change.log"
    given = credentials.brokers if credentials is not None else ()
    group = f"{organization.id}.{integration.type}.{integration.identifier}"
    return Place(
        topic=f"{organization.id}.{name}",
        group=group if settings.kafka_security_enabled else OPEN_GROUP,
        brokers=settings.brokers or given or EU_BROKERS,
        requests_only=requests_only,
        credentials=credentials,
    )


def consumer_options(settings: KafkaSettings, place: Place) -> dict[str, Any]:
    """What of kafka-python's options depends on the settings. Times are milliseconds there."""
    session = settings.session_timeout
    heartbeat = min(session / 3, MOST_SECONDS_BETWEEN_HEARTBEATS)
    options: dict[str, Any] = {
        "bootstrap_servers": list(place.brokers),
        "group_id": place.group,
        "session_timeout_ms": round(session * 1000),
        "heartbeat_interval_ms": round(heartbeat * 1000),
    }
    if place.credentials is not None:
        options["security_protocol"] = settings.security_protocol
        if settings.security_protocol.startswith("SASL"):
            options["sasl_mechanism"] = settings.authentication_mechanism
            options["sasl_plain_username"] = place.credentials.username
            options["sasl_plain_password"] = place.credentials.password
    return options
