"""A connection from the open internet: bounded in number, time and size, answered in JSON.

waitress closes a connection that is silent for `channel_timeout`, and stops accepting at
`connection_limit`. That leaves two ways to keep others out: many idle connections, and a few
that trickle. Here the connection that was silent longest makes room for a new one, and a request
has to arrive within `REQUEST_SECONDS`.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

# The stubs of waitress (types-waitress) are wrong about these, so they stay untyped.
from waitress.channel import HTTPChannel  # type: ignore[import-untyped]
from waitress.parser import (  # type: ignore[import-untyped]
    HTTPRequestParser,
    ParsingError,
    TransferEncodingNotImplemented,
)
from waitress.task import ErrorTask, WSGITask  # type: ignore[import-untyped]
from waitress.utilities import RequestEntityTooLarge  # type: ignore[import-untyped]

from ocean_actors.web.answers import Answer, error_answer, too_large

CONNECTIONS = 256  # a file descriptor each, and a second one while a large body is on its way
REQUEST_SECONDS = 30.0  # for a whole request, head and body
IDLE_SECONDS = 30  # without a byte
HEAD_BYTES = 16 * 1024  # of request line and headers together
IN_MEMORY_BYTES = 64 * 1024  # of a body; what is longer goes to a temporary file
LINGER_BYTES = 8 * 1024 * 1024
LINGER_SECONDS = 5.0


def limits(
    max_body_bytes: int,
    refused: Callable[[int, str, str], None],
    *,
    request_seconds: float = REQUEST_SECONDS,
    idle_seconds: int = IDLE_SECONDS,
) -> Mapping[str, Any]:
    """What an `HttpServer` that strangers reach is made with; see `docs/webhook.md`.

    `refused(status, address, message)` is called for each request that waitress itself refuses.
    """
    return {
        "channel": functools.partial(
            Channel,
            max_body_bytes=max_body_bytes,
            request_seconds=request_seconds,
            refused=refused,
        ),
        "connection_limit": 2 * CONNECTIONS,  # a second line, that is not reached
        "channel_timeout": idle_seconds,
        "cleanup_interval": min(5, idle_seconds),
        "backlog": 1024,
        "max_request_header_size": HEAD_BYTES,
        # waitress counts what frames the chunks as well; `Parser` and the application are exact
        "max_request_body_size": 2 * max_body_bytes + IN_MEMORY_BYTES,
        "inbuf_overflow": IN_MEMORY_BYTES,
        "clear_untrusted_proxy_headers": False,  # whose are believed is decided at the intake
        "log_socket_errors": False,  # resets by peers are their affair
    }


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """One request; one that announces a body over the limit ends with its head."""

    def __init__(self, adj: Any, *, max_body_bytes: int) -> None:
        super().__init__(adj)
        self._max_body_bytes = max_body_bytes

    def parse_header(self, header_plus: bytes) -> None:
        """Take the head of the request."""
        try:
            super().parse_header(header_plus)
        except TransferEncodingNotImplemented:  # 501 by RFC 9112, 6.1; but the mistake is not ours
            raise ParsingError("unknown transfer encoding") from None
        except ValueError:  # of int and urlsplit, which waitress does not expect
            raise ParsingError("malformed request line or Content-Length") from None
        if self.content_length > self._max_body_bytes:
            self.error = RequestEntityTooLarge("")
            self.body_rcv = None
            self.expect_continue = False


class Channel(HTTPChannel):  # type: ignore[misc]
    """One connection. Its methods run in the server's loop, `service` in a task thread."""

    close_when_flushed: bool

    def __init__(
        self,
        server: Any,
        sock: socket.socket,
        addr: Any,
        adj: Any,
        map: dict[int, Any] | None = None,  # noqa: A002  (waitress's name)
        *,
        max_body_bytes: int,
        request_seconds: float,
        refused: Callable[[int, str, str], None],
    ) -> None:
        self.request_seconds = request_seconds
        self.max_body_bytes = max_body_bytes
        self.refused = refused
        self.parser_class = functools.partial(Parser, max_body_bytes=max_body_bytes)
        self.error_task_class = JsonErrorTask
        self.task_class = WholeTask
        self._began = 0.0  # of the request that is arriving
        self._erred = False
        self._lingers_until: float | None = None
        self._lingered = 0
        make_room(server.active_channels)
        super().__init__(server, sock, addr, adj, map=map)

    def received(self, data: bytes) -> bool:
        """Take bytes of a request, unless it has been arriving for too long."""
        now = time.monotonic()
        arriving = self.request
        if arriving is None:
            self._began = now
        elif now - self._began > self.request_seconds:
            self.will_close = True
            return False
        taken: bool = super().received(data)
        if self.request is not arriving:
            self._began = now
        return taken

    def service(self) -> None:
        """Answer a request."""
        self._erred = self.requests[0].error is not None
        super().service()

    # A request is refused before its end has arrived. Were the connection closed at once, what
    # still arrives would be answered by a reset, which may overtake the answer. So the rest is
    # thrown away for a while, until the caller has read the answer and closes.

    def handle_write(self) -> None:
        """Send what waits; close when that was asked for."""
        lingers = self._erred and self.close_when_flushed and not self.total_outbufs_len
        if not lingers or self.will_close:
            super().handle_write()
            return
        self._erred = self.close_when_flushed = False
        self._lingers_until = time.monotonic() + LINGER_SECONDS
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def handle_read(self) -> None:
        """Read a request, or throw away the rest of one that was refused."""
        if self._lingers_until is None:
            super().handle_read()
            return
        try:
            self._lingered += len(self.recv(65_536))  # at the end of the stream it closes itself
        except OSError:
            self.handle_close()
            return
        if self._lingered > LINGER_BYTES or time.monotonic() > self._lingers_until:
            self.handle_close()


class WholeTask(WSGITask):  # type: ignore[misc]
    """Sends the head of an answer along with its body: one packet, where waitress sends two."""

    wrote_header: bool

    def write(self, data: bytes) -> None:
        """Send a part of the body."""
        if self.wrote_header or self.content_length != len(data) or not self.has_body:
            super().write(data)
            return
        self.wrote_header = True
        self.content_bytes_written = len(data)
        self.channel.write_soon(self.build_response_header() + data)


class JsonErrorTask(ErrorTask):  # type: ignore[misc]
    """What waitress says to a request that never reaches the application, without its banner."""

    def execute(self) -> None:
        """Answer the request's error."""
        error = self.request.error
        answer = _answer(error.code, self.channel.max_body_bytes)
        self.channel.refused(error.code, str(self.channel.addr[0]), answer.body["message"])
        body = answer.encoded()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


_MESSAGES = {
    400: "this is no well-formed HTTP request",
    431: f"request line and headers may have {HEAD_BYTES} bytes",
    500: "internal error",
}


def _answer(status: int, max_body_bytes: int) -> Answer:
    if status == 413:
        return too_large(max_body_bytes).answer()
    return error_answer(status, _MESSAGES.get(status, "the request cannot be served"))


def make_room(channels: dict[int, Any], limit: int = CONNECTIONS) -> None:
    """Close the connections that were silent longest until one more fits in.

    Those whose request is being answered are spared: there are few, each has a task thread
    or waits for one.
    """
    surplus = len(channels) - limit + 1
    if surplus > 0:
        idle = [channel for channel in channels.values() if not channel.requests]
        for channel in sorted(idle, key=lambda channel: channel.last_activity)[:surplus]:
            channel.handle_close()
