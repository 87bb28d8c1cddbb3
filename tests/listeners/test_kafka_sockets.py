"""A connection to a broker that fails leaves no socket to the garbage collector."""

from __future__ import annotations

import itertools
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka.errors import KafkaError
from scripted import WITHIN, Quick
from waiting import wait_until

from ocean_actors.listeners.kafka import kafka_python
from ocean_actors.listeners.kafka.kafka_python import BrokersUnreachable, GroupConsumer
from ocean_actors.testing import ManualClock, SandboxedSystem


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """All sockets that the test makes. The list keeps them from the garbage collector."""
    made: list[socket.socket] = []
    init = socket.socket.__init__

    def record(sock: socket.socket, *args: Any, **options: Any) -> None:
        init(sock, *args, **options)
        made.append(sock)

    monkeypatch.setattr(socket.socket, "__init__", record)
    yield made
    for sock in made:
        sock.close()


def expect_all_closed(made: list[socket.socket]) -> None:
    assert made
    wait_until(lambda: all(sock.fileno() == -1 for sock in made), "an end of all sockets")


def test_a_listener_whose_broker_refuses_leaves_none_open(
    made: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kafka_python.OPTIONS, "bootstrap_timeout_ms", 200)
    with socket.socket() as place:  # it does not listen
        place.bind(("127.0.0.1", 0))
        listener = {
            "type": "KAFKA",
            "brokers": f"127.0.0.1:{place.getsockname()[1]}",
            "kafkaSecurityEnabled": False,
        }
        with SandboxedSystem([Quick], eventListener=listener) as rig:
            wait_until(
                lambda: "ECONNREFUSED" in str(rig.system.status()), "the refusal in the status"
            )
    expect_all_closed(made)


class NoTls(socketserver.BaseRequestHandler):
    """A broker that does not speak TLS."""

    def handle(self) -> None:
        self.request.recv(1)
        self.request.sendall(b"this is no TLS record")


class Silent(socketserver.BaseRequestHandler):
    """A broker that takes connections and says nothing."""

    def handle(self) -> None:
        while self.request.recv(1_000):
            pass


class NoTlsThenSilent(socketserver.BaseRequestHandler):
    """A broker that breaks the first handshake and is silent afterwards."""

    calls = itertools.count()

    def handle(self) -> None:
        kind = NoTls if next(self.calls) == 0 else Silent
        kind(self.request, self.client_address, self.server)  # handles it at once


def tls_consumer(port: int) -> GroupConsumer:
    options = {
        "bootstrap_servers": [f"127.0.0.1:{port}"],
        "group_id": "demo",
        "security_protocol": "SSL",
        "ssl_context": ssl.create_default_context(),
    }
    return GroupConsumer(options, owned=tuple, confirmed=lambda _sent_at: None, clock=ManualClock())


@pytest.mark.parametrize(
    ("broker", "cause"),
    [
        (NoTls, "Handshake failed: "),
        (Silent, "timed out during the handshake"),
        (NoTlsThenSilent, "Handshake failed: "),
    ],
)
def test_a_handshake_that_fails_is_told_and_leaves_none_open(
    made: list[socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    broker: type[socketserver.BaseRequestHandler],
    cause: str,
) -> None:
    monkeypatch.setitem(kafka_python.OPTIONS, "bootstrap_timeout_ms", 2_000)
    monkeypatch.setattr(NoTlsThenSilent, "calls", itertools.count())
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), broker) as server:
        server.daemon_threads = True  # else its end waits for a connection that was left open
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with pytest.raises(BrokersUnreachable, match=cause):
                tls_consumer(server.server_address[1]).connect()
        finally:
            server.shutdown()
            thread.join(WITHIN)
    expect_all_closed(made)


def connecting(
    consumer: GroupConsumer, made: list[socket.socket]
) -> tuple[threading.Thread, list[KafkaError]]:
    """Returns a thread that is at the handshake with a broker, and the errors that it will get."""
    errors: list[KafkaError] = []

    def connect() -> None:
        try:
            consumer.connect()
        except KafkaError as error:
            errors.append(error)

    thread = threading.Thread(target=connect)
    thread.start()
    wait_until(lambda: any(isinstance(sock, ssl.SSLSocket) for sock in made), "a socket with TLS")
    return thread, errors


def test_a_handshake_that_is_aborted_leaves_none_open(made: list[socket.socket]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as broker:  # it says nothing
        consumer = tls_consumer(broker.getsockname()[1])
        thread, errors = connecting(consumer, made)
        consumer.abort()
        thread.join(WITHIN)
        assert errors
    expect_all_closed(made)


def test_an_abort_that_comes_just_after_the_connection_leaves_none_open(
    made: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = tls_consumer(9)

    class Connected:
        def __init__(self, *, kafka_client: Callable[..., Any], **options: Any) -> None:
            kafka_client(**options)
            consumer.abort()

    monkeypatch.setattr(kafka_python, "KafkaConsumer", Connected)
    with pytest.raises(KafkaError, match="aborted"):
        consumer.connect()
    expect_all_closed(made)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_abort_beside_the_start_of_the_event_loop_ends_its_thread_quietly(
    when: str, made: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """pytest fails the test if a thread ends by an exception."""
    consumer = tls_consumer(9)
    start = kafka_python.Selector.start
    loops: list[kafka_python.Selector] = []

    def aborted(loop: kafka_python.Selector) -> None:
        loops.append(loop)
        if when == "before":
            consumer.abort()
        start(loop)
        consumer.abort()

    monkeypatch.setattr(kafka_python.Selector, "start", aborted)
    with pytest.raises(KafkaError, match="aborted"):
        consumer.connect()
    assert len(loops) == 1
    assert not [each for each in threading.enumerate() if each.name.startswith("kafka-io")]
    expect_all_closed(made)


def test_an_abort_beside_a_connect_that_fails_raises_nothing(
    made: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An abort closes the client while the thread that connects does so too."""
    monkeypatch.setitem(kafka_python.OPTIONS, "bootstrap_timeout_ms", 60_000)
    with socket.create_server(("127.0.0.1", 0)) as broker:  # it says nothing
        consumer = tls_consumer(broker.getsockname()[1])
        thread, errors = connecting(consumer, made)
        cluster = consumer._require_client().cluster
        close = cluster.close

        def close_late() -> None:
            """Close once the other thread has closed the loop, if it does not wait for us."""
            thread.join(1)
            close()

        monkeypatch.setattr(cluster, "close", close_late)
        consumer.abort()
        thread.join(WITHIN)
    assert not thread.is_alive()
    assert errors
    expect_all_closed(made)
