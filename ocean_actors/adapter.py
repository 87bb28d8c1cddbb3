"""The adapter by which `requests` uses connections that another thread can shut down."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from ocean_actors import tls
from ocean_actors.actors import Cancelled, CancelToken
from ocean_actors.connections import (
    MOST_IDLE,
    CancellableConnection,
    CancellableTLSConnection,
    LiveSockets,
    checked,
    is_loopback,
    is_stale,
    shared_context,
)


class CancellableAdapter(HTTPAdapter):
    """Has its pools, those of proxies too, make cancellable connections.

    A request over a connection that proves stale is sent once more, at once and over a fresh
    one, if its method is one of `repeatable`. Loopback addresses are reached without a proxy.
    """

    def __init__(
        self, token: CancelToken, sockets: LiveSockets, repeatable: frozenset[str], *, strict: bool
    ) -> None:
        super().__init__(pool_maxsize=MOST_IDLE)
        self._token = token
        self._sockets = sockets
        self._repeatable = repeatable
        self._strict = strict
        self._own_contexts: dict[tuple[bool | str, ...], ssl.SSLContext] = {}
        self._connections: dict[str, Callable[..., HTTPConnection]] = {
            "http": functools.partial(CancellableConnection, sockets),
            "https": functools.partial(CancellableTLSConnection, sockets),
        }

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        """Send, and once more if the connection was stale."""
        if is_loopback(request.url or ""):
            kwargs["proxies"] = {}
        try:
            return super().send(request, *args, **kwargs)
        except requests.ConnectionError as error:
            if not (is_stale(error) and self._is_repeatable(request)):
                raise
        self._token.check()
        # The pool now opens a connection before it takes another idle one.
        return super().send(request, *args, **kwargs)

    def _is_repeatable(self, request: requests.PreparedRequest) -> bool:
        call = self._sockets.call
        once = call is not None and call.once
        return not once and request.method in self._repeatable and has_plain_body(request)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        """Have the pool use our TLS context; see `ocean_actors.tls`."""
        host, options = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https" and verify:
            options["ssl_context"] = self._context_for(verify, cert)
        return host, options

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Prepare the pool; without authorities of its own, its context has them already."""
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]  # untyped stub
        if verify is True:
            conn.ca_certs = conn.ca_cert_dir = None

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Make the pools of a proxy; one that is reached over TLS is checked as servers are."""
        if proxy.lower().startswith("https:"):
            kwargs.setdefault("proxy_ssl_context", self._context_for(True, None))
        return super().proxy_manager_for(proxy, **kwargs)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Find the pool for a request."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if pool.ConnectionCls in (HTTPConnection, HTTPSConnection):  # else SOCKS, or ours already
            pool.ConnectionCls = self._connections[pool.scheme]
        return pool

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Make the answer, its body still to be read."""
        call = self._sockets.call
        response = _CancellableResponse(self._token, None if call is None else call.max_bytes)
        vars(response).update(vars(super().build_response(req, resp)))
        return response

    def _context_for(self, verify: bool | str, cert: Any) -> ssl.SSLContext:
        """Returns the TLS context for these options of a request.

        urllib3 loads what the options name into the context, so only the plain one is shared.
        """
        if verify is True and not cert:
            return shared_context(strict=self._strict)
        key = (verify, *((cert,) if isinstance(cert, str) else cert or ()))
        context = self._own_contexts.get(key)
        if context is None:
            context = tls.client_context(strict=self._strict, trust=verify is True)
            context = self._own_contexts.setdefault(key, context)
        return context


def has_plain_body(request: requests.PreparedRequest) -> bool:
    """Returns whether the body of a request can be sent again: it is not read from a stream."""
    return isinstance(request.body, str | bytes | None)


class _CancellableResponse(requests.Response):
    """An answer whose body ends with the token's error once the token is cancelled.

    Raises AnswerTooLong for a body of more than `max_bytes`.
    """

    def __init__(self, token: CancelToken, max_bytes: int | None) -> None:
        super().__init__()
        self._token = token
        self._max_bytes = max_bytes

    def iter_content(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Yields the body in pieces; see `requests.Response.iter_content`.

        A failure closes the connection: a caller who gets no answer has nothing to close.
        """
        try:
            self._token.check()
            pieces = super().iter_content(*args, **kwargs)
            yield from checked(pieces, self._token, self._max_bytes)
            self._token.check()  # what looks like the end may be our cut
        except (Exception, Cancelled):
            self.close()
            self._token.check()
            raise
