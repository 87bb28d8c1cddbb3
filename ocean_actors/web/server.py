"""A WSGI server that starts, stops and frees its port when told: waitress, owned by one object."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

# The stubs of waitress (types-waitress) are wrong about these, so they stay untyped.
from waitress.adjustments import Adjustments  # type: ignore[import-untyped]
from waitress.channel import HTTPChannel  # type: ignore[import-untyped]
from waitress.server import TcpWSGIServer  # type: ignore[import-untyped]
from waitress.task import ThreadedTaskDispatcher  # type: ignore[import-untyped]
from waitress.wasyncore import dispatcher, loop  # type: ignore[import-untyped]

logger = logging.getLogger(__name__)

WsgiApp = Callable[..., Any]


class HttpServer:
    """Serves `app` on `host`:`port` (0: any free port) from threads of its own.

    `limits` are waitress's adjustments (`max_request_body_size` in bytes, `channel_timeout` in
    seconds, `connection_limit`, …; docs.pylonsproject.org/projects/waitress, "Arguments").
    It names no version of itself unless `ident` is given. `channel` makes what serves a
    connection.
    Not thread-safe: started and stopped by its owner; may be started again after a stop.
    """

    def __init__(
        self,
        app: WsgiApp,
        host: str,
        port: int,
        *,
        threads: int = 4,
        channel: Callable[..., HTTPChannel] = HTTPChannel,
        **limits: Any,
    ) -> None:
        self._app = app
        self._channel = channel
        self._host = host
        self._wanted_port = port
        self._adjustments = {"threads": threads, "ident": None, **limits}
        self._port = port
        self._serving: _Serving | None = None

    @property
    def port(self) -> int:
        """The port it listens on; before the start, the one it was given."""
        return self._port

    @property
    def url(self) -> str:
        """Its address for a client on this machine, without a slash at the end."""
        host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    def start(self) -> None:
        """Bind and serve; connections are accepted once this returns.

        Raises OSError, its text naming host and port, if they cannot be bound, and ValueError
        for an adjustment that waitress does not have. Either way nothing was started.
        """
        if self._serving is not None:
            raise RuntimeError(f"already serving on {self.url}")
        adjustments = Adjustments(**self._adjustments)
        bound = _bind(self._host, self._wanted_port)
        try:
            self._serving = _Serving(self._app, bound, adjustments, self._channel)
        except BaseException:
            bound.close()
            raise
        self._port = bound.getsockname()[1]

    def stop(self, timeout: float = 5.0) -> None:
        """Close every socket, join every thread and free the port, within `timeout` seconds.

        Calls in flight may finish within that time; idle connections and requests that have
        arrived in part are closed at once. A call that is still at it then is left behind (its
        thread is a daemon) with a warning. Stopping what does not run does nothing.
        """
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.stop(time.monotonic() + timeout)


def _bind(host: str, port: int) -> socket.socket:
    """A bound socket. Ours, as waitress would start its threads before it tries to bind."""
    bound = None
    try:
        if not 0 <= port <= 65535:  # getaddrinfo would take it modulo 65536
            raise OSError(errno.EINVAL, "a port is a number from 0 to 65535")
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        if port:  # for "any free one" it might choose one that another process is about to use
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()  # two sockets may share a port until one of them listens
    except OSError as error:
        if bound is not None:
            bound.close()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    return bound


class _Tasks(ThreadedTaskDispatcher):  # type: ignore[misc]
    """waitress's task threads, remembered so that they can be joined."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._started: list[threading.Thread] = []

    def start_new_thread(self, target: Callable[[int], None], thread_no: int) -> None:
        """As waitress does it, under our name."""
        thread = threading.Thread(
            target=target, name=f"{self._name}-{thread_no}", args=(thread_no,), daemon=True
        )
        self._started.append(thread)
        thread.start()

    def add_task(self, task: HTTPChannel) -> None:
        """As waitress does it, without a warning for each call that has to wait its turn."""
        with self.lock:
            self.queue.append(task)
            self.queue_cv.notify()

    def join(self, deadline: float) -> list[str]:
        """End the threads; those that have not ended by `deadline` (monotonic) are named."""
        self.set_thread_count(0)
        others = [thread for thread in self._started if thread is not threading.current_thread()]
        for thread in others:
            thread.join(max(0.0, deadline - time.monotonic()))
        return [thread.name for thread in others if thread.is_alive()]


class _Serving:
    """One start of a server: its sockets, its loop's thread and its task threads.

    Everything in `map` belongs to the loop's thread, so closing is done there, called in by
    waitress's trigger (a pipe that wakes the loop).
    """

    def __init__(
        self,
        app: WsgiApp,
        bound: socket.socket,
        adjustments: Adjustments,
        channel: Callable[..., HTTPChannel],
    ) -> None:
        name = f"http-{bound.getsockname()[1]}"
        self._address = "{}:{}".format(*bound.getsockname()[:2])
        self._map: dict[int, dispatcher] = {}
        self._tasks = _Tasks(name)
        self._server = TcpWSGIServer(
            app,
            self._map,
            True,
            bound,
            dispatcher=self._tasks,
            adj=adjustments,
            sockinfo=(bound.family, bound.type, bound.proto, bound.getsockname()),
            bind_socket=False,
        )
        self._server.channel_class = channel
        self._tasks.set_thread_count(adjustments.threads)
        self._wake_up = adjustments.asyncore_loop_timeout
        self._loop = threading.Thread(target=self._run, name=name, daemon=True)
        self._loop.start()

    def stop(self, deadline: float) -> None:
        """See `HttpServer.stop`; `deadline` is monotonic."""
        self._in_loop(self._close_idle)
        stuck = self._tasks.join(deadline)
        self._in_loop(self._close_all)
        self._loop.join(max(1.0, deadline - time.monotonic()))
        if self._loop.is_alive():
            stuck.append(self._loop.name)
        else:
            self._close_all()  # had the loop died early, nobody would have
            # Not before: a task that ends writes into the trigger, and closed descriptors are
            # given to others. Those left behind do not write, their connections being closed.
            self._server.trigger.close()
        if stuck:
            logger.warning(
                "the server on %s stopped, but these threads are still at a call: %s",
                self._address,
                ", ".join(stuck),
            )

    def _run(self) -> None:
        try:
            # poll, as select ends at descriptor 1024
            loop(timeout=self._wake_up, use_poll=True, map=self._map)
        except Exception:
            logger.exception("the server on %s failed", self._address)

    def _in_loop(self, thunk: Callable[[], None]) -> None:
        with contextlib.suppress(OSError):  # the loop has died and taken its pipe along
            self._server.trigger.pull_trigger(thunk)

    def _close_idle(self) -> None:
        """Accept nothing more and close all connections but those with a call in flight."""
        dispatcher.close(self._server)
        for channel in self._channels():
            if not channel.requests and not channel.total_outbufs_len:
                channel.handle_close()

    def _close_all(self) -> None:
        """Close what is left, which ends the loop."""
        dispatcher.close(self._server)
        for channel in self._channels():
            channel.handle_close()
        self._server.trigger.del_channel()

    def _channels(self) -> list[HTTPChannel]:
        return [item for item in self._map.values() if isinstance(item, HTTPChannel)]
