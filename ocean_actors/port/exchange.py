"""One call of Port's API: a request, and its answer as a whole.

A session of `requests` follows redirects, keeps cookies, calls hooks and looks for proxies anew
for each request. This takes longer than everything else in a call, and Port's API needs none of
it. So urllib3 is used directly, and `requests` is imported only if there is a proxy.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlencode
from urllib.request import getproxies

from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, LocationValueError
from urllib3.util import Retry as UrllibRetry
from urllib3.util import Timeout as UrllibTimeout
from urllib3.util import make_headers, parse_url

from ocean_actors.actors import CancelToken, Clock
from ocean_actors.connections import (
    MOST_IDLE,
    CancellableConnection,
    CancellableTLSConnection,
    HttpCall,
    LiveSockets,
    Timeout,
    checked,
    is_loopback,
    is_stale,
    shared_context,
)

ENCODINGS: str = make_headers(accept_encoding=True)["accept-encoding"]
NO_RETRY = UrllibRetry(0, read=False)
PIECE = 65_536  # bytes that are read at a time
MOST_ROUTES = 8

Headers = Mapping[str, str | bytes]


@dataclass(frozen=True)
class Response:
    """An answer; the names of its headers may be asked for in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Target:
    """Where a request goes, encoded as it is sent; `path` includes the query.

    `authorization` is that of the user and password that a URL may hold.
    """

    url: str
    origin: str
    path: str
    authorization: str | None = field(repr=False)


class UnusableUrl(ValueError):
    """The URL of a request, or that of its proxy, cannot be used."""


@functools.lru_cache(maxsize=256)
def target_of(url: str, query: tuple[tuple[str, str], ...] = ()) -> Target:
    """Returns the target of a request. Raises UnusableUrl."""
    try:
        parts = parse_url(url)
    except (LocationValueError, UnicodeError) as error:
        raise UnusableUrl(str(error)) from None
    if parts.scheme not in ("http", "https") or not parts.host:
        raise UnusableUrl("the URL does not begin with http:// or https:// and a host")
    origin = f"{parts.scheme}://{parts.netloc}"
    path = parts.request_uri
    if query:
        path += f"{'&' if '?' in path else '?'}{urlencode(query)}"
    user = None
    if parts.auth:
        user = make_headers(basic_auth=unquote(parts.auth))["authorization"]
    return Target(origin + path, f"{origin}/", path, user)


@dataclass(frozen=True)
class Route:
    """How an origin is reached. `forwards`: by a proxy that wants whole URLs."""

    pool: Any
    forwards: bool


