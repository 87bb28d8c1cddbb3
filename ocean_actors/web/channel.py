"""A connection from the open internet: bounded in number, time and size, answered in JSON.

waitress closes a connection that is silent for `channel_timeout`, and stops accepting at
`connection_limit`. That leaves two ways to keep others out: many idle connections, and a few
that trickle. Here the connection that was silent longest makes room for a new one, and a request
has to arrive within `REQUEST_SECONDS`.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

# The stubs of waitress (types-waitress) are wrong about these, so they stay untyped.
from waitress.channel import HTTPChannel  # type: ignore[import-untyped]
from waitress.task import ErrorTask  # type: ignore[import-untyped]

from ocean_actors.web.answers import Answer, error_answer
from ocean_actors.web.app import too_large

CONNECTIONS = 256  # a file descriptor each, and a second one while a large body is on its way
REQUEST_SECONDS = 30.0  # for a whole request, head and body
IDLE_SECONDS = 30  # without a byte
HEAD_BYTES = 16 * 1024  # of request line and headers together
IN_MEMORY_BYTES = 64 * 1024  # of a body; what is longer goes to a temporary file
LINGER_BYTES = 8 * 1024 * 1024
LINGER_SECONDS = 5.0


def limits(max_body_bytes: int) -> Mapping[str, Any]:
    """The adjustments of waitress for a server that strangers reach; see `docs/webhook.md`."""
    return {
        "connection_limit": 2 * CONNECTIONS,  # a second line, that is not reached
        "channel_timeout": IDLE_SECONDS,
        "cleanup_interval": 5,
        "backlog": 1024,
        "max_request_header_size": HEAD_BYTES,
        "max_request_body_size": max_body_bytes + 1,  # waitress refuses the limit itself
        "inbuf_overflow": IN_MEMORY_BYTES,
        "log_socket_errors": False,  # resets by peers are their affair
    }


class Channel(HTTPChannel):  # type: ignore[misc]
    """One connection. Its methods run in the server's loop, `service` in a task thread.

    `refused(status, address, message)` is called for each request that waitress itself refuses.
    """

    close_when_flushed: bool

    def __init__(
        self,
        server: Any,
        sock: socket.socket,
        addr: Any,
        adj: Any,
        map: dict[int, Any] | None = None,  # noqa: A002  (waitress's name)
        *,
        refused: Callable[[int, str, str], None] = lambda *_said: None,
    ) -> None:
        self.refused = refused
        self.error_task_class = JsonErrorTask
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
        elif now - self._began > REQUEST_SECONDS:
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


class JsonErrorTask(ErrorTask):  # type: ignore[misc]
    """What waitress says to a request that never reaches the application, without its banner."""

    def execute(self) -> None:
        """Answer the request's error."""
        error = self.request.error
        answer = _answer(error.code, self.channel.adj)
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
    501: "this transfer encoding is not known",
}


def _answer(status: int, adjustments: Any) -> Answer:
    if status == 413:
        return too_large(adjustments.max_request_body_size - 1).answer()
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
