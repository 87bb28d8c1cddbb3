"""HTTP/1.x requests as RFC 9112 wants them read: whatever is ambiguous is refused.

waitress's parser accepts some requests that a proxy in front of us may understand otherwise, and
buffers without a bound what frames the chunks of a body. Both are put right here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

# The stubs of waitress (types-waitress) are wrong about these, so they stay untyped.
from waitress.parser import (  # type: ignore[import-untyped]
    HTTPRequestParser,
    ParsingError,
    TransferEncodingNotImplemented,
)
from waitress.receiver import ChunkedReceiver  # type: ignore[import-untyped]
from waitress.utilities import (  # type: ignore[import-untyped]
    BadRequest,
    Error,
    RequestEntityTooLarge,
)

HEAD_BYTES = 16 * 1024  # of request line and headers together
FRAMING_BYTES = 4 * 1024  # of a chunk's size with its extensions, and of the trailer
SMALL_BODY_BYTES = 64 * 1024  # taken even while `bodies_full`

_TARGET = re.compile(r'[!"$-~]+')  # visible ASCII without #
_TRANSFER_ENCODING = re.compile(rb"\r\ntransfer-encoding:[ \t]*([^\r\n]*)", re.IGNORECASE)


class VersionNotSupported(Error):  # type: ignore[misc]
    """The request is neither HTTP/1.1 nor HTTP/1.0."""

    code = 505
    reason = "HTTP Version Not Supported"


class ServiceUnavailable(Error):  # type: ignore[misc]
    """The bodies that are arriving take all the memory that they may."""

    code = 503
    reason = "Service Unavailable"


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """Reads one request; ends with its head if it announces a body over `max_body_bytes`.

    `bodies_full` returns whether the bodies of all requests that are arriving take so much
    memory that large ones have to be refused.
    """

    completed: bool
    content_length: int
    body_rcv: Any
    raw_path: str = "/"
    """The path as it was sent, still percent-encoded."""

    def __init__(
        self, adj: Any, *, max_body_bytes: int, bodies_full: Callable[[], bool] = lambda: False
    ) -> None:
        super().__init__(adj)
        self._max_body_bytes = max_body_bytes
        self._bodies_full = bodies_full

    @property
    def body_bytes(self) -> int:
        """The bytes of the body that are in memory."""
        return 0 if self.body_rcv is None else self.body_rcv.__len__()

    def received(self, data: bytes) -> int:
        """Takes bytes of the request; returns how many of `data` belong to it."""
        consumed: int = super().received(data)
        if not self.completed and self.body_bytes > SMALL_BODY_BYTES and self._bodies_full():
            self.error = ServiceUnavailable("")
            self.completed = True
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        """Takes the head of the request. Raises ParsingError if it is malformed."""
        encodings = _TRANSFER_ENCODING.findall(header_plus)
        if encodings and (len(encodings) > 1 or encodings[0].strip().lower() != b"chunked"):
            # 501 by RFC 9112, 6.1, but the mistake is the caller's
            raise ParsingError("the transfer encoding is not `chunked`")
        if b"\r\n " in header_plus or b"\r\n\t" in header_plus:
            raise ParsingError("a header is folded (RFC 9112, 5.2)")
        try:
            super().parse_header(header_plus)
        except TransferEncodingNotImplemented:
            raise ParsingError("the transfer encoding is not `chunked`") from None
        except ValueError:  # of int and urlsplit, which waitress does not expect
            raise ParsingError("malformed request line or Content-Length") from None
        self._check_version(has_encoding=bool(encodings))
        if _TARGET.fullmatch(self.request_uri) is None:
            raise ParsingError("the target holds other than visible ASCII characters")
        self.raw_path = raw_path(self.request_uri)
        if self.content_length > self._max_body_bytes:
            self._end_with(RequestEntityTooLarge(""))
        elif self.chunked and self.error is None:
            self.body_rcv = BoundedChunks(self.body_rcv.getbuf(), self._max_body_bytes)

    def _check_version(self, *, has_encoding: bool) -> None:
        if not self.version:
            raise ParsingError("the request line names no version")
        if self.version not in ("1.0", "1.1"):
            self.connection_close = True
            self._end_with(VersionNotSupported(""))
        elif has_encoding and (self.version == "1.0" or "CONTENT_LENGTH" in self.headers):
            # RFC 9112, 6.1: an attempt to smuggle a request past a proxy
            raise ParsingError("Transfer-Encoding with Content-Length, or in HTTP/1.0")

    def _end_with(self, error: Error) -> None:
        """Refuses the request without waiting for its body."""
        self.error = error
        self.body_rcv = None
        self.content_length = 0
        self.expect_continue = False


class HeldBytes(Parser):
    """Holds what a caller sent before the answer to its request, to be parsed after that answer.

    So a connection has one request at work at a time, however many are pipelined.
    """

    held = b""

    def received(self, data: bytes) -> int:
        """Holds `data`; the connection is not read before they were taken out."""
        self.held += data
        return len(data)


class BoundedChunks(ChunkedReceiver):  # type: ignore[misc]
    """Reads a chunked body of at most `max_bytes`, with at most `FRAMING_BYTES` around a chunk."""

    def __init__(self, buf: Any, max_bytes: int) -> None:
        super().__init__(buf)
        self._max_bytes = max_bytes

    def received(self, data: bytes) -> int:
        """Takes bytes of the body; returns how many of `data` belong to it."""
        consumed: int = super().received(data)
        if len(self.control_line) > FRAMING_BYTES or len(self.trailer) > FRAMING_BYTES:
            self.error = BadRequest("chunk extension or trailer too long")
        elif self.buf.__len__() > self._max_bytes:
            self.error = RequestEntityTooLarge("")
        return consumed


def raw_path(target: str) -> str:
    """Returns the path of a request target in origin form (`/a?b`) or absolute form
    (`http://host/a?b`), as it was sent.
    """
    path = target.partition("?")[0]
    scheme, separator, rest = path.partition("://")
    if separator and "/" not in scheme:
        _, slash, below = rest.partition("/")
        return f"/{below}" if slash else "/"
    return path