class Exchange:
    """Sends requests over connections that it keeps and reuses, until `token` is cancelled.

    Any thread may use it. Cancelling the token ends the calls of all threads. The proxies of the
    environment are looked up once for each origin.
    """

    def __init__(
        self, token: CancelToken, clock: Clock, *, timeout: Timeout, deadline: float, strict: bool
    ) -> None:
        """Watch `token` until `close`; `deadline` is in seconds, until the answer is complete.

        `strict`: see `tls.client_context`.
        """
        self._token = token
        self._clock = clock
        connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        self._timeout = UrllibTimeout(connect=connect, read=read)
        self._deadline = deadline
        self._strict = strict
        self._sockets = LiveSockets()
        self._forget = token.on_cancel(self._sockets.shut_down)
        self._adapter: Any = None
        self._routes: dict[str, Route] = {}

    def send(
        self, method: str, target: Target, headers: Headers, body: bytes | None, call: HttpCall
    ) -> Response:
        """Send a request once, and return its whole answer.

        Raises AnswerTooLong if that has more bytes than the call allows, the token's error if that
        is cancelled, and OSError, ValueError or urllib3's HTTPError if there is no answer.
        """
        self._token.check()
        response: Response | Exception
        with self._sockets.attempt(call, self._clock, self._deadline):
            try:
                response = self._read(self._answered(method, target, headers, body, call), call)
            except Exception as error:  # noqa: BLE001  (raised below, unless it is our cut)
                response = error
        self._token.check()
        if call.overdue:  # an error may be our cut, and so may what looks like a body's end
            raise TimeoutError(f"no complete answer within {self._deadline:g} s")
        if isinstance(response, Exception):
            raise response
        return response

    @staticmethod
    def proxy_of(url: str) -> str | None:
        """Returns the address of the proxy through which a URL is reached, if any."""
        if is_loopback(url) or not getproxies():
            return None
        from requests.utils import get_environ_proxies, select_proxy

        return select_proxy(url, get_environ_proxies(url))

    def close(self) -> None:
        """Close the connections and forget the token."""
        self._forget()
        for route in list(self._routes.values()):
            route.pool.close()
        if self._adapter is not None:
            self._adapter.close()

    def _answered(
        self, method: str, target: Target, headers: Headers, body: bytes | None, call: HttpCall
    ) -> Any:
        """Send, once more if an idle connection turns out to be closed; returns the head."""
        try:
            return self._open(method, target, headers, body)
        except (OSError, HTTPError) as error:
            if call.once or not is_stale(error):
                raise
        self._token.check()
        # The pool now opens a connection before it takes another idle one.
        return self._open(method, target, headers, body)

    def _open(self, method: str, target: Target, headers: Headers, body: bytes | None) -> Any:
        route = self._route(target.origin)
        own = {} if target.authorization is None else {"Authorization": target.authorization}
        return route.pool.urlopen(
            method,
            target.url if route.forwards else target.path,
            body=body,
            headers={"Accept-Encoding": ENCODINGS, **headers, **own},
            retries=NO_RETRY,
            redirect=False,
            assert_same_host=False,
            timeout=self._timeout,
            preload_content=False,
            decode_content=False,
        )

    def _read(self, raw: Any, call: HttpCall) -> Response:
        """Read the body. A failure closes the connection."""
        try:
            pieces = raw.stream(PIECE, decode_content=True)
            body = b"".join(checked(pieces, self._token, call.max_bytes))
        except BaseException:
            raw.close()
            raise
        finally:
            raw.release_conn()
        return Response(raw.status, raw.headers, body)

    def _route(self, origin: str) -> Route:
        """Returns how an origin is reached. Raises UnusableUrl."""
        route = self._routes.get(origin)
        if route is None:
            if len(self._routes) >= MOST_ROUTES:
                self._routes.clear()
            proxy = self.proxy_of(origin)
            route = self._direct(origin) if proxy is None else self._proxied(origin, proxy)
            route = self._routes.setdefault(origin, route)
        return route

    def _direct(self, origin: str) -> Route:
        parts = parse_url(origin)
        pool: HTTPConnectionPool
        if parts.scheme == "https":
            context = shared_context(strict=self._strict)
            pool = HTTPSConnectionPool(
                parts.host or "", parts.port, maxsize=MOST_IDLE, ssl_context=context
            )
            connection: Any = CancellableTLSConnection
        else:
            pool = HTTPConnectionPool(parts.host or "", parts.port, maxsize=MOST_IDLE)
            connection = CancellableConnection
        pool.ConnectionCls = functools.partial(connection, self._sockets)  # type: ignore[assignment]  # urllib3 only calls it
        return Route(pool, forwards=False)

    def _proxied(self, origin: str, proxy: str) -> Route:
        """Returns a route of `requests`, which knows all kinds of proxies."""
        import requests

        from ocean_actors.adapter import CancellableAdapter

        if self._adapter is None:
            self._adapter = CancellableAdapter(
                self._token, self._sockets, frozenset(), strict=self._strict
            )
        prepared = requests.Request("GET", origin).prepare()
        scheme = origin.partition(":")[0]
        try:
            pool = self._adapter.get_connection_with_tls_context(
                prepared, True, proxies={scheme: proxy}, cert=None
            )
        except ValueError as error:
            raise UnusableUrl(str(error)) from None
        self._adapter.cert_verify(pool, origin, True, None)
        return Route(pool, forwards=scheme == "http" and not proxy.startswith("socks"))
