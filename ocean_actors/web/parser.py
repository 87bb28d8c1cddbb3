"""HTTP/1.x requests as RFC 9112 wants them read: whatever is ambiguous is refused.

waitress's parser accepts some requests that a proxy in front of us may understand otherwise,
buffers without a bound what frames the chunks of a body, and loses a request that expects `100
Continue` but is complete with its head. All three are put right here.
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
from waitress.utilities import (  # type: ignore[import-untyped]
    BadRequest,
    Error,
    RequestEntityTooLarge,
)

HEAD_BYTES = 16 * 1024  # of request line and headers together
FRAMING_BYTES = 4 * 1024  # of a chunk's size with its extensions, and of the trailer
SMALL_BODY_BYTES = 64 * 1024  # taken even while `bodies_full`

_TARGET = re.compile(r'[!"$-~]+')  # visible ASCII without #
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e\x80-\xff]*)?")
_HOST = re.compile(rb"\r\nhost:", re.IGNORECASE)
_TRANSFER_ENCODING = re.compile(rb"\r\ntransfer-encoding:[ \t]*([^\r\n]*)", re.IGNORECASE)


class VersionNotSupported(Error):  # type: ignore[misc]  # waitress is untyped
    """The request is neither HTTP/1.1 nor HTTP/1.0."""

    code = 505
    reason = "HTTP Version Not Supported"


class ServiceUnavailable(Error):  # type: ignore[misc]  # waitress is untyped
    """The bodies that are arriving take all the memory that they may."""

    code = 503
    reason = "Service Unavailable"


class Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress is untyped
    """Reads one request; ends with its head if it announces a body over `max_body_bytes`.

    `bodies_full` returns whether the bodies of all requests that are arriving take so much
    memory that large ones have to be refused.
    """

    completed: bool
    content_length: int
    body_rcv: Any
    path: str = ""  # waitress logs it for a caller who went away, even before it was parsed
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
        if self.completed:
            # waitress would send 100, and take the request for incomplete for ever
            self.expect_continue = False
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
        self._check_host(len(_HOST.findall(header_plus)))
        if _TARGET.fullmatch(self.request_uri) is None:
            raise ParsingError("the target holds characters other than visible ASCII")
        self.raw_path = raw_path(self.request_uri)
        if self.content_length > self._max_body_bytes:
            self._end_with(RequestEntityTooLarge(""))
        elif self.chunked and self.error is None:
            self.body_rcv = ChunkedBody(self.body_rcv.getbuf(), self._max_body_bytes)

    def _check_version(self, *, has_encoding: bool) -> None:
        if not self.version:
            raise ParsingError("the request line names no version")
        if self.version not in ("1.0", "1.1"):
            self.connection_close = True
            self._end_with(VersionNotSupported(""))
        elif has_encoding and (self.version == "1.0" or "CONTENT_LENGTH" in self.headers):
            # RFC 9112, 6.1: an attempt to smuggle a request past a proxy
            raise ParsingError("Transfer-Encoding with Content-Length, or in HTTP/1.0")

    def _check_host(self, count: int) -> None:
        """Raises ParsingError unless there is one Host, or none in HTTP/1.0 (RFC 9112, 3.2)."""
        if count > 1 or (not count and self.version == "1.1"):
            raise ParsingError("none or several Host headers")

    def _end_with(self, error: Error) -> None:
        """Refuses the request without waiting for its body."""
        self.error = error
        self.body_rcv = None
        self.content_length = 0


class HeldBytes(Parser):
    """Holds what a caller sent before the answer to its request, to be parsed after that answer.

    So a connection has one request at work at a time, however many are pipelined.
    """

    held = b""

    def received(self, data: bytes) -> int:
        """Holds `data`; the connection is not read before they were taken out."""
        self.held += data
        return len(data)


class ChunkedBody:
    """Reads a chunked body (RFC 9112, 7.1) of at most `max_bytes`, for waitress's parser.

    `buf` takes the body; extensions and the trailer are skipped. waitress's own receiver also
    accepts bare line feeds and blank lines, and buffers lines of any length.
    """

    def __init__(self, buf: Any, max_bytes: int) -> None:
        self.completed = False
        self.error: Error | None = None
        self._buf = buf
        self._max_bytes = max_bytes
        self._left = 0  # bytes of the present chunk
        self._line = b""  # that is not complete yet
        self._framing = 0  # bytes of the trailer
        self._take_line = self._take_size

    def __len__(self) -> int:
        return int(self._buf.__len__())

    def getfile(self) -> Any:
        """Returns the body as a file."""
        return self._buf.getfile()

    def getbuf(self) -> Any:
        """Returns what holds the body."""
        return self._buf

    def received(self, data: bytes) -> int:
        """Takes bytes of the body; returns how many of `data` belong to it."""
        position = 0
        while position < len(data) and not self.completed and self.error is None:
            if self._left:
                part = data[position : position + self._left]
                self._take_data(part)
                position += len(part)
                continue
            newline = data.find(b"\n", position)
            end = newline + 1 if newline >= 0 else len(data)
            self._line += data[position:end]
            position = end
            if len(self._line) > FRAMING_BYTES:
                self.error = BadRequest("chunk extension or trailer too long")
            elif newline >= 0:
                line, self._line = self._line, b""
                if line.endswith(b"\r\n"):
                    self._take_line(line[:-2])
                else:
                    self.error = BadRequest("bare line feed in a chunked body")
        return position

    def _take_data(self, part: bytes) -> None:
        self._buf.append(part)
        self._left -= len(part)
        if len(self) > self._max_bytes:
            self.error = RequestEntityTooLarge("")

    def _take_size(self, line: bytes) -> None:
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            self.error = BadRequest("invalid chunk size")
            return
        self._left = int(match[1], 16)
        self._take_line = self._take_end if self._left else self._take_trailer

    def _take_end(self, line: bytes) -> None:
        if line:
            self.error = BadRequest("chunk not properly terminated")
        self._take_line = self._take_size

    def _take_trailer(self, line: bytes) -> None:
        self._framing += len(line)
        if self._framing > FRAMING_BYTES:
            self.error = BadRequest("trailer too long")
        self.completed = not line


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
