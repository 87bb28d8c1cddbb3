"""A broker that goes away, comes back, or wants another password."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from scripted import Script
from waiting import wait_until

from ocean_actors import ResyncHandler
from ocean_actors.messages import RunEnded, RunStarted
from ocean_actors.sandbox.broker import Broker

if TYPE_CHECKING:
    from tests.kafka.conftest import Organization

pytestmark = pytest.mark.xdist_group("kafka brokers")  # one worker, one broker


@pytest.fixture
def organization(
    make_organization: Callable[..., Organization], own_broker: Broker
) -> Iterator[Organization]:
    own_broker.start()
    yield make_organization(own_broker.bootstrap).make_topic()
    own_broker.start()


def test_a_run_outlives_a_restart_of_the_broker(
    organization: Organization, own_broker: Broker, script: Script, scripted: type[ResyncHandler]
) -> None:
    with organization.system(scripted, listener={"sessionTimeout": 60}) as rig:
        organization.expect_state(rig, "active")
        organization.publish(organization.request())
        run = script.wait_until_at_work()
        own_broker.restart()
        assert not run.aborted
        script.let_finish()
        assert rig.expect(RunEnded).status == "completed"
        organization.expect_committed(1)
        organization.publish(organization.request())
        script.wait_until_at_work()
        script.let_finish()
        organization.expect_committed(2)
        assert script.entered.empty()


def test_a_broker_that_is_down_is_shown_and_waited_for(
    organization: Organization,
    own_broker: Broker,
    quick: type[ResyncHandler],
    caplog: pytest.LogCaptureFixture,
) -> None:
    own_broker.kill()
    with organization.system(quick, listener={"sessionTimeout": 6}) as rig:
        wait_until(
            lambda: organization.shown(rig).get("state") in ("connecting", "failing"),
            "an attempt to connect",
        )
        own_broker.start()
        organization.expect_state(rig, "active")
        own_broker.kill()
        organization.expect_state(rig, "unreachable")
        assert any("no Kafka broker can be reached" in each for each in caplog.messages)
        own_broker.start()
        organization.expect_state(rig, "active")
        organization.publish(organization.request())
        assert rig.expect(RunEnded).status == "completed"


def test_scram_over_tls_and_a_new_password(
    organization: Organization,
    own_broker: Broker,
    quick: type[ResyncHandler],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)  # it would replace the next one
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(own_broker.ca_file))
    secure = {
        "brokers": own_broker.sasl_bootstrap,
        "securityProtocol": "SASL_SSL",
        "authenticationMechanism": "SCRAM-SHA-512",
        "sessionTimeout": 2,  # a new consumer waits for it, as the old one could not say good-bye
    }
    sandbox = organization.sandbox
    sandbox.set_kafka_credentials("alice", "not in wonderland", [])
    try:
        with organization.system(quick, listener=secure) as rig:
            assert organization.expect_state(rig, "failing")["error"]
            sandbox.set_kafka_credentials("alice", "in wonderland", [])
            organization.expect_state(rig, "active")
            organization.publish(organization.request())
            assert rig.expect(RunEnded).status == "completed"
            # The password is changed; connections that exist go on until the broker ends them.
            own_broker.set_password("alice", "through the looking-glass")
            sandbox.set_kafka_credentials("alice", "through the looking-glass", [])
            own_broker.restart()
            organization.publish(organization.request())
            assert rig.expect(RunStarted, within=60).run.reason == "resync requested"
            shown = str(rig.system.status()) + caplog.text
        for secret in ("wonderland", "looking-glass"):
            assert secret not in shown
    finally:
        own_broker.set_password("alice", "in wonderland")


def test_a_certificate_that_is_not_trusted_is_named(
    organization: Organization,
    own_broker: Broker,
    quick: type[ResyncHandler],
    caplog: pytest.LogCaptureFixture,
) -> None:
    secure = {"brokers": own_broker.sasl_bootstrap, "securityProtocol": "SASL_SSL"}
    with organization.system(quick, listener=secure) as rig:
        shown = organization.expect_state(rig, "failing")
        assert own_broker.sasl_bootstrap in shown["error"]
        assert "certificate verify failed" in shown["error"]
        first = organization.shown(rig)
        wait_until(lambda: rig.system.status()["actors"], "the actors")
        assert organization.shown(rig)["error"] == first["error"]
    named = [each for each in caplog.messages if "certificate verify failed" in each]
    assert len(named) == 1


def test_a_name_that_does_not_exist_is_named(
    organization: Organization, quick: type[ResyncHandler], caplog: pytest.LogCaptureFixture
) -> None:
    with organization.system(quick, listener={"brokers": "no-such-host.invalid:9092"}) as rig:
        error = organization.expect_state(rig, "failing")["error"]
        assert "no-such-host.invalid:9092" in error
        assert "DNS" in error
    assert any("no-such-host.invalid" in each for each in caplog.messages)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_no_log_level_shows_how_we_log_in(
    organization: Organization,
    own_broker: Broker,
    quick: type[ResyncHandler],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    mechanism: str,
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(own_broker.ca_file))
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="kafka")
    secure = {
        "brokers": own_broker.sasl_bootstrap,
        "securityProtocol": "SASL_SSL",
        "authenticationMechanism": mechanism,
    }
    with organization.system(quick, listener=secure) as rig:
        organization.expect_state(rig, "active")
    assert any(each.name.startswith("kafka.") for each in caplog.records)
    for secret in ("in wonderland", "SaslAuthenticateRequest(", ",p="):
        assert secret not in caplog.text, secret
