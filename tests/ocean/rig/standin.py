"""A web server on plain sockets that stands for an integration's, and does what a test says."""

from __future__ import annotations

import contextlib
import functools
import socket
import struct
import threading
from collections.abc import Callable

Answer = Callable[[socket.socket, bytes], object]
"""Answers a request, which is given as it was sent, on the connection that it came on."""


def says(*parts: bytes) -> Answer:
    """Returns what sends these bytes and closes the connection."""

    def answer(connection: socket.socket, _request: bytes) -> None:
        for part in parts:
            connection.sendall(part)

    return answer


def ok(body: bytes = b"done", *headers: bytes) -> Answer:
    """Returns what answers 200 with a body."""
    head = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers]
    return says(b"\r\n".join(head) + b"\r\n\r\n" + body)


def reset(connection: socket.socket, _request: bytes = b"") -> None:
    """End a connection with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class StandIn:
    """Serves one request on each connection, each in a thread of its own.

    `requests` has what came, as it was sent.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        self._threads: list[threading.Thread] = []
        self._connections: list[socket.socket] = []
        self._stopping = threading.Event()
        self._start(self._accept)

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def stop(self) -> None:
        """Close all connections, and wait for the threads."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(30.0)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._start(functools.partial(self._serve, connection))

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(60.0)
            request = read_request(connection)
            if request:
                self.requests.append(request)
                self.answer(connection, request)

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, daemon=True)
        self._threads.append(thread)
        thread.start()


def read_request(connection: socket.socket) -> bytes:
    """Returns the request that is sent: its head, and as much of a body as its length says."""
    data = bytearray()
    while b"\r\n\r\n" not in data:
        part = connection.recv(65_536)
        if not part:
            return bytes(data)
        data += part
    head = data.partition(b"\r\n\r\n")[0]
    whole = len(head) + 4 + length_of(bytes(head))
    while len(data) < whole:
        part = connection.recv(1 << 20)
        if not part:
            break
        data += part
    return bytes(data)


def length_of(head: bytes) -> int:
    """Returns the length that the head of a request says."""
    return int(headers_of(head).get(b"content-length", [b"0"])[0])


def headers_of(request: bytes) -> dict[bytes, list[bytes]]:
    """Returns the headers of a request by their names in lower case."""
    found: dict[bytes, list[bytes]] = {}
    for line in request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        found.setdefault(name.lower(), []).append(value.strip())
    return found
