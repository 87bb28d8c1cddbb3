"""Answers to HTTP calls: JSON in the shape that Port's own API uses, or ready-made bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from ocean_actors.errors import OceanError
from ocean_actors.web.wsgi import StartResponse

RETRY = {"Retry-After": "1"}
"""Headers of an answer whose call may succeed if it is repeated after a second."""

_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_WITHOUT_BODY = (204, 304)
_NAMES = {413: "payload_too_large", 422: "unprocessable", 503: "unavailable"}


@dataclass(frozen=True)
class Answer:
    """A status, a body, and headers other than `Content-Type` and `Content-Length`.

    `body` is a JSON object, or bytes of the type `content_type`. Answers 204 and 304 have none.
    """

    status: int
    body: Mapping[str, Any] | bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    def encoded(self) -> bytes:
        """Returns the body as it is sent."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()

    def send(self, start_response: StartResponse) -> list[bytes]:
        """Calls a WSGI server's `start_response`, and returns the body for that server."""
        if self.status in _WITHOUT_BODY:
            start_response(_STATUS_LINES[self.status], list(self.headers.items()))
            return []
        body = self.encoded()
        headers = [("Content-Type", self.content_type), ("Content-Length", str(len(body)))]
        start_response(_STATUS_LINES[self.status], [*headers, *self.headers.items()])
        return [body]


class Refusal(OceanError):
    """Raised instead of serving a call.

    `message` is for the caller and the log, and must hold no secret. A refusal that is not
    `noteworthy` is not logged.
    """

    def __init__(
        self,
        status: int,
        message: str,
        headers: Mapping[str, str] | None = None,
        noteworthy: bool = True,  # positional, so that the exception pickles
    ) -> None:
        super().__init__(status, message, headers, noteworthy)
        self.status = status
        self.message = message
        self.headers = headers or {}
        self.noteworthy = noteworthy

    def __str__(self) -> str:
        """Returns the message."""
        return self.message

    def answer(self) -> Answer:
        """Returns what the caller is answered."""
        return error_answer(self.status, self.message, self.headers)


def error_answer(status: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Returns `{"ok": false, "error": "not_found", "message": …}`, the shape of Port's errors."""
    try:
        name = _NAMES.get(status) or HTTPStatus(status).phrase.lower().replace(" ", "_")
    except ValueError:
        name = "error"
    return Answer(status, {"ok": False, "error": name, "message": message}, headers or {})


def too_large(limit: int) -> Refusal:
    """Returns the refusal of a body of more than `limit` bytes."""
    return Refusal(413, f"the body may have at most {limit} bytes")
