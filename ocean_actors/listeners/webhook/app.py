"""The HTTP door: `POST /resync` for Port, `GET /health/…` for whoever runs the process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Protocol

import bottle  # type: ignore[import-untyped]

from ocean_actors.listeners.webhook.refusals import RefusalLog
from ocean_actors.web.answers import Answer, Refusal, error_answer, too_large

logger = logging.getLogger(__name__)

StartResponse = Callable[[str, list[tuple[str, str]]], Any]

JSON_TYPES = frozenset({"application/json", "text/json"})


class Receiver(Protocol):
    """Who is behind the door; called in the threads of the WSGI server.

    `admit` and `accept` may raise Refusal.
    """

    def source(self, peer: str, forwarded_for: str | None) -> str:
        """Where a call comes from, for the log."""

    def admit(self, source: str) -> None:
        """Refuse a call for its source, before its body is read."""

    def accept(self, body: bytes, timestamp: str | None, signature: str | None) -> Answer:
        """Take a call's raw body with what `x-port-timestamp` and `x-port-signature` say."""

    def health(self) -> Mapping[str, bool]:
        """What has to be true for the process to be ready, by name."""


def webhook_app(receiver: Receiver, refusals: RefusalLog, *, max_body_bytes: int) -> bottle.Bottle:
    """A WSGI application of its own: for our server, or to be mounted in somebody else's.

    It answers JSON, always. Under another server, limits of connections, headers and time are
    that server's affair; `max_body_bytes` holds everywhere.
    """
    app = WebhookApp(receiver, refusals, max_body_bytes)
    app.route("/resync", "POST", app.resync)
    app.route("/health/live", "GET", app.live)
    app.route("/health/ready", "GET", app.ready)
    return app


class WebhookApp(bottle.Bottle):  # type: ignore[misc]
    """A bottle application whose own errors (404, 405, a crash …) are JSON and are logged."""

    def __init__(self, receiver: Receiver, refusals: RefusalLog, max_body_bytes: int) -> None:
        super().__init__()
        self._receiver = receiver
        self._refusals = refusals
        self._max_body_bytes = max_body_bytes

    def wsgi(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one call.

        Port's are most of them and need nothing of bottle, whose router, request and response
        would cost more than verifying and judging the call.
        """
        if environ.get("PATH_INFO") != "/resync" or environ["REQUEST_METHOD"] != "POST":
            served: Iterable[bytes] = super().wsgi(environ, start_response)
            return served
        answer = self.receive(environ)
        body = answer.encoded()
        start_response(STATUS_LINES[answer.status], [*headers_of(answer, body)])
        return [body]

    def receive(self, environ: Mapping[str, Any]) -> Answer:
        """Answer `POST /resync`."""
        receiver = self._receiver
        source = receiver.source(
            environ.get("REMOTE_ADDR") or "", environ.get("HTTP_X_FORWARDED_FOR")
        )
        try:
            receiver.admit(source)
            require_json(environ)
            return receiver.accept(
                read_body(environ, self._max_body_bytes),
                environ.get("HTTP_X_PORT_TIMESTAMP"),
                environ.get("HTTP_X_PORT_SIGNATURE"),
            )
        except Refusal as refusal:
            if refusal.noteworthy:
                self._refusals.add(refusal.status, source, f"POST /resync: {refusal.message}")
            return refusal.answer()
        except Exception:
            logger.exception("POST /resync failed")
            return error_answer(500, "internal error")

    def resync(self) -> bottle.HTTPResponse:
        """`POST /resync` for whoever comes through bottle's router."""
        return _response(self.receive(bottle.request.environ))

    def live(self) -> bottle.HTTPResponse:
        """`GET /health/live`: this process answers."""
        return _response(Answer(200, {"ok": True}))

    def ready(self) -> bottle.HTTPResponse:
        """`GET /health/ready`: 503 until everything is as it has to be."""
        health = self._receiver.health()
        ok = all(health.values())
        return _response(Answer(200 if ok else 503, {"ok": ok, **health}))

    def default_error_handler(self, res: bottle.HTTPError) -> bytes:
        """Bottle's page, in JSON and without its traceback, whatever `bottle.debug` says."""
        environ = bottle.request.environ
        status = int(res.status_code)
        message = _MESSAGES.get(status, "the call cannot be served")
        peer = environ.get("REMOTE_ADDR") or "an unknown address"
        self._refusals.add(status, peer, f"{_said(environ)}: {message}")
        bottle.response.content_type = "application/json"
        return error_answer(status, message).encoded()


_MESSAGES = {
    400: "malformed request",
    404: "no such path: POST /resync, GET /health/live and GET /health/ready are served",
    405: "wrong method for this path",
    500: "internal error",
}


STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


def headers_of(answer: Answer, body: bytes) -> Iterable[tuple[str, str]]:
    """The headers of an answer."""
    yield "Content-Type", "application/json"
    yield "Content-Length", str(len(body))
    yield from answer.headers.items()


def _response(answer: Answer) -> bottle.HTTPResponse:
    """Bottle's form of an answer."""
    body = answer.encoded()
    return bottle.HTTPResponse(body, answer.status, [*headers_of(answer, body)])


def require_json(environ: Mapping[str, Any]) -> None:
    """Refuse (415) a body that says it is something else; an empty one may say nothing."""
    text = environ.get("CONTENT_TYPE") or ""
    if text == "application/json":
        return
    kind = text.partition(";")[0].strip().lower()
    if kind in JSON_TYPES or kind.endswith("+json"):
        return
    if not kind and not _length(environ) and not _is_chunked(environ):
        return
    raise Refusal(415, "the content type has to be application/json")


def read_body(environ: Mapping[str, Any], limit: int) -> bytes:
    """The raw body, of at most `limit` bytes; of a longer one no more than that is read."""
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
    while left and (part := read(left)):
        parts.append(part)
        left -= len(part)
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


def _said(environ: Mapping[str, Any]) -> str:
    """Method and path, safe for a line of a log, whatever was sent."""
    said = f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO')}"
    return ascii(said[:100])[1:-1]
