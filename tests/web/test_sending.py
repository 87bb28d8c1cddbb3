"""How answers leave: by the task thread that made them, by the loop only if bytes are left.

And what the loop does meanwhile: it reads once, and is not woken for what it need not do.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from ocean_actors.web.channel import Channel
from ocean_actors.web.server import HttpServer

MEBIBYTE = 1 << 20
LONG = 24  # MiB: more than the sockets hold and than waitress lets wait (16 MiB)
OTHERS = 5


def hello(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


def long_answer(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("Content-Length", str(LONG * MEBIBYTE))])
    return (bytes([65 + number]) * MEBIBYTE for number in range(LONG))


class Held:
    """Holds the first answer in `send`, and counts how often the loop wants to write meanwhile."""

    def __init__(self) -> None:
        self.sender: HeldChannel | None = None
        self.sending = threading.Event()
        self.go_on = threading.Event()
        self.wanted = 0


class HeldChannel(Channel):
    def __init__(self, *args: Any, held: Held, **options: Any) -> None:
        self.held = held
        super().__init__(*args, **options)

    def send(self, data: bytes, do_close: bool = True) -> int:
        if self.held.sender is None:
            self.held.sender = self
            self.held.sending.set()
            self.held.go_on.wait(30)
        return int(super().send(data, do_close=do_close))

    def handle_write(self) -> None:
        if self.held.sender is self and not self.held.go_on.is_set():
            self.held.wanted += 1
        super().handle_write()


@pytest.fixture
def serve() -> Iterator[Callable[..., HttpServer]]:
    servers = []

    def start(app: Any, **options: Any) -> HttpServer:
        server = HttpServer(app, "127.0.0.1", 0, **options)
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


def ask(server: HttpServer) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    return connection


def read_all(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as stream:
        return stream.read()


def test_the_loop_leaves_a_connection_alone_while_a_task_thread_sends(
    serve: Callable[..., HttpServer],
) -> None:
    held = Held()
    server = serve(hello, channel=functools.partial(HeldChannel, held=held))
    with ask(server) as connection:
        try:
            assert held.sending.wait(30)
            for _ in range(OTHERS):  # each makes the loop turn a few times
                assert requests.get(server.url, timeout=30).text == "hello"
            assert held.wanted <= 1  # a turn may have begun before the thread began to send
        finally:
            held.go_on.set()
        assert read_all(connection).endswith(b"hello")


def test_the_loop_sends_what_a_task_thread_could_not(serve: Callable[..., HttpServer]) -> None:
    with ask(serve(long_answer)) as connection:
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b"".join(bytes([65 + number]) * MEBIBYTE for number in range(LONG))


CALL = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


class Woken(Channel):
    """Counts how often the threads that answer wake the loop."""

    count = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        wake = self.server.pull_trigger

        def counted() -> None:
            Woken.count += 1
            wake()

        self.server.pull_trigger = counted


def read_answer(connection: socket.socket) -> bytes:
    found = b""
    while not found.endswith(b"hello"):
        piece = connection.recv(65_536)
        assert piece, "the connection was closed before the answer was complete"
        found += piece
    return found


def test_an_answer_that_was_sent_does_not_wake_the_loop(
    serve: Callable[..., HttpServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Woken, "count", 0)
    server = serve(hello, channel=Woken)
    with contextlib.ExitStack() as stack:
        for _ in range(5):  # a connection each: nothing comes while the thread ends its work
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
            stack.enter_context(connection)
            connection.sendall(CALL)
            read_answer(connection)
        server.stop()  # all threads have ended
        assert Woken.count == 0


@pytest.mark.parametrize("calls", [1, 3])
def test_a_caller_who_ends_its_half_of_the_connection_gets_its_answers(
    serve: Callable[..., HttpServer], calls: int
) -> None:
    came, go_on = threading.Event(), threading.Event()

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/":
            came.set()
            go_on.wait(30)
        return hello(environ, start_response)

    server = serve(slow)
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(CALL)
        assert came.wait(30)
        connection.sendall(CALL * (calls - 1))
        connection.shutdown(socket.SHUT_WR)
        for _ in range(2):  # now the loop has seen the end
            assert requests.get(f"{server.url}/quick", timeout=30).text == "hello"
        go_on.set()
        assert read_all(connection).count(b"hello") == calls
