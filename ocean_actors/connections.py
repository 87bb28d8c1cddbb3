"""Connections whose sockets another thread can shut down.

A session, or a client of Port, shuts them down when its token is cancelled or a call is overdue;
whoever waits in one then gets an error or the end of the stream.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import ipaddress
import os
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from http.client import RemoteDisconnected
from typing import Any
from urllib.parse import urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.connection import allowed_gai_family
from urllib3.util.wait import wait_for_write

from ocean_actors import tls
from ocean_actors.actors import CancelToken, Clock

Timeout = float | tuple[float, float]

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and between two bytes of an answer."""

MOST_IDLE = 64
"""Connections to one server that are kept open: as many as threads may call it at the same time."""

SHORT_BODY = 64 * 1024
"""Bytes of a body that is copied to be sent in one piece with the head of its request."""


class AnswerTooLong(OSError):
    """A body is longer than the call allows, in bytes after decompression."""


class StaleConnection(ConnectionResetError):
    """A reused connection ended before the first byte of an answer."""


class HttpCall:
    """One attempt: the socket that it uses now, and how many bytes its answer may have.

    `once`: it is not sent again over a fresh connection if its own proves stale. `permit` is
    called once connected, right before anything is sent, and may raise.
    """

    def __init__(
        self,
        max_bytes: int | None,
        *,
        once: bool = False,
        permit: Callable[[], object] | None = None,
    ) -> None:
        self.max_bytes = max_bytes
        self.once = once
        self.permit = permit
        self.overdue = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()  # the clock's thread ends what this thread waits in

    def use(self, sock: socket.socket | None) -> None:
        """Say which socket the attempt waits in from now on; None after its end."""
        with self._lock:
            self._socket = sock
            if sock is not None and self.overdue:
                _shut_down(sock)

    def end(self) -> None:
        """End the attempt, as it took too long. From any thread."""
        with self._lock:
            self.overdue = True
            if self._socket is not None:
                _shut_down(self._socket)


class LiveSockets:
    """The sockets of a session, held weakly. Once shut down, later ones are shut down at once."""

    def __init__(self) -> None:
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._shut = False
        self._calls = threading.local()

    @property
    def call(self) -> HttpCall | None:
        """The attempt that this thread makes."""
        return getattr(self._calls, "call", None)

    @call.setter
    def call(self, call: HttpCall | None) -> None:
        self._calls.call = call

    def add(self, sock: socket.socket) -> None:
        """Watch a socket, which this thread's attempt uses from now on."""
        with self._lock:
            self._sockets.add(sock)
            shut = self._shut
        if shut:
            _shut_down(sock)
        self.use(sock)

    def use(self, sock: socket.socket) -> None:
        """Say that this thread's attempt uses a socket that is watched already."""
        if self.call is not None:
            self.call.use(sock)

    @contextlib.contextmanager
    def attempt(self, call: HttpCall, clock: Clock, deadline: float | None) -> Iterator[None]:
        """Have `call` be this thread's attempt, and end it once it takes `deadline` seconds."""
        outer, self.call = self.call, call  # a hook of `requests` may call within an attempt
        timer = None if deadline is None else clock.call_later(deadline, call.end)
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()
            call.use(None)
            self.call = outer

    def shut_down(self) -> None:
        """Wake whoever waits in one of them: reads end, and writes fail."""
        with self._lock:
            self._shut = True
            sockets = list(self._sockets)
        for sock in sockets:
            _shut_down(sock)


def _shut_down(sock: socket.socket) -> None:
    """Shut both ways. Not `sock.shutdown`: that of a TLS socket goes on in plain text."""
    with contextlib.suppress(OSError):  # not connected any more, or closed
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


