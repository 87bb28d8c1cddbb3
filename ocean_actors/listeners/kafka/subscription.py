"""Which topic, group and brokers an integration uses: docs/port-wire.md, section 7. Pure."""

from __future__ import annotations

import ssl
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

MAX_HEARTBEAT_SECONDS = 0.3  # a standby learns from a heartbeat that the other has left


@dataclass(frozen=True)
class Place:
    """A topic, the group to read it in, and the brokers to start from.

    `requests_only`: see `changelog.interpret`. `credentials` is None for an open broker.
    """

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
    """Returns where to consume. `credentials` is None with `kafkaSecurityEnabled: false`.

    The brokers are those of the settings, else those that Port gives with the credentials, else
    upstream's.
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


def uses_tls(settings: KafkaSettings, place: Place) -> bool:
    """Returns whether connections to the brokers are encrypted."""
    return place.credentials is not None and settings.security_protocol in ("SSL", "SASL_SSL")


def consumer_options(
    settings: KafkaSettings, place: Place, tls: ssl.SSLContext | None
) -> dict[str, Any]:
    """Returns the options of kafka-python that depend on the settings; times in milliseconds.

    `tls` is used if `uses_tls`; without it kafka-python makes a context of its own.
    """
    session = settings.session_timeout
    heartbeat = min(session / 3, MAX_HEARTBEAT_SECONDS)
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
    if uses_tls(settings, place):
        options["ssl_context"] = tls
    return options
