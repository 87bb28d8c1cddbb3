"""The dashboard's files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.resources import files

from ocean_actors.web.answers import Answer
from ocean_actors.web.app import Environ, Handler

FILES = {
    "/": ("dashboard.html", "text/html; charset=utf-8"),
    "/dashboard.css": ("dashboard.css", "text/css; charset=utf-8"),
    "/dashboard.js": ("dashboard.js", "text/javascript; charset=utf-8"),
    "/dom.js": ("dom.js", "text/javascript; charset=utf-8"),
    "/format.js": ("format.js", "text/javascript; charset=utf-8"),
    "/panels.js": ("panels.js", "text/javascript; charset=utf-8"),
    "/steering.js": ("steering.js", "text/javascript; charset=utf-8"),
    "/timeline.js": ("timeline.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
"""The headers of every answer."""


def pages() -> Iterator[tuple[str, Handler]]:
    """Yields path and handler of each file; a file is read when it is asked for."""
    for path, (name, content_type) in FILES.items():
        yield path, _serving(name, content_type)


def with_etag(environ: Environ, etag: str, body: bytes, content_type: str) -> Answer:
    """Returns the answer 200, or 304 if the caller has that version already."""
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    known = [tag.strip() for tag in (environ.get("HTTP_IF_NONE_MATCH") or "").split(",")]
    if etag in known or "*" in known:
        return Answer(304, b"", headers)
    return Answer(200, body, headers, content_type)


def _serving(name: str, content_type: str) -> Handler:
    def serve(environ: Environ) -> Answer:
        body = files("ocean_actors.control").joinpath("static", name).read_bytes()
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        return with_etag(environ, etag, body, content_type)

    return serve
