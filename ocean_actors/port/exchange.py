"""One call of Port's API: a request, and its answer as a whole.

A session of `requests` follows redirects, keeps cookies, calls hooks and looks for proxies anew
for each request. This takes longer than everything else in a call, and Port's API needs none of
it. So only parts of `requests` are used here: how it encodes URLs, and its adapter, which knows
proxies and TLS and makes the connections.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import HTTPBasicAuth
from requests.exceptions import InvalidURL
from requests.utils import (
    DEFAULT_ACCEPT_ENCODING,
    get_auth_from_url,
    get_environ_proxies,
    select_proxy,
    urldefragauth,
)
from urllib3.exceptions import HTTPError, LocationValueError
from urllib3.util.timeout import Timeout as UrllibTimeout

from ocean_actors.actors import CancelToken, Clock
from ocean_actors.connections import (
    AnswerTooLong,
    Call,
    CancellableAdapter,
    LiveSockets,
    StaleConnection,
    causes,
    is_loopback,
)
from ocean_actors.session import Timeout

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
"""All may be sent again over a fresh connection: creating twice answers 409. See `Call.once`."""

PIECE = 65_536  # bytes that are read at a time
MOST_ROUTES = 8  # fewer than the pools that the adapter keeps

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


@functools.lru_cache(maxsize=256)
def target_of(url: str, query: tuple[tuple[str, str], ...] = ()) -> Target:
    """Returns the target of a request. Raises ValueError if the URL cannot be used."""
    prepared = requests.PreparedRequest()
    prepared.prepare_url(url, list(query))
    encoded = prepared.url or ""
    prepared.prepare_headers(None)
    user, password = get_auth_from_url(encoded)
    if user or password:
        HTTPBasicAuth(user, password)(prepared)
    parts = urlsplit(encoded)
    return Target(
        encoded,
        f"{parts.scheme}://{parts.netloc}/",
        prepared.path_url,
        prepared.headers.get("Authorization"),
    )


@dataclass(frozen=True)
class Route:
    """How an origin is reached. `forwards`: by a proxy that wants whole URLs."""

    pool: Any
    forwards: bool


class Exchange:
    """Sends requests, each over a connection of its own, until `token` is cancelled.

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
        self._sockets = LiveSockets()
        self._forget = token.on_cancel(self._sockets.shut_down)
        self._adapter = CancellableAdapter(token, self._sockets, METHODS, strict=strict)
        self._routes: dict[str, Route] = {}

    def send(
        self, method: str, target: Target, headers: Headers, body: bytes | None, call: Call
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
            raise requests.ReadTimeout(f"no complete answer within {self._deadline:g} s")
        if isinstance(response, Exception):
            raise response
        return response

    def proxy_of(self, url: str) -> str | None:
        """Returns the address of the proxy through which a URL is reached, if any."""
        return None if is_loopback(url) else select_proxy(url, get_environ_proxies(url))

    def close(self) -> None:
        """Close the connections and forget the token."""
        self._forget()
        self._adapter.close()

    def _answered(
        self, method: str, target: Target, headers: Headers, body: bytes | None, call: Call
    ) -> Any:
        """Send, once more if an idle connection turns out to be closed; returns the head."""
        try:
            return self._open(method, target, headers, body)
        except (OSError, HTTPError) as error:
            stale = any(isinstance(each, StaleConnection) for each in causes(error))
            if call.once or not stale:
                raise
        self._token.check()
        # The pool now opens a connection before it takes another idle one.
        return self._open(method, target, headers, body)

    def _open(self, method: str, target: Target, headers: Headers, body: bytes | None) -> Any:
        route = self._route(target.origin)
        own = {} if target.authorization is None else {"Authorization": target.authorization}
        return route.pool.urlopen(
            method,
            urldefragauth(target.url) if route.forwards else target.path,
            body=body,
            headers={"Accept-Encoding": DEFAULT_ACCEPT_ENCODING, **headers, **own},
            retries=self._adapter.max_retries,
            redirect=False,
            assert_same_host=False,
            timeout=self._timeout,
            preload_content=False,
            decode_content=False,
        )

    def _read(self, raw: Any, call: Call) -> Response:
        """Read the body. A failure closes the connection."""
        parts: list[bytes] = []
        size = 0
        try:
            for piece in raw.stream(PIECE, decode_content=True):
                self._token.check()
                size += len(piece)
                if call.max_bytes is not None and size > call.max_bytes:
                    raise AnswerTooLong(f"the answer is longer than {call.max_bytes} bytes")
                parts.append(piece)
        except BaseException:
            raw.close()
            raise
        finally:
            raw.release_conn()
        return Response(raw.status, raw.headers, b"".join(parts))

    def _route(self, origin: str) -> Route:
        """Returns how an origin is reached. Raises ValueError if its URL cannot be used."""
        route = self._routes.get(origin)
        if route is not None:
            return route
        prepared = requests.Request("GET", origin).prepare()
        proxies = {} if is_loopback(origin) else get_environ_proxies(origin)
        try:
            pool = self._adapter.get_connection_with_tls_context(
                prepared, True, proxies=proxies, cert=None
            )
        except LocationValueError as error:
            raise InvalidURL(error) from error
        self._adapter.cert_verify(pool, origin, True, None)
        proxy = select_proxy(origin, proxies) or ""
        forwards = origin.startswith("http:") and bool(proxy) and not proxy.startswith("socks")
        if len(self._routes) >= MOST_ROUTES:
            self._routes.clear()
        route = self._routes[origin] = Route(pool, forwards)
        return route