class CancellableConnection(HTTPConnection):
    """A connection whose socket the session can shut down from the start."""

    def __init__(self, sockets: LiveSockets, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sockets = sockets
        self._answered = False  # since it was connected
        self._held: list[bytes] | None = None
        self._twin: socket.socket | None = None

    def connect(self) -> None:
        """Connect. A duplicate of the socket is watched until TLS has taken the original over."""
        self._answered = False
        try:
            super().connect()
            self._sockets.add(self._plain_socket())
        finally:
            if self._twin is not None:
                self._twin.close()
                self._twin = None

    def send(self, data: Any) -> None:
        """Send a piece of a request, if its permit holds at that moment."""
        if self._held is not None:
            self._held.append(data)
            return
        if self.sock is None and self.auto_open:
            self.connect()
        call = self._sockets.call
        if call is not None and call.permit is not None:
            call.permit()
        super().send(data)

    def request(self, method: str, url: str, body: Any = None, *args: Any, **kwargs: Any) -> None:
        """Send a request; a short body is sent along with its head, in one piece."""
        if self.sock is not None:
            self._sockets.use(self._plain_socket())
        with self._telling_stale():
            self._held = [] if isinstance(body, bytes) and len(body) <= SHORT_BODY else None
            try:
                super().request(method, url, body, *args, **kwargs)
            finally:
                held, self._held = self._held, None
            if held:
                self.send(b"".join(held))

    def getresponse(self) -> Any:
        """Read the head of the answer."""
        with self._telling_stale():
            response = super().getresponse()
        self._answered = True
        return response

    @contextlib.contextmanager
    def _telling_stale(self) -> Iterator[None]:
        """Raise StaleConnection if the server closed the connection while it was idle."""
        try:
            yield
        except BrokenPipeError:
            raise  # urllib3 still reads the answer, which may have come before
        except (RemoteDisconnected, ConnectionError, ssl.SSLEOFError) as error:
            if self._answered:
                raise StaleConnection(errno.ECONNRESET, "the idle connection ended") from error
            raise

    def _plain_socket(self) -> socket.socket:
        sock: Any = self.sock
        plain: socket.socket = getattr(sock, "socket", sock)  # the former: TLS in TLS
        return plain

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers, as urllib3 does, but watched."""
        failure: OSError | None = None
        try:
            addresses = socket.getaddrinfo(
                self._dns_host, self.port, allowed_gai_family(), socket.SOCK_STREAM
            )
        except (OSError, UnicodeError) as error:
            raise NewConnectionError(self, f"cannot resolve {self.host}: {error}") from error
        for family, kind, protocol, _name, address in addresses:
            sock = socket.socket(family, kind, protocol)
            try:
                self._dial(sock, address)
                return sock
            except OSError as error:
                sock.close()
                failure = error
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, f"no connection to {self.host} in time") from failure
        raise NewConnectionError(self, f"no connection to {self.host}: {failure}") from failure

    def _dial(self, sock: socket.socket, address: Any) -> None:
        """Connect. Watch the socket only from then on: shutting it down before does not last."""
        for option in self.socket_options or ():
            sock.setsockopt(*option)
        if self.source_address is not None:
            sock.bind(self.source_address)
        seconds = self.timeout if isinstance(self.timeout, int | float) else None
        sock.setblocking(False)
        code = sock.connect_ex(address)
        self._watch(sock)
        if code == errno.EINPROGRESS:
            if not wait_for_write(sock, seconds):
                raise TimeoutError
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        sock.settimeout(seconds)

    def _watch(self, sock: socket.socket) -> None:
        if self._twin is not None:
            self._twin.close()
        self._twin = sock.dup()
        self._sockets.add(self._twin)


class CancellableTLSConnection(CancellableConnection, HTTPSConnection):
    """The same over TLS."""


@functools.lru_cache(maxsize=8)
def _context(strict: bool, _authorities: tuple[tls.Authorities, ...]) -> ssl.SSLContext:
    return tls.client_context(strict=strict)


def shared_context(*, strict: bool) -> ssl.SSLContext:
    """Returns the TLS context of all connections: it takes 0.1 s to make."""
    return _context(strict, tls.authorities(os.environ))


def is_loopback(url: str) -> bool:
    """Returns whether a URL names this machine, which no proxy can reach for us."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked(pieces: Iterable[bytes], token: CancelToken, max_bytes: int | None) -> Iterator[bytes]:
    """Yields the pieces of a body.

    Raises AnswerTooLong after more than `max_bytes` bytes, and the token's error once that is
    cancelled.
    """
    size = 0
    for piece in pieces:
        token.check()
        size += len(piece)
        if max_bytes is not None and size > max_bytes:
            raise AnswerTooLong(f"the answer is longer than {max_bytes} bytes")
        yield piece


def is_stale(error: BaseException) -> bool:
    """Returns whether a request failed because its connection had ended while it was idle."""
    return any(isinstance(each, StaleConnection) for each in causes(error))


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yields an error and what it was raised for, through the layers of requests and urllib3."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        error = waiting.pop(0)
        if error in seen:
            continue
        seen.append(error)
        yield error
        inner = [getattr(error, "reason", None), error.__cause__, *error.args]
        waiting += [item for item in inner if isinstance(item, BaseException)]
