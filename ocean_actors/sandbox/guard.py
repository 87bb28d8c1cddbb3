"""Refuses control calls that a page of another site may have sent through the user's browser."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from ocean_actors.sandbox.errors import ApiError, forbidden
from ocean_actors.sandbox.request import Request

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:/@\s]+)(?::\d+)?")


def check(request: Request, host: str) -> None:
    """Raises ApiError 403 or 415 unless the call comes from a client that was pointed here.

    The Host must be an IP address, `localhost` or `host`, the address that the sandbox was told to
    bind: a page reaches us under a name of its own if it has that name resolve to our address. An
    Origin must be ours. A body must be declared as JSON, which a page may not do unasked.
    """
    called = request.headers.get("host", "")
    if not _is_own(called, host):
        raise forbidden(f"the Host header {called!r} is not an address of the sandbox")
    origin = request.headers.get("origin")
    if origin is not None and _netloc(origin) != called:
        raise forbidden("the call was sent by a page of another site")
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.raw and content_type != "application/json":
        raise ApiError(
            415, "unsupported_media_type", "send the body with Content-Type: application/json"
        )


def _is_own(called: str, host: str) -> bool:
    match = _HOST.fullmatch(called)
    if match is None:
        return False
    name = match[1].strip("[]").lower()
    if name in ("localhost", host.lower()):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
