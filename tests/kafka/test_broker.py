"""The broker that tests, sandbox and benchmarks start."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import requests
from kafka import KafkaConsumer
from kafka.admin import KafkaAdminClient
from kafka.structs import TopicPartition
from waiting import wait_until

from ocean_actors.sandbox.broker import Broker, BrokerError, ForeignBroker, broker
from ocean_actors.sandbox.command import serve
from ocean_actors.sandbox.jars import verify

if TYPE_CHECKING:
    from tests.kafka.conftest import Organization

pytestmark = pytest.mark.xdist_group("kafka brokers")


def test_a_broker_named_in_the_environment_is_used_and_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "a:1,b:2")
    named = broker()
    assert isinstance(named, ForeignBroker)
    named.start()
    named.stop()
    assert named.bootstrap == "a:1,b:2"
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS")
    assert isinstance(broker(), Broker)


def test_without_a_writable_home_the_cache_of_jars_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "home").write_text("a file where a folder is needed")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(BrokerError, match=r"Kafka's jars .*\.cache/jgo .*/home.*writable") as error:
        Broker().start()
    assert "\n" not in str(error.value)


def test_a_jar_that_was_changed_is_refused(tmp_path: Path) -> None:
    jar = tmp_path / "kafka-clients-4.3.1.jar"
    jar.write_bytes(b"something else")
    with pytest.raises(
        BrokerError, match=r"kafka-clients-4\.3\.1\.jar: its SHA-256 is not the expected"
    ):
        verify([jar])
    with pytest.raises(BrokerError, match=r"jars of Kafka are missing: .*kafka-clients"):
        verify([])


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jgo", None)
    with pytest.raises(BrokerError, match=r"pip install '\.\[broker\]'") as error:
        Broker().start()
    assert "\n" not in str(error.value)


def test_stopping_one_that_was_not_started_is_harmless() -> None:
    with pytest.raises(BrokerError):
        Broker().ca_file  # noqa: B018
    Broker().stop()


def test_a_broker_that_cannot_start_shows_the_end_of_its_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ocean_actors.sandbox.broker.HEAP", "-Xmx1k")
    with pytest.raises(BrokerError, match="heap"):
        Broker().start()


def test_any_cluster_id_will_do(own_broker: Broker) -> None:
    """Also one that looks like an option: base64 may begin with a dash."""
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=own_broker.bootstrap)) as admin:
        assert admin.describe_cluster()["cluster_id"].startswith("-")


def test_data_and_addresses_outlive_a_kill(
    own_broker: Broker, make_organization: Callable[..., Organization]
) -> None:
    organization = make_organization(own_broker.bootstrap).make_topic()
    before = own_broker.bootstrap, own_broker.sasl_bootstrap
    assert organization.publish(organization.request()) == 0
    own_broker.kill()
    own_broker.start()
    assert (own_broker.bootstrap, own_broker.sasl_bootstrap) == before
    assert organization.publish(organization.request()) == 1


def test_the_broker_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, signal; from ocean_actors.sandbox.broker import Broker; b = Broker();"
        "b._listens = lambda: True;"  # as soon as its process has begun
        "b.start(); print(b._process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    pid = int(done.stdout)
    if psutil.pid_exists(pid):
        psutil.wait_procs([psutil.Process(pid)], timeout=20)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_the_sandbox_of_the_command_line_publishes_between_noise(
    own_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", own_broker.bootstrap)
    until = threading.Event()
    lines = serve("127.0.0.1", 0, kafka=True, noise=7, until=until)
    said = [next(lines) for _ in range(5)]
    found = re.search(r"http://[\d.:]+", said[0])
    assert found is not None
    url = found[0]
    topic = TopicPartition("org_sandbox.change.log", 0)
    consumer = KafkaConsumer(bootstrap_servers=own_broker.bootstrap)
    try:
        account = {"clientId": "sandbox", "clientSecret": "sandbox-secret"}
        token = requests.post(f"{url}/v1/auth/access_token", json=account, timeout=10).json()
        requests.post(
            f"{url}/v1/integration",
            json={"installationId": "demo", "changelogDestination": {"type": "KAFKA"}},
            headers={"Authorization": f"Bearer {token['accessToken']}"},
            timeout=10,
        ).raise_for_status()
        before = consumer.end_offsets([topic])[topic]
        asked = requests.post(f"{url}/sandbox/integrations/demo/resync", timeout=10)
        asked.raise_for_status()
        wait_until(
            lambda: consumer.end_offsets([topic])[topic] - before >= 8, "eight more messages"
        )
    finally:
        consumer.close()
        until.set()
        assert [*lines] == ["stopped"]
