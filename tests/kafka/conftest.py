"""A real broker, one for the session, and an organization of Port for each test."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import socket
import threading
import types
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, MemberToRemove, NewTopic
from kafka.errors import KafkaError
from kafka.structs import TopicPartition
from waiting import wait_until

from ocean_actors.sandbox import Sandbox
from ocean_actors.sandbox.broker import Broker, broker
from ocean_actors.testing.sandboxed import IDENTIFIER, SandboxedSystem

WITHIN = 60.0


@pytest.fixture(scope="session")
def own_broker() -> Iterator[Broker]:
    """One that a test may restart, with the user alice; its cluster's id begins with a dash."""
    with pytest.MonkeyPatch.context() as patch:
        ids = types.SimpleNamespace(uuid4=lambda: uuid.UUID(int=0xF8 << 120))
        patch.setattr("ocean_actors.sandbox.broker.uuid", ids)
        running = Broker(users={"alice": "in wonderland"})
        running.start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def bootstrap(request: pytest.FixtureRequest) -> str:
    """Where most tests go: the broker that KAFKA_BOOTSTRAP_SERVERS names, else the own one."""
    named = broker()
    if isinstance(named, Broker):
        own: Broker = request.getfixturevalue("own_broker")
        return own.bootstrap
    return named.bootstrap


class Organization:
    """An organization of its own: its Port, its topic, what is published and committed."""

    def __init__(self, bootstrap: str, **options: Any) -> None:
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

    def close(self) -> None:
        self._stack.close()

    @property
    def admin(self) -> Any:
        if not hasattr(self, "_admin"):
            self._admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        return self._admin

    def make_topic(self, topic: str | None = None, partitions: int = 1) -> Organization:
        self.admin.create_topics([NewTopic(topic or self.topic, partitions, 1)])
        return self

    def publish(
        self, *messages: Any, topic: str | None = None, partition: int | None = None, **options: Any
    ) -> int:
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
            offset: int = [each.get(WITHIN) for each in sent][-1].offset
            return offset

    @staticmethod
    def encoded(message: Any) -> bytes | None:
        return message if isinstance(message, bytes | None) else json.dumps(message).encode()

    def request(self, **more: Any) -> dict[str, Any]:
        return {"action": "RESYNC", "context": {"integrationId": IDENTIFIER}, **more}

    def committed(self, partition: TopicPartition | None = None) -> int | None:
        """What the group committed; None if nothing, or if the broker does not say now."""
        try:
            found = self.admin.list_group_offsets([self.group])[self.group]
            found = found.get(partition or self.partition)
        except KafkaError:
            return None
        return None if found is None or found.offset < 0 else found.offset

    def expect_committed(self, offset: int) -> None:
        wait_until(lambda: self.committed() == offset, f"offset {offset}")

    def throw_members_out(self) -> None:
        members = self.admin.describe_groups([self.group])[self.group]["members"]
        ids = [MemberToRemove(member_id=member["member_id"]) for member in members]
        self.admin.remove_group_members(self.group, ids)

    @staticmethod
    def shown(rig: SandboxedSystem) -> dict[str, Any]:
        """What the Kafka listener shows of itself."""
        actors = rig.system.status()["actors"]
        return next((each["details"] for each in actors if each["name"] == "kafka"), {})

    def expect_state(self, rig: SandboxedSystem, state: str) -> dict[str, Any]:
        """Wait for `state`; returns what the listener shows of itself in it."""

        def in_it() -> dict[str, Any] | None:
            shown = self.shown(rig)
            return shown if shown.get("state") == state else None

        return wait_until(in_it, f"the state {state}")

    def listener(self, **settings: Any) -> dict[str, Any]:
        return {"type": "KAFKA", "securityProtocol": "PLAINTEXT", **settings}

    def system(
        self, *handlers: Any, listener: dict[str, Any] | None = None, **settings: Any
    ) -> SandboxedSystem:
        return SandboxedSystem(
            list(handlers),
            sandbox=self.sandbox,
            eventListener=self.listener(**(listener or {})),
            **settings,
        )


@pytest.fixture
def make_organization(bootstrap: str) -> Iterator[Callable[..., Organization]]:
    with contextlib.ExitStack() as stack:

        def make(address: str = bootstrap, **options: Any) -> Organization:
            organization = Organization(address, **options)
            stack.callback(organization.close)
            return organization

        yield make


@pytest.fixture
def organization(make_organization: Callable[..., Organization]) -> Organization:
    return make_organization().make_topic()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <:ResourceWarning"))


@pytest.fixture(autouse=True)
def no_rubbish() -> Iterator[None]:
    """kafka-python leaves sockets that could not connect to the garbage collector.

    `Connections` closes those of the listener; producers and admin clients of tests leave theirs.
    Its log records hold them, by the errors in them, so none may be made.
    """
    logger = logging.getLogger("kafka")
    before = logger.level
    threads = set(threading.enumerate())
    logger.setLevel(logging.CRITICAL + 1)
    yield
    for thread in set(threading.enumerate()) - threads:  # on a busy machine they end a bit later
        if thread.name.startswith("kafka-io-"):
            thread.join(30)
    logger.setLevel(before)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


HEARTBEAT = b"\x00\x0c"  # the api key, which follows the four bytes of a request's length


class Proxy:
    """A proxy between one client and the broker, which can stop passing anything on.

    Speaks HTTP CONNECT, as kafka-python's option `proxy_url` wants it.

    `cut` leaves all connections open, but nothing passes any more, as when a network goes away.
    `cut(heartbeats_only=True)` spares those of the present connections that carry no heartbeats.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets = [self._listener]
        self._heartbeats: set[socket.socket] = set()  # connections that carry some
        self._passes: Callable[[socket.socket], bool] = lambda _connection: True
        self._changed = threading.Condition()
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, *, heartbeats_only: bool = False) -> None:
        spared = set(self._sockets) - self._heartbeats if heartbeats_only else set()
        self._passes = spared.__contains__

    def mend(self) -> None:
        with self._changed:
            self._passes = lambda _connection: True
            self._changed.notify_all()

    def close(self) -> None:
        self._closed = True
        self.mend()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                self._sockets.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            host, port = head.split()[1].decode().rsplit(":", 1)
            broker = socket.create_connection((host, int(port)))
            self._sockets.append(broker)
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            threading.Thread(target=self._pass, args=(client, client, broker), daemon=True).start()
            self._pass(client, broker, client)

    def _pass(self, connection: socket.socket, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if source is connection and data[4:6] == HEARTBEAT:
                    self._heartbeats.add(connection)
                with self._changed:
                    self._changed.wait_for(lambda: self._passes(connection))
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with contextlib.closing(Proxy()) as running:
        yield running
