"""A WSGI server that starts, stops and frees its port when told: waitress, owned by one object."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

# The stubs of waitress (types-waitress) are wrong about these, so they stay untyped.
from waitress.adjustments import Adjustments  # type: ignore[import-untyped]
from waitress.channel import HTTPChannel  # type: ignore[import-untyped]
from waitress.server import TcpWSGIServer  # type: ignore[import-untyped]
from waitress.wasyncore import dispatcher, loop  # type: ignore[import-untyped]

from ocean_actors.log import get_logger
from ocean_actors.web.channel import (
    ARRIVING_BYTES,
    CONNECTIONS,
    IN_MEMORY,
    Channel,
    dispensable,
)
from ocean_actors.web.log import ServerLog
from ocean_actors.web.wsgi import WsgiApp

logger = get_logger(__name__)

CLEANUP_SECONDS = 1.0  # between two looks for connections that are overdue
ACCEPTED_AT_ONCE = 64
PAUSE_SECONDS = 1.0  # after the operating system refused us a connection
OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True)
class SlowCalls:
    """Which calls wait for somebody else, and the threads that these calls have for themselves.

    So all other calls are answered at once, whatever these wait for. `has(path)` is called in the
    server's loop with the path as it was sent, and must not wait.
    """

    has: Callable[[str], bool]
    threads: int


class PortInUse(OSError):
    """Raised if another socket listens on the port; the text names host and port."""


class HttpServer:
    """Serves `app` on `host`:`port` (0: any free port) from threads of its own.

    `threads` answer the calls, except for those that are `slow`, which have threads of their own.
    `channel` makes what serves a connection, and `connections` is how many there may be; both
    come from `channel.limits`. `limits` are waitress's adjustments (`max_request_body_size` in
    bytes, …; docs.pylonsproject.org/projects/waitress, "Arguments"). The server names no version
    of itself unless `ident` is given. Bodies are kept in memory.

    Not thread-safe: started and stopped by its owner; may be started again after a stop. In a
    process that is forked while it serves, the copy is closed.
    """

    def __init__(
        self,
        app: WsgiApp,
        host: str,
        port: int,
        *,
        threads: int = 4,
        channel: Callable[..., HTTPChannel] = Channel,
        connections: int = CONNECTIONS,
        slow: SlowCalls | None = None,
        **limits: Any,
    ) -> None:
        self._app = app
        self._slow = slow
        self._channel = channel
        self._connections = connections
        self._host = host
        self._wanted_port = port
        self._adjustments = {
            "threads": threads,
            "ident": None,
            "inbuf_overflow": IN_MEMORY,
            "outbuf_overflow": IN_MEMORY,
            "clear_untrusted_proxy_headers": False,  # the application decides whose it believes
            "log_socket_errors": False,  # callers that disconnect are no concern of ours
            **limits,
        }
        self._port = port
        self._serving: _Serving | None = None

    @property
    def port(self) -> int:
        """The port it listens on; before the start, the one it was given."""
        return self._port

    @property
    def url(self) -> str:
        """Its address for a client on this machine, without a slash at the end."""
        host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104  (only compared)
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    def start(self) -> None:
        """Binds and serves; connections are accepted once this returns.

        Raises OSError, its text naming host and port, if they cannot be bound (PortInUse if
        somebody else listens there), and ValueError for an adjustment that waitress does not
        have. Either way nothing was started.
        """
        if self._serving is not None:
            raise RuntimeError(f"already serving on {self.url}")
        adjustments = Adjustments(**self._adjustments)
        bound = _bind(self._host, self._wanted_port)
        try:
            self._serving = _Serving(
                self._app, bound, adjustments, self._channel, self._connections, self._slow
            )
        except BaseException:
            bound.close()
            raise
        self._port = bound.getsockname()[1]

    def stop(self, timeout: float = 5.0) -> None:
        """Closes every socket, joins every thread and frees the port, within `timeout` seconds.

        Calls in flight may finish within that time; idle connections and requests that have
        arrived in part are closed at once. A call that takes longer is left behind with a
        warning; its thread is a daemon. Does nothing if the server does not run.
        """
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.stop(time.monotonic() + timeout)


def _bind(host: str, port: int) -> socket.socket:
    """Returns a bound socket. waitress would start its threads before it tries to bind."""
    bound = None
    try:
        if not 0 <= port <= 65535:  # getaddrinfo would take it modulo 65536
            raise OSError(errno.EINVAL, "a port is a number from 0 to 65535")
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        if port:  # without a given port it might take one that another process is about to use
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()  # two sockets may share a port until one of them listens
    except OSError as error:
        if bound is not None:
            bound.close()
        kind_of_error = PortInUse if error.errno == errno.EADDRINUSE else OSError
        message = f"cannot listen on {host}:{port}: {error.strerror or error}"
        raise kind_of_error(message) from None
    return bound


def affordable(connections: int) -> int:
    """Returns how many connections, at most `connections`, leave half of the file descriptors
    that this process may open (`ulimit -n`) to everything else.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return connections
    return min(connections, max(allowed // 2, 1))


class _Tasks:
    """The threads that answer calls. They replace waitress's, whose queue costs more per call."""

    def __init__(self, name: str, log: ServerLog) -> None:
        self._log = log
        self._name = name
        self._queue: SimpleQueue[HTTPChannel | None] = SimpleQueue()
        self._started: list[threading.Thread] = []

    def start(self, count: int) -> None:
        """Starts the threads. Raises RuntimeError if there can be no more of them."""
        for number in range(count):
            name = f"{self._name}-{number}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            thread.start()
            self._started.append(thread)

    def add_task(self, task: HTTPChannel) -> None:
        """Has the request of a connection answered."""
        self._queue.put(task)

    def end(self) -> None:
        """Has the threads end once the calls that wait are answered."""
        for _ in self._started:
            self._queue.put(None)

    def join(self, deadline: float) -> list[str]:
        """Waits for them after `end`; returns those alive at `deadline` (monotonic), by name."""
        others = [thread for thread in self._started if thread is not threading.current_thread()]
        for thread in others:
            thread.join(max(0.0, deadline - time.monotonic()))
        return [thread.name for thread in others if thread.is_alive()]

    def _run(self) -> None:
        while (task := self._queue.get()) is not None:
            try:
                task.service()
            except BaseException:  # noqa: BLE001  (logged; the thread has to go on)
                self._log.exception("cannot answer")


class _Lanes:
    """The dispatcher of a server: a queue and threads for slow calls, and others for the rest."""

    def __init__(self, name: str, log: ServerLog, slow: SlowCalls | None) -> None:
        self._slow_calls = slow
        self._fast = _Tasks(name, log)
        self._slow = _Tasks(f"{name}-slow", log)  # without threads unless there are slow calls

    def start(self, count: int) -> None:
        """Starts the threads; `count` of them are for calls that are not slow.

        Raises RuntimeError if there can be no more of them.
        """
        self._fast.start(count)
        if self._slow_calls is not None:
            self._slow.start(self._slow_calls.threads)

    def add_task(self, channel: Channel) -> None:
        """Queues the request of a channel."""
        channel.queued = time.monotonic()
        slow, path = self._slow_calls, channel.path
        is_slow = slow is not None and path is not None and slow.has(path)
        (self._slow if is_slow else self._fast).add_task(channel)

    def join(self, deadline: float) -> list[str]:
        """Ends the threads; returns the names of those still alive at `deadline` (monotonic)."""
        lanes = (self._fast, self._slow)
        for each in lanes:
            each.end()
        return [name for each in lanes for name in each.join(deadline)]


class _Server(TcpWSGIServer):  # type: ignore[misc]  # waitress is untyped
    """The listening socket. Everything here runs in the server's loop."""

    def __init__(self, *args: Any, connections: int, log: ServerLog, **keywords: Any) -> None:
        self.logger = log
        self.connections = connections
        self.crowded = False
        """Whether too many connections have a request at work: each ends with its next answer."""
        self.resumable: deque[Channel] = deque()
        """Connections that were answered and may have more requests in what they hold."""
        self._cleans_up_at = 0.0
        self._paused_until = 0.0
        self._refused = False
        super().__init__(*args, **keywords)

    def readable(self) -> bool:
        """Returns whether connections are accepted; called in each turn of the loop."""
        while self.resumable:
            self.resumable.popleft().resume()
        now = time.monotonic()
        if now >= self._cleans_up_at:
            self._cleans_up_at = now + CLEANUP_SECONDS
            self._close_overdue(now)
        if now < self._paused_until:
            return False
        # waitress asks `maintenance` by the machine's clock, which may be set back
        self.next_channel_cleanup = float("inf")
        return bool(super().readable())

    def handle_accept(self) -> None:
        """Accepts the connections that wait.

        waitress accepts one in each turn of the loop, so that with many busy connections a new
        one would wait for seconds.
        """
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted = self.accept()
            except OSError as error:
                if error.errno in OUT_OF_RESOURCES:
                    self._pause(error)
                return  # other errors concern the caller, who is gone already
            if accepted is None:
                return
            self._admit(*accepted)

    def _admit(self, connection: socket.socket, address: Any) -> None:
        """Serves a connection; others are closed for it if there are too many."""
        if self._refused:
            self._refused = False
            self.logger.warning("connections are accepted again")
        self._make_room(self.connections)
        try:
            self.set_socket_options(connection)
            self.channel_class(self, connection, address, self.adj, map=self._map)
        except OSError:  # the caller is gone already
            connection.close()

    def handle_error(self) -> None:
        """Logs an error of ours; waitress would close the listening socket."""
        self.logger.exception("cannot accept connections")
        self._paused_until = time.monotonic() + PAUSE_SECONDS

    def bodies_full(self) -> bool:
        """Returns whether the bodies that are arriving take all the memory that they may."""
        channels = list(self.active_channels.values())
        arriving: int = sum(channel.body_bytes for channel in channels)
        return arriving > ARRIVING_BYTES

    def _pause(self, error: OSError) -> None:
        """Stops accepting for a moment; else the waiting connection would keep the loop busy."""
        self._paused_until = time.monotonic() + PAUSE_SECONDS
        if not self._refused:
            self._refused = True
            self.logger.warning(
                "cannot accept connections: %s; retrying every second. If files ran out, raise "
                "ulimit -n", error.strerror,
            )  # fmt: skip
        self._make_room(len(self.active_channels))

    def _make_room(self, limit: int) -> None:
        """Closes connections until one more is within `limit`; see `dispensable`."""
        closed, self.crowded = dispensable(self.active_channels.values(), limit)
        for channel in closed:
            channel.handle_close()

    def _close_overdue(self, now: float) -> None:
        for channel in [item for item in self.active_channels.values() if item.is_overdue(now)]:
            channel.handle_close()


class _Serving:
    """One start of a server: its sockets, its loop's thread and its task threads.

    Everything in `map` belongs to the loop's thread, so sockets are closed there, by functions
    that waitress's trigger (a pipe that wakes the loop) calls.
    """

    def __init__(
        self,
        app: WsgiApp,
        bound: socket.socket,
        adjustments: Adjustments,
        channel: Callable[..., HTTPChannel],
        connections: int,
        slow: SlowCalls | None,
    ) -> None:
        name = f"http-{bound.getsockname()[1]}"
        self._address = "{}:{}".format(*bound.getsockname()[:2])
        self._map: dict[int, dispatcher] = {}
        self._log = ServerLog(self._address)
        self._stopping = threading.Event()
        self._tasks = _Lanes(name, self._log, slow)
        affordable_connections = affordable(connections)
        self._server = _Server(
            app,
            self._map,
            True,
            bound,
            dispatcher=self._tasks,
            adj=adjustments,
            sockinfo=(bound.family, bound.type, bound.proto, bound.getsockname()),
            bind_socket=False,
            connections=affordable_connections,
            log=self._log,
        )
        self._server.trigger.logger = self._log
        self._server.channel_class = channel
        self._wake_up = adjustments.asyncore_loop_timeout
        self._loop = threading.Thread(target=self._run, name=name, daemon=True)
        try:
            self._tasks.start(adjustments.threads)
            self._loop.start()
        except BaseException:  # no more threads can be started
            self._tasks.join(time.monotonic() + 1.0)
            self._server.close()
            raise
        _ALL.add(self)
        if affordable_connections < connections:
            logger.warning(
                "the server on %s keeps %d connections open at most, not %d, because this process "
                "may open only a few files (ulimit -n)",
                self._address, affordable_connections, connections,
            )  # fmt: skip

    def stop(self, deadline: float) -> None:
        """See `HttpServer.stop`; `deadline` is monotonic."""
        _ALL.discard(self)
        self._stopping.set()
        self._in_loop(self._close_idle)
        stuck = self._tasks.join(deadline)
        self._in_loop(self._close_all)
        self._loop.join(max(1.0, deadline - time.monotonic()))
        if self._loop.is_alive():
            stuck.append(self._loop.name)
        else:
            self._close_all()  # in case the loop ended early
            # Not before: a task that ends writes into the trigger, and closed descriptors are
            # given to others. Those left behind do not write, their connections being closed.
            self._server.trigger.close()
        if stuck:
            logger.warning(
                "the server on %s stopped, but these threads still answer a call: %s",
                self._address,
                ", ".join(stuck),
            )

    def close_in_child(self) -> None:
        """Closes the copies of our sockets in a forked process, where no thread of ours runs.

        Else the port would stay taken, and callers would not see their connections end, as long
        as that process lives.
        """
        for item in list(self._map.values()):
            with contextlib.suppress(OSError):
                if item is not self._server.trigger:
                    item.socket.close()

    def _run(self) -> None:
        while self._map:
            try:
                # poll, as select ends at descriptor 1024
                loop(timeout=self._wake_up, use_poll=True, map=self._map)
            except Exception:  # noqa: BLE001  (logged; the server has to go on)
                self._log.exception("the loop failed")
                self._stopping.wait(PAUSE_SECONDS)

    def _in_loop(self, thunk: Callable[[], None]) -> None:
        with contextlib.suppress(OSError, IndexError):  # the trigger is closed already
            self._server.trigger.pull_trigger(thunk)

    def _close_idle(self) -> None:
        """Accepts nothing more and closes all connections but those with a call in flight."""
        dispatcher.close(self._server)
        for channel in self._channels():
            if not channel.requests and not channel.total_outbufs_len:
                channel.handle_close()

    def _close_all(self) -> None:
        """Closes what is left, which ends the loop."""
        dispatcher.close(self._server)
        for channel in self._channels():
            channel.handle_close()
        self._server.trigger.del_channel()

    def _channels(self) -> list[HTTPChannel]:
        return [item for item in self._map.values() if isinstance(item, HTTPChannel)]


_ALL: weakref.WeakSet[_Serving] = weakref.WeakSet()


def _close_in_child() -> None:
    for serving in list(_ALL):
        serving.close_in_child()


os.register_at_fork(after_in_child=_close_in_child)
