"""Reads the body of a call from a WSGI environment, under any WSGI server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ocean_actors.web.answers import Refusal, too_large

JSON_TYPES = frozenset({"application/json", "text/json"})


def require_json(environ: Mapping[str, Any]) -> None:
    """Raises Refusal (415) if the body is declared as anything but JSON.

    An empty body needs no declaration.
    """
    declared = environ.get("CONTENT_TYPE") or ""
    if declared == "application/json":
        return
    kind = declared.partition(";")[0].strip().lower()
    if kind in JSON_TYPES or kind.endswith("+json"):
        return
    if not kind and not _length(environ) and not _is_chunked(environ):
        return
    raise Refusal(415, "the content type has to be application/json")


def read_body(environ: Mapping[str, Any], limit: int) -> bytes:
    """Returns the raw body, of at most `limit` bytes.

    Raises Refusal: 413 if the body is longer (no more than `limit` + 1 bytes of it are read),
    411 if it is chunked and the server does not decode chunks, 400 if it is cut short or
    malformed.
    """
    length = _length(environ)
    read: Callable[[int], bytes] = environ["wsgi.input"].read
    if length is None:
        if not environ.get("wsgi.input_terminated"):
            if _is_chunked(environ):
                raise Refusal(411, "send Content-Length: this server does not take chunks")
            return b""
        wanted = limit + 1
    else:
        if length > limit:
            raise too_large(limit)
        wanted = length
    parts = []
    left = wanted
    try:
        while left and (part := read(left)):
            parts.append(part)
            left -= len(part)
    except Exception as error:  # each WSGI server raises its own for a malformed chunk
        message = f"the body cannot be read ({type(error).__name__})"
        raise Refusal(400, message) from error
    if length is None and not left:
        raise too_large(limit)
    if length is not None and left:
        raise Refusal(400, "the body is shorter than Content-Length says")
    return b"".join(parts)


def _length(environ: Mapping[str, Any]) -> int | None:
    text = environ.get("CONTENT_LENGTH") or ""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Refusal(400, "Content-Length is not a number of bytes")
    return int(text)


def _is_chunked(environ: Mapping[str, Any]) -> bool:
    return "chunked" in (environ.get("HTTP_TRANSFER_ENCODING") or "").lower()
