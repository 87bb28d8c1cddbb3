"""What answers a request in a thread of the server: waitress's tasks, with answers of our own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

# The stubs of waitress (types-waitress) are wrong about this, so it stays untyped.
from waitress.task import ErrorTask, WSGITask  # type: ignore[import-untyped]

from ocean_actors.web.answers import RETRY, Answer, error_answer, too_large
from ocean_actors.web.parser import HEAD_BYTES, Parser

WAITED = "ocean_actors.waited"
"""The key of the WSGI environment that has the seconds for which a call waited for a thread."""


class WholeTask(WSGITask):  # type: ignore[misc]  # waitress is untyped
    """Calls the application, and sends the head of its answer along with the body: one packet,
    where waitress sends two.
    """

    close_on_finish: bool
    wrote_header: bool

    def __init__(self, channel: Any, request: Parser) -> None:
        super().__init__(channel, request)
        self.logger = channel.logger

    def get_environment(self) -> dict[str, Any]:
        """Returns the WSGI environment; PATH_INFO is the path as it was sent, and `WAITED` is set.

        waitress merges leading slashes and decodes the path, so that several paths reach one
        handler, which may evade the rules of a proxy. No path of ours needs decoding.
        """
        environ: dict[str, Any] = super().get_environment()
        environ["PATH_INFO"] = self.request.raw_path
        environ[WAITED] = time.monotonic() - self.channel.queued
        return environ

    def build_response_header(self) -> bytes:
        """Returns the head; the connection ends with this answer if it keeps others out.

        waitress also ends it after answers that have no body (304), which need no length.
        """
        if self.channel.server.crowded:
            self.set_close_on_finish()
        closes = self.request.headers.get("CONNECTION", "").lower() == "close"
        stays = not (self.has_body or self.close_on_finish or closes) and self.version == "1.1"
        head = bytes(super().build_response_header())
        if stays:
            self.close_on_finish = False
            head = head.replace(b"\r\nConnection: close", b"", 1)
        return head

    def write(self, data: bytes) -> None:
        """Sends a part of the body."""
        if self.wrote_header or self.content_length != len(data) or not self.has_body:
            super().write(data)
            return
        self.wrote_header = True
        self.content_bytes_written = len(data)
        self.channel.write_soon(self.build_response_header() + data)


class JsonErrorTask(ErrorTask):  # type: ignore[misc]  # waitress is untyped
    """Answers a request that never reaches the application, without waitress's banner."""

    def execute(self) -> None:
        """Answers the request's error."""
        error = self.request.error
        answer = _answer(error.code, self.channel.max_body_bytes)
        body = answer.encoded()
        self.status = f"{error.code} {error.reason}"
        self.response_headers += [("Content-Type", answer.content_type), *answer.headers.items()]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.channel.refused(error.code, str(self.channel.addr[0]), _message(answer))
        self.write(body)


_MESSAGES = {
    400: "this is not a well-formed HTTP request",
    431: f"request line and headers may have at most {HEAD_BYTES} bytes",
    500: "internal error",
    503: "too many large bodies are arriving",
    505: "HTTP/1.1 and HTTP/1.0 are served",
}


def _answer(status: int, max_body_bytes: int) -> Answer:
    if status == 413:
        return too_large(max_body_bytes).answer()
    message = _MESSAGES.get(status, "the request cannot be served")
    return error_answer(status, message, RETRY if status == 503 else None)


def _message(answer: Answer) -> str:
    return str(answer.body["message"]) if isinstance(answer.body, Mapping) else ""
