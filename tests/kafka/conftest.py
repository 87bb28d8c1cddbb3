"""A real broker, one for the session, and an organization of Port for each test."""

import contextlib
import gc
import json
import logging
import threading
import time
import uuid
import warnings
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, MemberToRemove, NewTopic
from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from ocean_actors.sandbox import Sandbox
from ocean_actors.sandbox.broker import Broker, broker
from ocean_actors.testing.sandboxed import IDENTIFIER, SandboxedSystem

WITHIN = 60.0


def eventually(condition, within=WITHIN):
    """The first true value of `condition`."""
    until, pause = time.monotonic() + within, threading.Event()
    while not (value := condition()):
        assert time.monotonic() < until, f"it did not come to be within {within:g} s"
        pause.wait(0.02)
    return value


@pytest.fixture(scope="session")
def own_broker():
    """One that a test may restart, with the user alice."""
    with Broker(users={"alice": "in wonderland"}) as running:
        yield running


@pytest.fixture(scope="session")
def bootstrap(request):
    """Where most tests go: the broker that KAFKA_BOOTSTRAP_SERVERS names, else the own one."""
    named = broker()
    if isinstance(named, Broker):
        return request.getfixturevalue("own_broker").bootstrap
    return named.bootstrap


class Organization:
    """An organization of its own: its Port, its topic, what is published and committed."""

    def __init__(self, bootstrap, **options):
        self.bootstrap = bootstrap
        self.sandbox = Sandbox(organization_id=f"org_{uuid.uuid4().hex[:8]}", **options)
        self.sandbox.set_kafka_credentials("alice", "in wonderland", [bootstrap])
        self.topic = f"{self.sandbox.organization_id}.change.log"
        self.group = f"{self.sandbox.organization_id}.custom.{IDENTIFIER}"
        self.partition = TopicPartition(self.topic, 0)
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(self.sandbox)
        self._stack.callback(lambda: self.admin.close())
        self._producer = None

    def close(self):
        self._stack.close()

    @property
    def admin(self):
        if not hasattr(self, "_admin"):
            self._admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        return self._admin

    def make_topic(self, topic=None, partitions=1):
        self.admin.create_topics([NewTopic(topic or self.topic, partitions, 1)])
        return self

    def publish(self, *messages, topic=None, partition=None, **options):
        """Publish in order; returns the offset of the last one."""
        with contextlib.closing(
            KafkaProducer(
                bootstrap_servers=self.bootstrap,
                max_request_size=2**25, **options,
            )
        ) as producer:  # fmt: skip
            sent = [
                producer.send(topic or self.topic, self.encoded(each), b"key", partition=partition)
                for each in messages
            ]
            return [each.get(WITHIN) for each in sent][-1].offset

    @staticmethod
    def encoded(message):
        return message if isinstance(message, bytes | None) else json.dumps(message).encode()

    def request(self, **more):
        return {"action": "RESYNC", "context": {"integrationId": IDENTIFIER}, **more}

    def committed(self, partition=None):
        """What the group committed; None if nothing, or if the broker does not say now."""
        try:
            found = self.admin.list_group_offsets([self.group])[self.group]
            found = found.get(partition or self.partition)
        except KafkaError:
            return None
        return None if found is None or found.offset < 0 else found.offset

    def expect_committed(self, offset, within=WITHIN):
        eventually(lambda: self.committed() == offset, within)

    def throw_members_out(self):
        members = self.admin.describe_groups([self.group])[self.group]["members"]
        ids = [MemberToRemove(member_id=member["member_id"]) for member in members]
        self.admin.remove_group_members(self.group, ids)

    eventually = staticmethod(eventually)

    @staticmethod
    def shown(rig):
        """What the Kafka listener shows of itself."""
        actors = rig.system.status()["actors"]
        return next((each["details"] for each in actors if each["name"] == "kafka"), {})

    def expect_state(self, rig, state, within=WITHIN):
        eventually(lambda: self.shown(rig).get("state") == state, within)

    def listener(self, **settings):
        return {"type": "KAFKA", "securityProtocol": "PLAINTEXT", **settings}

    def system(self, *handlers, listener=None, **settings):
        return SandboxedSystem(
            list(handlers),
            sandbox=self.sandbox,
            eventListener=self.listener(**(listener or {})),
            **settings,
        )


@pytest.fixture
def make_organization(bootstrap):
    with contextlib.ExitStack() as stack:

        def make(address=bootstrap, **options):
            organization = Organization(address, **options)
            stack.callback(organization.close)
            return organization

        yield make


@pytest.fixture
def organization(make_organization):
    return make_organization().make_topic()


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <:ResourceWarning"))


@pytest.fixture(autouse=True)
def no_rubbish():
    """kafka-python leaves sockets that could not connect to the garbage collector.

    Its log records hold them, by the errors in them, so none may be made.
    """
    logger = logging.getLogger("kafka")
    before = logger.level
    threads = set(threading.enumerate())
    logger.setLevel(logging.CRITICAL + 1)
    yield
    for thread in set(threading.enumerate()) - threads:  # on a busy machine they end a bit later
        if thread.name.startswith("kafka-io-"):
            thread.join(5.0)
    logger.setLevel(before)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
