"""What a call is answered with: always JSON, in the shape of Port's own answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

_NAMES = {413: "payload_too_large", 422: "unprocessable", 503: "unavailable"}


@dataclass(frozen=True)
class Answer:
    """A status, a JSON object, and headers beside `Content-Type`."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """The body as it goes over the wire."""
        return json.dumps(self.body).encode()


class Refusal(Exception):
    """A call is not served; `message` is for the caller and the log, and holds no secret.

    Unless it is `noteworthy`, only the caller is told.
    """

    def __init__(
        self,
        status: int,
        message: str,
        headers: Mapping[str, str] | None = None,
        *,
        noteworthy: bool = True,
    ) -> None:
        super().__init__(message)
        self.noteworthy = noteworthy
        self.status = status
        self.message = message
        self.headers = headers or {}

    def answer(self) -> Answer:
        """What the caller is told."""
        return error_answer(self.status, self.message, self.headers)


def error_answer(status: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """`{"ok": false, "error": "not_found", "message": …}`, as Port says it."""
    try:
        name = _NAMES.get(status) or HTTPStatus(status).phrase.lower().replace(" ", "_")
    except ValueError:
        name = "error"
    return Answer(status, {"ok": False, "error": name, "message": message}, headers or {})


def too_large(limit: int) -> Refusal:
    """The refusal of a body over `limit` bytes."""
    return Refusal(413, f"the body may have {limit} bytes (http.maxBodyBytes)")
