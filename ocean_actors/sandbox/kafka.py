"""Publishes the sandbox's changes to Kafka, as Port does, with optional noise between them."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kafka import KafkaProducer
from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient, NewTopic

from ocean_actors.log import get_logger
from ocean_actors.sandbox.broker import BrokerError, broker

if TYPE_CHECKING:
    from ocean_actors.sandbox.server import Sandbox

logger = get_logger(__name__)

Json = dict[str, Any]

LISTENER = {"type": "KAFKA", "securityProtocol": "PLAINTEXT"}
"""The `eventListener` for a broker of `kafka_beside`; Port's credentials name its address."""

STOP_SECONDS = 5.0
NOISE_BYTES = 1_500  # about the size of a message about an entity


class KafkaPublisher:
    """A `Publisher` for integrations that are registered for KAFKA.

    Changes go to the topic `<organization>.change.log`, each after `noise` messages about
    entities; resync requests also go to `<organization>.integration.resync.requests`. `start`
    creates the topics, with one partition as in Port.
    """

    def __init__(self, bootstrap: str, organization_id: str, *, noise: int = 0) -> None:
        self._bootstrap = bootstrap
        self._change_log = f"{organization_id}.change.log"
        self._requests = f"{organization_id}.integration.resync.requests"
        self._noise = noise
        self._waiting: queue.SimpleQueue[Json | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Create the topics and start to send. Raises kafka.errors.KafkaError."""
        make_topics(self._bootstrap, self._change_log, self._requests)
        self._thread = threading.Thread(
            target=self._send_all, args=(self._waiting,), name="sandbox-kafka", daemon=True
        )
        self._thread.start()

    def publish(self, message: Json, integration: Json) -> None:
        """Queue the message if the integration listens on Kafka."""
        destination = integration.get("changelogDestination") or {}
        if destination.get("type") == "KAFKA":
            self._waiting.put(message)

    def stop(self) -> None:
        """Send the queued messages and end the thread."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        waiting, self._waiting = self._waiting, queue.SimpleQueue()  # what is left is not sent
        waiting.put(None)
        thread.join(STOP_SECONDS)
        if thread.is_alive():
            logger.warning("the sandbox stopped before all its messages were sent to Kafka")

    def _send_all(self, waiting: queue.SimpleQueue[Json | None]) -> None:
        producer = KafkaProducer(bootstrap_servers=self._bootstrap, linger_ms=0)
        numbers = iter(range(2**62))
        try:
            while (message := waiting.get()) is not None:
                for noise in entity_changes(numbers, self._noise):
                    producer.send(self._change_log, noise)
                value = json.dumps(message, separators=(",", ":")).encode()
                producer.send(self._change_log, value)
                if message.get("action") == "RESYNC":
                    producer.send(self._requests, value)
        except kafka_errors.KafkaError as error:
            logger.error("the sandbox cannot publish to Kafka: %s", error)  # noqa: TRY400  (the line tells it all)
        finally:
            producer.close(timeout=STOP_SECONDS)


@contextlib.contextmanager
def kafka_beside(sandbox: Sandbox, *, noise: int = 0) -> Iterator[str]:
    """Have the running `sandbox` publish to a Kafka, and give its address to clients of Port.

    Yields the address: the one in KAFKA_BOOTSTRAP_SERVERS, else that of a broker started here.
    Raises BrokerError.
    """
    running = broker()
    running.start()
    try:
        publisher = KafkaPublisher(running.bootstrap, sandbox.organization_id, noise=noise)
        try:
            sandbox.add_publisher(publisher)
        except kafka_errors.KafkaError as error:
            raise BrokerError(f"cannot use the Kafka at {running.bootstrap}: {error}") from None
        sandbox.set_kafka_credentials("sandbox", "sandbox", running.bootstrap.split(","))
        try:
            yield running.bootstrap
        finally:
            publisher.stop()
    finally:
        running.stop()


def make_topics(bootstrap: str, *topics: str) -> None:
    """Create missing topics, with one partition. Raises kafka.errors.KafkaError."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        for topic in topics:
            with contextlib.suppress(kafka_errors.TopicAlreadyExistsError):
                admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        admin.close()


def entity_changes(numbers: Iterator[int], count: int) -> Iterator[bytes]:
    """Yields `count` change-log messages about entities, numbered by `numbers`."""
    for _ in range(count):
        number = next(numbers)
        entity = {
            "identifier": f"service-{number}",
            "blueprint": "service",
            "title": f'The "{number}th" service',
            "properties": {"readme": "All about it. " * ((NOISE_BYTES - 400) // 14)},
        }
        message = {
            "action": "UPDATE",
            "resourceType": "entity",
            "status": "SUCCESS",
            "trigger": {"at": "2026-10-01T08:00:00.000Z", "origin": "API"},
            "context": {"blueprint": "service", "entity": entity["identifier"]},
            "diff": {"before": {**entity, "title": "old", "properties": {}}, "after": entity},
        }
        yield json.dumps(message, separators=(",", ":")).encode()
