"""A connection from the open internet: bounded in number, time and size, answered in JSON.

waitress closes a connection that is silent for `channel_timeout`, and stops accepting at
`connection_limit`. That leaves several ways to keep others out: many idle connections, a few that
trickle, pipeline without end or never read their answers. Here each has its limit, and the
connection that was silent longest makes room for a new one.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

# The stubs of waitress (types-waitress) are wrong about these, so they stay untyped.
from waitress.channel import ClientDisconnected, HTTPChannel  # type: ignore[import-untyped]
from waitress.utilities import InternalServerError  # type: ignore[import-untyped]

from ocean_actors.web.parser import HEAD_BYTES, HeldBytes, Parser
from ocean_actors.web.tasks import JsonErrorTask, WholeTask

CONNECTIONS = 256  # a file descriptor each
REQUEST_SECONDS = 30.0  # for a whole request, head and body; and for the caller to read its answer
IDLE_SECONDS = 75  # between two requests; load balancers reuse a connection for up to 60 s
MAX_BODY_BYTES = 1 << 30  # where no limit is given
ARRIVING_BYTES = 64 * 1024 * 1024  # of all bodies that are arriving; they are held in memory
LINGER_BYTES = 8 * 1024 * 1024
LINGER_SECONDS = 5.0

IN_MEMORY = 1 << 40  # waitress moves longer bodies and answers to a temporary file; none is longer

Refused = Callable[[int, str, str], None]


def _log_nothing(_status: int, _source: str, _message: str) -> None:
    """For a server whose refusals nobody wants to see."""


def limits(
    max_body_bytes: int,
    refused: Refused,
    *,
    request_seconds: float = REQUEST_SECONDS,
    idle_seconds: float = IDLE_SECONDS,
    connections: int = CONNECTIONS,
    answer_seconds: float = float("inf"),
) -> Mapping[str, Any]:
    """Returns the arguments of an `HttpServer` that strangers reach; see docs/webhook.md.

    `refused(status, address, message)` is called for each request that never reaches the
    application, from any thread. A connection is closed if a thread is still at its answer
    `answer_seconds` after the first byte, however steadily the caller reads.
    """
    return {
        "channel": functools.partial(
            Channel,
            max_body_bytes=max_body_bytes,
            request_seconds=request_seconds,
            idle_seconds=idle_seconds,
            answer_seconds=answer_seconds,
            refused=refused,
        ),
        "connections": connections,
        "connection_limit": 2 * connections,  # reached only if all of them are at work
        "backlog": 1024,
        "max_request_header_size": HEAD_BYTES,
        # waitress counts what frames the chunks as well; `Parser` and the application are exact
        "max_request_body_size": 2 * max_body_bytes + 64 * 1024,
    }


class Channel(HTTPChannel):  # type: ignore[misc]  # waitress is untyped
    """One connection. Its methods run in the server's loop, `service` in a task thread."""

    close_when_flushed: bool
    current_outbuf_count: int
    request: Parser | None
    requests: list[Parser]

    def __init__(
        self,
        server: Any,
        sock: socket.socket,
        addr: Any,
        adj: Any,
        map: dict[int, Any] | None = None,  # noqa: A002  (waitress's name)
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
        request_seconds: float = REQUEST_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
        answer_seconds: float = float("inf"),
        refused: Refused = _log_nothing,
    ) -> None:
        now = time.monotonic()
        self.logger = server.logger
        self.request_seconds = request_seconds
        self.idle_seconds = idle_seconds
        self.answer_seconds = answer_seconds
        self.max_body_bytes = max_body_bytes
        self.refused = refused
        self.parser_class = self._next_parser
        self.error_task_class = JsonErrorTask
        self.task_class = WholeTask
        self.moved = now  # when bytes last came in or went out
        self.queued = now  # when the request at work began to wait for a thread
        self._answers_since: float | None = None  # when a thread sent the first byte of an answer
        self._began = now  # of the request that is arriving
        self._erred = False
        self._sends = False
        self._ended = False  # the caller will send nothing more
        self._lingers_until: float | None = None
        self._lingered = 0
        super().__init__(server, sock, addr, adj, map=map)

    # -- what the server asks ------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no complete request waits for its answer."""
        return not self.requests and not isinstance(self.request, HeldBytes)

    @property
    def body_bytes(self) -> int:
        """The memory that the bodies of its requests take."""
        requests = (self.request, *self.requests)
        return sum(request.body_bytes for request in requests if request is not None)

    def is_overdue(self, now: float) -> bool:
        """Whether the caller kept us waiting for too long, at `now` (monotonic seconds)."""
        if self._lingers_until is not None:
            return now > self._lingers_until
        if self._answers_since is not None and now - self._answers_since > self.answer_seconds:
            return True
        if self.total_outbufs_len:  # it does not read its answer
            return now - self.moved > self.request_seconds
        if not self.is_idle:
            return False
        arrives = self.request is not None
        return now - self.moved > self.idle_seconds or (
            arrives and now - self._began > self.request_seconds
        )

    @property
    def path(self) -> str | None:
        """The path of the request that is to be answered, None if there is no usable request."""
        requests = self.requests
        return requests[0].raw_path if requests and requests[0].error is None else None

    # -- reading ---------------------------------------------------------------------------------

    def _next_parser(self, adj: Any) -> Parser:
        kind = HeldBytes if self.requests or self.total_outbufs_len else Parser
        server = self.server
        return kind(adj, max_body_bytes=self.max_body_bytes, bodies_full=server.bodies_full)

    def readable(self) -> bool:
        """Returns whether bytes are wanted: also while a request is at work, but only once.

        Whoever changes the answer outside the loop has to wake the loop.
        """
        waits = isinstance(self.request, HeldBytes) or (self._ended and bool(self.requests))
        return not (waits or self.will_close or self.close_when_flushed)

    def received(self, data: bytes) -> bool:
        """Takes bytes of a request; closes the connection if it has been arriving for too long."""
        now = self.moved = time.monotonic()
        arriving = self.request
        if arriving is None:
            self._began = now
        elif now - self._began > self.request_seconds:
            self.handle_close()
            return False
        taken: bool = super().received(data)
        if self.request is not arriving:
            self._began = now
        return taken

    def resume(self) -> None:
        """Parses what was held back, once the answer before it has been read."""
        request = self.request
        ready = not (self.requests or self.total_outbufs_len or self.close_when_flushed)
        if isinstance(request, HeldBytes) and ready and self.connected and not self.will_close:
            self.request = None
            self.received(request.held)

    def handle_expt(self) -> None:
        """Closes the connection: TCP's urgent data are no part of HTTP."""
        self.handle_close()

    # -- answering -------------------------------------------------------------------------------

    def service(self) -> None:
        """Answers a request, and wakes the loop if that has something to do then.

        waitress wakes it after each answer, as it reads nothing while a request is at work.
        """
        request = self.requests[0]
        try:
            closes = self._serve(request)
        except Exception:
            self.logger.exception("cannot answer")
            self.cancel()  # else it would count as being answered for ever
            self.server.pull_trigger()
            return
        finally:
            self._answers_since = None
        request.close()
        if self.current_outbuf_count:  # as in waitress: the next answer gets a buffer of its own
            self.current_outbuf_count = self.adj.outbuf_high_watermark
        with self.requests_lock:
            self.close_when_flushed = closes
            self.requests = []
            held = isinstance(self.request, HeldBytes)
        if held:
            self.server.resumable.append(self)
        if held or closes or self._ended or self.total_outbufs_len:
            self.server.pull_trigger()

    def _serve(self, request: Parser) -> bool:
        """Returns whether the connection is to be closed after the answer."""
        self._erred = request.error is not None
        task = (self.error_task_class if self._erred else self.task_class)(self, request)
        if not self.connected:
            return True
        try:
            task.service()
        except ClientDisconnected:
            return True
        except BaseException:  # `exit()` in an application is one, too
            self.logger.exception("cannot answer")
            if task.wrote_header:
                return True
            request.error = InternalServerError("")
            task = self.error_task_class(self, request)
            task.service()
        return bool(task.close_on_finish)

    def write_soon(self, data: Any) -> int:
        """Sends data, or queues them."""
        self.moved = time.monotonic()
        if self._answers_since is None:
            self._answers_since = self.moved
        return int(super().write_soon(data))

    def writable(self) -> bool:
        """Returns whether the loop has bytes to send or a connection to close.

        It has none while a task thread sends, which wakes the loop if bytes are left. waitress
        would watch the socket anyway. As the socket is writable while the thread holds the lock,
        the loop would turn without a pause and keep the interpreter from that thread.
        """
        return not self._sends and bool(super().writable())

    def _flush_some(self, do_close: bool = True) -> bool:
        self._sends = True
        try:
            sent = bool(super()._flush_some(do_close=do_close))
        finally:
            self._sends = False
        if sent:
            self.moved = time.monotonic()
        return sent

    # A request is refused before its end has arrived. If the connection were closed at once, a
    # reset would answer what still arrives, and could overtake our answer. So the rest is thrown
    # away for a while, until the caller has read the answer and closes.

    def handle_write(self) -> None:
        """Sends what waits; closes when that was asked for."""
        lingers = self._erred and self.close_when_flushed and not self.total_outbufs_len
        if not lingers or self.will_close:
            super().handle_write()
            self.resume()
            return
        self._erred = self.close_when_flushed = False
        self._lingers_until = time.monotonic() + LINGER_SECONDS
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def handle_read(self) -> None:
        """Reads a request, or throws away the rest of one that was refused.

        A caller may end its half of the connection before it has its answer.
        """
        if self._lingers_until is None:
            self._ended = bool(self.requests) and self._at_end()
            if not self._ended:
                super().handle_read()
            return
        try:
            self._lingered += len(self.recv(65_536))  # at the end of the stream it closes itself
        except OSError:
            self.handle_close()
            return
        if self._lingered > LINGER_BYTES or time.monotonic() > self._lingers_until:
            self.handle_close()

    def _at_end(self) -> bool:
        try:
            return not self.socket.recv(1, socket.MSG_PEEK)
        except OSError:
            return False  # `recv` raises it again


def dispensable(channels: Collection[Channel], limit: int) -> tuple[list[Channel], bool]:
    """Returns which connections are closed so that one more fits in, and whether the others are
    to end with their next answer.

    The connections without a request at work that were silent longest are closed. Half of the
    `limit` is kept for such connections: however many others are busy, one that has just been
    opened is not closed before its request arrives, unless that many newer ones wait as well.
    """
    surplus = len(channels) + 1 - limit
    if surplus <= 0:
        return [], False
    idle = [channel for channel in channels if channel.is_idle]
    count = min(surplus, max(0, len(idle) - limit // 2))
    return sorted(idle, key=lambda channel: channel.moved)[:count], count < surplus
