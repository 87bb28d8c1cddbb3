"""Who may call the control server, decided from the head of a call.

A web page of another site, open in the browser of somebody who can reach the server, must
neither read nor steer. It cannot send `X-Ocean-Actors` without asking first (a preflight, which is
refused), and it cannot name our address in `Host` if its own name was made to resolve to ours
(DNS rebinding).
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import SecretStr

from ocean_actors.control import HEADER
from ocean_actors.settings.models import is_loopback
from ocean_actors.web.answers import Refusal

Environ = Mapping[str, Any]

READING = frozenset({"GET", "HEAD"})
OUR_PAGES = frozenset({"same-origin", "none"})
"""`Sec-Fetch-Site` of calls that our own page or the user made; other clients send none."""


class Access:
    """The rules of one server, which binds `host`.

    The paths in `public` hold nothing of an integration and need no token.
    """

    def __init__(self, host: str, token: SecretStr | None, public: Collection[str] = ()) -> None:
        self._host = host
        self._token = None if token is None else token.get_secret_value().encode()
        self._public = public

    def admit(self, environ: Environ) -> None:
        """Raises Refusal: 421 for another host, 401 without the token, 403 from another site."""
        self._check_host(environ.get("HTTP_HOST"))
        if environ["REQUEST_METHOD"] not in READING:
            self._check_site(environ)
        if self._token is not None and environ.get("PATH_INFO") not in self._public:
            self._check_token(environ.get("HTTP_AUTHORIZATION"), self._token)

    def _check_host(self, header: str | None) -> None:
        name = host_name(header or "")
        if name is None or not is_served(name, self._host):
            names = "127.0.0.1, [::1] or localhost" if is_loopback(self._host) else self._host
            raise Refusal(421, f"the Host header does not name the address served here: {names}")

    def _check_site(self, environ: Environ) -> None:
        site = environ.get("HTTP_SEC_FETCH_SITE")
        if site is not None and site.strip().lower() not in OUR_PAGES:
            raise Refusal(403, "calls from the pages of other sites are refused")
        if environ.get("HTTP_X_OCEAN_ACTORS") != "1":
            raise Refusal(403, f"calls that change something need the header {HEADER}: 1")

    def _check_token(self, header: str | None, token: bytes) -> None:
        scheme, _, given = (header or "").partition(" ")
        sent = given.strip().encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(sent, token) or scheme.lower() != "bearer":
            raise Refusal(
                401,
                "the token is missing or wrong: send Authorization: Bearer <control.token>",
                {"WWW-Authenticate": "Bearer"},
                noteworthy=header is not None,  # the page asks without one to learn if it needs it
            )


def host_name(header: str) -> str | None:
    """Returns the host that a `Host` header names, without its port; None if it is malformed.

    The port says nothing: a tunnel (`kubectl port-forward`) has a different one from the server.
    """
    text = header.strip().lower()
    if text.startswith("["):
        name, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            return None
        port = port[1:]
    else:
        name, _, port = text.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return None
    return name.rstrip(".") or None


def is_served(name: str, host: str) -> bool:
    """Returns whether a server that binds `host` goes by `name`.

    One that binds every address goes by all of them, by `localhost` and by the machine's name.
    """
    bound, named = _address(host), _address(name)
    if is_loopback(host):
        return name == "localhost" or (named is not None and named.is_loopback)
    if bound is not None and not bound.is_unspecified:
        return named == bound
    if bound is None and host:
        return name == host.lower()
    return named is not None or name in {"localhost", socket.gethostname().lower()}


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
