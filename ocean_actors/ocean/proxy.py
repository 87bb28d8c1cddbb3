"""Passes calls on to the web server of an integration's process, and its answers back."""

from __future__ import annotations

import http.client
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from ocean_actors.ocean.address import ChildAddress
from ocean_actors.text import one_line
from ocean_actors.web.answers import RETRY, Refusal
from ocean_actors.web.body import read_body
from ocean_actors.web.log import WebLog
from ocean_actors.web.tasks import WAITED
from ocean_actors.web.wsgi import StartResponse

PIECE_BYTES = 64 * 1024
CONNECT_SECONDS = 5.0

HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "proxy-connection", "te", "trailer", "trailers", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""The headers that concern one connection only (RFC 9110, 7.6.1)."""

NOT_FORWARDED = HOP_BY_HOP | {"content-length", "expect"}
"""Headers of a call that are made anew or are dealt with here."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FOLD = re.compile(r"[\r\n\0]+[ \t]*")
_HEADER = "HTTP_"


@dataclass(frozen=True)
class ProxyTimes:
    """How long a call may take, in seconds.

    `queue`: until a thread is free; later callers have probably given up, and call again.
    `answer`: until the integration sends its answer's head, or a part of it. `piece`: until it
    sends the next piece of the body. `call`: the whole call.
    """

    queue: float = 30.0
    answer: float = 60.0
    piece: float = 60.0
    call: float = 600.0


