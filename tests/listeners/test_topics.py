"""Which topic, which group, which brokers, and how to log in."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from ocean_actors.listeners.kafka.subscription import (
    EU_BROKERS,
    REQUESTS_FLAG,
    consumer_options,
    place_of,
)
from ocean_actors.port.models import KafkaCredentials, Organization
from ocean_actors.settings import IntegrationSettings, KafkaSettings

INTEGRATION = IntegrationSettings(type="github", identifier="my-github")
CREDENTIALS = KafkaCredentials("user", "secret")


def place(settings: Any = None, flags: Any = (), credentials: Any = CREDENTIALS) -> Any:
    organization = Organization("org_1", frozenset(flags))
    return place_of(settings or KafkaSettings(), INTEGRATION, organization, credentials)


def test_the_change_log_is_read_unless_the_organization_has_a_topic_of_requests() -> None:
    assert place().topic == "org_1.change.log"
    assert not place().requests_only
    assert place(flags=[REQUESTS_FLAG]).topic == "org_1.integration.resync.requests"
    assert place(flags=[REQUESTS_FLAG]).requests_only


def test_the_group_is_upstreams() -> None:
    assert place().group == "org_1.github.my-github"
    open_settings = KafkaSettings(kafka_security_enabled=False, brokers=("a:1",))
    assert place(open_settings, credentials=None).group == "no-security"


def test_brokers_are_those_set_else_those_of_the_credentials_else_upstreams() -> None:
    given = KafkaCredentials("user", "secret", ("us-1:9196", "us-2:9196"))
    assert place().brokers == EU_BROKERS
    assert place(credentials=given).brokers == ("us-1:9196", "us-2:9196")
    settings = KafkaSettings.model_validate({"brokers": "a:1,b:2"})
    assert place(settings, credentials=given).brokers == ("a:1", "b:2")


def test_the_login_is_by_scram_over_tls_unless_set_otherwise() -> None:
    context = ssl.create_default_context()
    options = consumer_options(KafkaSettings(), place(), context)
    assert options["ssl_context"] is context
    assert options["security_protocol"] == "SASL_SSL"
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert options["sasl_plain_username"] == "user"
    assert options["sasl_plain_password"] == "secret"
    tls = KafkaSettings(security_protocol="SSL")
    assert "sasl_mechanism" not in consumer_options(tls, place(tls), context)
    plain = KafkaSettings(kafka_security_enabled=False, brokers=("a:1",))
    assert "security_protocol" not in consumer_options(plain, place(plain, credentials=None), None)


@pytest.mark.parametrize(("session", "heartbeat"), [(10.0, 300), (0.6, 200)])
def test_heartbeats_fit_the_session_and_let_a_standby_notice_within_a_second(
    session: float, heartbeat: int
) -> None:
    settings = KafkaSettings(session_timeout=session)
    options = consumer_options(settings, place(settings), None)
    assert options["session_timeout_ms"] == session * 1000
    assert options["heartbeat_interval_ms"] == heartbeat


def test_the_password_is_in_no_repr() -> None:
    assert "secret" not in repr(place())
