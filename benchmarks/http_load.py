"""Many calls over few connections, and the calls that ask for a resync."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import time
from collections.abc import Iterator

from ocean_actors.web.signature import sign

CLIENTS = 4  # connections, each with one call on its way


def post(path: str, body: bytes, headers: str = "") -> bytes:
    """Returns the bytes of a call; each of `headers` ends with CRLF."""
    head = f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def signed_calls(secret: str, integration: str) -> Iterator[bytes]:
    """Yields the calls by which Port asks for a resync; no two are alike."""
    number = 0
    while True:
        number += 1
        request = {
            "action": "RESYNC", "context": {"integrationId": integration}, "number": number,
        }  # fmt: skip
        body = json.dumps(request).encode()
        moment = int(time.time())
        signature = sign(secret.encode(), moment, body)
        headers = f"x-port-timestamp: {moment}\r\nx-port-signature: {signature}\r\n"
        yield post("/resync", body, headers)


@contextlib.contextmanager
def sent(port: int, call: bytes) -> Iterator[float]:
    """Send one call and keep its connection open; yields when the call was sent."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun = time.perf_counter()
        connection.sendall(call)
        yield begun
        connection.settimeout(60)
        answer = connection.recv(65_536)
        if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 202")):
            raise RuntimeError(f"unexpected answer: {answer[:200]!r}")


def drive(port: int, calls: list[bytes], status: bytes, clients: int = CLIENTS) -> float:
    """Send the calls over connections that stay open; returns calls a second.

    Raises RuntimeError if an answer has another status, or if none comes for 30 seconds.
    """
    waiting = iter(calls)
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            for _ in range(clients)
        ]
        begun = time.perf_counter()
        busy = 0
        for connection in connections:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if (call := next(waiting, None)) is not None:
                connection.sendall(call)
                selector.register(connection, selectors.EVENT_READ, (connection, bytearray()))
                busy += 1
        while busy:
            if not (ready := selector.select(30)):
                raise RuntimeError(f"the server on port {port} has not answered for 30 s")
            for key, _ in ready:
                connection, buffer = key.data
                received = connection.recv(65_536)
                if not received:
                    raise RuntimeError(f"the server closed a connection after {bytes(buffer)!r}")
                buffer += received
                if not complete(buffer):
                    continue
                if not buffer.startswith(b"HTTP/1.1 " + status):
                    raise RuntimeError(f"unexpected answer: {bytes(buffer[:200])!r}")
                buffer.clear()
                if (call := next(waiting, None)) is None:
                    selector.unregister(connection)
                    busy -= 1
                else:
                    connection.sendall(call)
        return len(calls) / (time.perf_counter() - begun)


def complete(buffer: bytearray) -> bool:
    """Returns whether the buffer holds a whole answer."""
    head, end, body = buffer.partition(b"\r\n\r\n")
    if not end:
        return False
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)