@dataclass(frozen=True)
class ForwardedCall:
    """A call as it is sent to the integration."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]


def forwarded_call(environ: Mapping[str, Any], body_bytes: int) -> ForwardedCall:
    """Returns the call of a WSGI environment as it is sent on.

    Path and query are as they were sent. The headers are those of the call without the ones that
    concern its connection, with the length of the body, and with `X-Forwarded-…`. Raises Refusal
    for a call that cannot be passed on.
    """
    method = str(environ["REQUEST_METHOD"])
    path = str(environ.get("PATH_INFO") or "")
    if not path.startswith("/"):
        raise Refusal(404, "no such path")
    if method in ("CONNECT", "TRACE"):
        raise Refusal(405, "wrong method for this path")
    query = str(environ.get("QUERY_STRING") or "")
    sent = {
        name[len(_HEADER) :].replace("_", "-").title(): str(value)
        for name, value in environ.items()
        if name.startswith(_HEADER)
    }
    dropped = NOT_FORWARDED | (_named_by(sent.get("Connection", "")) - {"host"})
    headers = {name: value for name, value in sent.items() if name.lower() not in dropped}
    if environ.get("CONTENT_TYPE"):
        headers["Content-Type"] = str(environ["CONTENT_TYPE"])
    if body_bytes or environ.get("CONTENT_LENGTH") or method in ("POST", "PUT", "PATCH"):
        headers["Content-Length"] = str(body_bytes)
    headers.update(_forwarded_for(environ, headers))
    # A call of HTTP/1.0 may have no Host, but it is sent on as HTTP/1.1, which needs one.
    headers.setdefault("Host", f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}")
    headers["Connection"] = "close"
    return ForwardedCall(method, f"{path}?{query}" if query else path, tuple(headers.items()))


def _forwarded_for(environ: Mapping[str, Any], headers: Mapping[str, str]) -> Mapping[str, str]:
    """Returns the headers that tell where a call came from.

    What proxies before us wrote is kept; the integration has to decide what it believes, as it
    would without us.
    """
    peer = str(environ.get("REMOTE_ADDR") or "unknown")
    before = headers.get("X-Forwarded-For")
    made = {"X-Forwarded-For": f"{before}, {peer}" if before else peer}
    if headers.get("X-Forwarded-Proto", "").lower() not in ("http", "https"):
        made["X-Forwarded-Proto"] = str(environ.get("wsgi.url_scheme") or "http")
    if "Host" in headers and "X-Forwarded-Host" not in headers:
        made["X-Forwarded-Host"] = headers["Host"]
    if environ.get("SCRIPT_NAME"):
        made["X-Forwarded-Prefix"] = str(environ["SCRIPT_NAME"])
    return made


def answer_head(
    status: int, reason: str, headers: Iterable[tuple[str, str]], length: int | None
) -> tuple[str, list[tuple[str, str]]]:
    """Returns the status line and the headers of an integration's answer, for WSGI.

    `length` is that of the body, None if the body ends with the connection. Raises Refusal (502)
    for a status that cannot be passed on.
    """
    if not 200 <= status <= 599:
        raise Refusal(502, "the integration sent an answer that cannot be passed on", RETRY)
    if not (reason.isascii() and reason.isprintable() and reason):
        reason = HTTPStatus(status).phrase if status in _STATUSES else "Unknown"
    given = [(name, _FOLD.sub(" ", value).strip()) for name, value in headers]
    named = [value for name, value in given if name.lower() == "connection"]
    # Our server says who it is, and when, by itself.
    dropped = HOP_BY_HOP | _named_by(",".join(named)) | {"content-length", "server"}
    kept = [
        (name, value)
        for name, value in given
        if name.lower() not in dropped and _NAME.fullmatch(name)
    ]
    if length is not None:
        kept.append(("Content-Length", str(length)))
    return f"{status} {reason}", kept


_STATUSES = frozenset(each.value for each in HTTPStatus)


def _named_by(connection: str) -> frozenset[str]:
    """Returns the further headers that a header `Connection` names as those of the connection."""
    return frozenset(each.strip().lower() for each in connection.split(",")) - {""}


class OceanProxy:
    """A WSGI application that passes every call on to the process of an integration.

    A call takes a thread until the answer has been passed back, so it is served by threads of its
    own (`web.server.SlowCalls`). Each call has a connection of its own: the process may have been
    replaced since the last one. Answers are passed on piece by piece, as they come.

    Without a process, as on standby, calls are answered 503; if it does not answer, 502 or 504.
    """

    def __init__(
        self,
        address: ChildAddress,
        log: WebLog,
        *,
        max_body_bytes: int,
        times: ProxyTimes | None = None,
    ) -> None:
        self._address = address
        self._log = log
        self._max_body_bytes = max_body_bytes
        self._times = times or ProxyTimes()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one call (PEP 3333)."""
        try:
            return self._pass_on(environ, start_response)
        except Refusal as refusal:
            if refusal.noteworthy:
                source = one_line(environ.get("REMOTE_ADDR") or "an unknown address", 100)
                self._log.refused(refusal.status, source, f"{_name(environ)}: {refusal.message}")
            body = refusal.answer().send(start_response)
            return [] if environ["REQUEST_METHOD"] == "HEAD" else body

    def _pass_on(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ.get(WAITED, 0.0) > self._times.queue:
            raise Refusal(503, "too many calls wait for the integration", RETRY)
        url = self._address.url  # another thread may set it at any time
        if url is None:
            raise Refusal(503, "the integration is not running now", RETRY, noteworthy=False)
        body = read_body(environ, self._max_body_bytes)
        call = forwarded_call(environ, len(body))
        connection = _Connection(url, self._times)
        try:
            response = _answered(connection, call, body)
            length = response.length
            if call.method == "HEAD" or response.status == 304:  # of the body that GET would have
                length = _length(response.getheader("Content-Length"))
            head = answer_head(response.status, response.reason, response.getheaders(), length)
            start_response(*head)
        except BaseException:
            connection.end()
            raise
        return _Pieces(connection, response, self._log, _name(environ))


def _answered(
    connection: _Connection, call: ForwardedCall, body: bytes
) -> http.client.HTTPResponse:
    """Sends a call; returns the answer once its head is there. Raises Refusal."""
    try:
        connection.connect()
    except TimeoutError:
        raise Refusal(504, "the integration did not answer in time", RETRY) from None
    except OSError:  # its process has just ended
        raise Refusal(503, "the integration is not running now", RETRY) from None
    try:
        try:
            connection.putrequest(
                call.method, call.target, skip_host=True, skip_accept_encoding=True
            )
            for name, value in call.headers:
                connection.putheader(name, value)
            connection.endheaders()
            if body:
                connection.send(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have answered without reading the body
        return connection.getresponse()
    except TimeoutError:
        raise Refusal(504, "the integration did not answer in time", RETRY) from None
    except (OSError, http.client.HTTPException) as error:
        raise Refusal(
            502, f"the integration gave no valid HTTP answer: {type(error).__name__}", RETRY
        ) from error
    except ValueError as error:  # of http.client: a target or a header that cannot be sent
        raise Refusal(400, "the call cannot be passed on") from error


class _Pieces(Iterator[bytes]):
    """The body of an answer, piece by piece, and the connection that it comes from."""

    def __init__(
        self,
        connection: _Connection,
        response: http.client.HTTPResponse,
        log: WebLog,
        name: str,
    ) -> None:
        self._connection = connection
        self._response = response
        self._log = log
        self._name = name

    def __next__(self) -> bytes:
        try:
            piece = self._response.read1(PIECE_BYTES)
            if not piece and self._response.length:
                raise http.client.IncompleteRead(b"", self._response.length)
        except (OSError, http.client.HTTPException) as error:
            self._log.cut_short(self._name, error)
            # The caller must not take what it got for the whole answer. (waitress is untyped.)
            from waitress.channel import ClientDisconnected  # type: ignore[import-untyped]

            raise ClientDisconnected from error
        if not piece:
            raise StopIteration
        return piece

    def close(self) -> None:
        """Ends the connection."""
        self._connection.end()


class _Connection(http.client.HTTPConnection):
    """A connection to the process, none of whose steps waits for longer than it may.

    It carries one call, and ends with `end`.
    """

    def __init__(self, url: str, times: ProxyTimes) -> None:
        parts = urlsplit(url)
        super().__init__(parts.hostname or "", parts.port, timeout=CONNECT_SECONDS)
        self._deadline = time.monotonic() + times.call
        self._times = times
        self._bounded: _BoundedSocket | None = None
        self._answer: http.client.HTTPResponse | None = None

    def connect(self) -> None:
        """Connects. Raises OSError."""
        super().connect()
        self._bounded = _BoundedSocket(self.sock, self._times.answer, self._deadline)
        self.sock = self._bounded

    def send(self, data: Any) -> None:
        """Sends data; never connects again. Raises OSError."""
        if self.sock is None:
            raise ConnectionResetError
        super().send(data)

    def getresponse(self) -> http.client.HTTPResponse:
        """Returns the answer once its head is there. Raises OSError and HTTPException."""
        self._answer = super().getresponse()
        assert self._bounded is not None  # noqa: S101  (it was connected)
        self._bounded.seconds = self._times.piece
        return self._answer

    def end(self) -> None:
        """Closes the connection, which an answer may have taken over."""
        if self._answer is not None:
            self._answer.close()
        self.close()


class _BoundedSocket(socket.socket):
    """A socket whose reads and writes end after `seconds` each, and at `deadline` (monotonic)."""

    def __init__(self, plain: socket.socket, seconds: float, deadline: float) -> None:
        super().__init__(plain.family, plain.type, plain.proto, plain.detach())
        self.seconds = seconds
        self._deadline = deadline

    def recv_into(self, *args: Any, **keywords: Any) -> int:
        """Reads as `socket.recv_into` does. Raises TimeoutError."""
        self._limit()
        return super().recv_into(*args, **keywords)

    def sendall(self, *args: Any, **keywords: Any) -> None:
        """Sends as `socket.sendall` does. Raises TimeoutError."""
        self._limit()
        super().sendall(*args, **keywords)

    def _limit(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call took too long")
        self.settimeout(min(self.seconds, left))


def _length(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def _name(environ: Mapping[str, Any]) -> str:
    """Returns method and path of a call, as they are to appear in the log."""
    return one_line(f"{environ['REQUEST_METHOD']} {environ.get('PATH_INFO')}", 100)
