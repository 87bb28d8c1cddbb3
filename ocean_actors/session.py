"""HTTP calls that end as soon as a token is cancelled, wherever they wait."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import random
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.connection import allowed_gai_family
from urllib3.util.wait import wait_for_write

from ocean_actors.actors import CancelToken, Clock
from ocean_actors.retry import Retry, asked_wait

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and between two bytes of an answer."""

RETRIED_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
"""What may be sent twice and does no more than once (RFC 9110, 9.2.2)."""

RETRIED_STATUSES = frozenset({429, 502, 503, 504})

TRANSIENT = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)
LASTING = (requests.exceptions.SSLError,)

RETRY = Retry()

Timeout = float | tuple[float, float]


class CancellableSession(requests.Session):
    """A `requests.Session` whose calls raise the token's error once the token is cancelled.

    At once and from any thread: before sending, while connecting, while waiting for the first
    byte, between the bytes of a body (`content`, `iter_content`, `iter_lines`; not the bare
    `raw`), in the wait before a retry. Only the look-up of a host's name cannot be cut short.

    Calls of `RETRIED_METHODS` are tried again after connection errors, time-outs and
    `RETRIED_STATUSES`, as `retry` says; then the last answer is returned, or the last error
    raised, as by `requests`. Every call has the time-out, unless it brings its own.

    Several threads may share it as long as none of them changes it; it keeps no cookies.
    """

    def __init__(
        self,
        token: CancelToken,
        *,
        clock: Clock,
        timeout: Timeout = TIMEOUT,
        retry: Retry = RETRY,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Watch `token`, until `close`. `jitter` gives the jitter, in [0, 1)."""
        super().__init__()
        self.token = token
        self.timeout = timeout
        self.retry = retry
        self._clock = clock
        self._jitter = jitter
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        sockets = _LiveSockets()
        self._forget = token.on_cancel(sockets.shut_down)
        adapter = _CancellableAdapter(token, sockets)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request; see `requests.Session.send`, and the class for what is different."""
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self.timeout
        began = self._clock.monotonic()
        failures = 0
        while True:
            outcome = self._attempt(request, kwargs)
            failures += 1
            delay = None
            if _worth_retrying(request, outcome):
                elapsed = self._clock.monotonic() - began
                delay = self.retry.delay(failures, elapsed, self._asked(outcome), self._jitter())
            if delay is None:
                if isinstance(outcome, Exception):
                    raise outcome
                return outcome
            if isinstance(outcome, requests.Response):
                outcome.close()
            self.token.sleep(delay, self._clock)

    def close(self) -> None:
        """Close the connections and forget the token."""
        self._forget()
        super().close()

    def _attempt(
        self, request: requests.PreparedRequest, kwargs: dict[str, Any]
    ) -> requests.Response | Exception:
        """Send once: the answer or the error, unless the token's error is to be raised."""
        self.token.check()
        outcome: requests.Response | Exception
        try:
            outcome = super().send(request, **kwargs)
        except Exception as error:  # noqa: BLE001  (raised by the caller, if not retried)
            outcome = error
        self.token.check()  # an error may be our cut, and so may what looks like a body's end
        return outcome

    def _asked(self, outcome: requests.Response | Exception) -> float | None:
        if isinstance(outcome, Exception):
            return None
        return asked_wait(outcome.headers, self._clock.now())


def _worth_retrying(
    request: requests.PreparedRequest, outcome: requests.Response | Exception
) -> bool:
    if request.method not in RETRIED_METHODS or not isinstance(request.body, str | bytes | None):
        return False  # it might do its work twice, or its body has been read
    if isinstance(outcome, requests.Response):
        return outcome.status_code in RETRIED_STATUSES
    return isinstance(outcome, TRANSIENT) and not isinstance(outcome, LASTING)


class _LiveSockets:
    """The sockets of a session, held weakly; once shut down, later ones are at once."""

    def __init__(self) -> None:
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._shut = False

    def add(self, sock: socket.socket) -> None:
        with self._lock:
            self._sockets.add(sock)
            shut = self._shut
        if shut:
            _shut_down(sock)

    def shut_down(self) -> None:
        """Wake whoever waits in one of them; what they read ends, what they send fails."""
        with self._lock:
            self._shut = True
            sockets = list(self._sockets)
        for sock in sockets:
            _shut_down(sock)


def _shut_down(sock: socket.socket) -> None:
    """Shut both ways. Not `sock.shutdown`: that of a TLS socket goes on in plain text."""
    with contextlib.suppress(OSError):  # not connected any more, or closed
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _CancellableConnection(HTTPConnection):
    """A connection whose socket the session can shut down, from its first moment on."""

    def __init__(self, sockets: _LiveSockets, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sockets = sockets
        self._twin: socket.socket | None = None

    def connect(self) -> None:
        """Connect. While TLS shakes hands the twin stands for the socket it took over."""
        try:
            super().connect()
            self._sockets.add(getattr(self.sock, "socket", self.sock))  # the former: TLS in TLS
        finally:
            if self._twin is not None:
                self._twin.close()
                self._twin = None

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers, as urllib3 does, but in the open."""
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
        """Connect. Watched only once under way: a shut-down does not last on an idle socket."""
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


class _CancellableTLSConnection(_CancellableConnection, HTTPSConnection):
    """The same over TLS."""


class _CancellableAdapter(HTTPAdapter):
    """Has its pools, those of proxies too, make cancellable connections."""

    def __init__(self, token: CancelToken, sockets: _LiveSockets) -> None:
        super().__init__()
        self._token = token
        self._connections = {
            "http": functools.partial(_CancellableConnection, sockets),
            "https": functools.partial(_CancellableTLSConnection, sockets),
        }

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """The pool for a request."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if pool.ConnectionCls in (HTTPConnection, HTTPSConnection):  # else SOCKS, or ours already
            pool.ConnectionCls = self._connections[pool.scheme]
        return pool

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """The answer, its body still to be read."""
        response = _CancellableResponse(self._token)
        vars(response).update(vars(super().build_response(req, resp)))
        return response


class _CancellableResponse(requests.Response):
    """An answer whose body ends with the token's error once the token is cancelled."""

    def __init__(self, token: CancelToken) -> None:
        super().__init__()
        self._token = token

    def iter_content(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """The body in pieces; see `requests.Response.iter_content`."""
        self._token.check()
        try:
            for piece in super().iter_content(*args, **kwargs):
                self._token.check()
                yield piece
        except Exception:
            self._token.check()
            raise
        self._token.check()
