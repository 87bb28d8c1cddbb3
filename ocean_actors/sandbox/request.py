"""A call as its handler sees it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from ocean_actors.sandbox.errors import invalid
from ocean_actors.sandbox.schemas import BodyT, check, parse

HEADERS = ("authorization", "content-type", "host", "origin", "user-agent", "x-skip-resync")
FLAGS = {"true": True, "1": True, "false": False, "0": False, "": False}


@dataclass(frozen=True)
class Request:
    """One call; `path` is percent-encoded, header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes

    @cached_property
    def json(self) -> Any:
        """The body as JSON, None if it is empty. Raises ApiError 400."""
        return parse(self.raw)

    def body(self, model: type[BodyT]) -> BodyT:
        """Returns the body as a `model`. Raises ApiError 400 or 422."""
        return check(model, self.json if self.json is not None else {})

    def flag(self, name: str) -> bool:
        """Returns a true or false query parameter, false if it is absent. Raises ApiError 422."""
        value = FLAGS.get(self.query.get(name, "").lower())
        if value is None:
            raise invalid(f"{name}: must be true or false")
        return value

    @property
    def agent(self) -> str:
        """The User-Agent of the caller."""
        return self.headers.get("user-agent", "")


def read_request(environ: Mapping[str, Any]) -> Request:
    """Returns the call in a WSGI environment, with its body."""
    return Request(
        method=environ["REQUEST_METHOD"],
        path=raw_path(environ),
        query=dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)),
        headers={
            name: environ[key]
            for name in HEADERS
            if (key := re.sub("^HTTP_CONTENT", "CONTENT", "HTTP_" + name.upper().replace("-", "_")))
            in environ
        },
        raw=environ["wsgi.input"].read(),
    )


def raw_path(environ: Mapping[str, Any]) -> str:
    """Returns the path as sent: a slash that is part of an identifier stays encoded."""
    target: str = environ.get("REQUEST_URI") or quote(environ.get("PATH_INFO", "/"))
    if not target.startswith("/"):  # the absolute form, as sent to proxies
        try:
            target = urlsplit(target).path
        except ValueError:
            target = "/"
    return target.split("?", 1)[0] or "/"
