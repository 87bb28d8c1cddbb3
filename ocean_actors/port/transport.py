"""Sends requests to Port's API and reads the answers (docs/port-wire.md, section 1)."""

from __future__ import annotations

import json
import math
import re
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import responses
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ReadTimeoutError,
)

from ocean_actors.actors import CancelToken, Clock
from ocean_actors.connections import TIMEOUT, AnswerTooLong, HttpCall, Timeout, causes
from ocean_actors.log import get_logger
from ocean_actors.pauses import SharedPauses
from ocean_actors.port.errors import AnswerTooLarge, PortError, UnexpectedAnswer
from ocean_actors.port.exchange import Exchange, Response, UnusableUrl, target_of
from ocean_actors.port.identity import EXPORTER, Identity
from ocean_actors.port.models import AccessToken, kind_of, parse_access_token
from ocean_actors.port.permit import Permit
from ocean_actors.port.tally import NO_ANSWER
from ocean_actors.retry import Attempts, Retry, asked_wait, random_jitter
from ocean_actors.text import one_line
from ocean_actors.throttle import Throttle
from ocean_actors.tls import UnusableAuthorities
from ocean_actors.tracing import call_to_port

__all__ = ["RequestedWaits", "Retry", "Transport"]

logger = get_logger(__name__)

Parsed = TypeVar("Parsed")

RETRY = Retry()
TEMPORARY_STATUSES = frozenset({302, 303, 307, 408, 425, 429})  # and 5xx
DEADLINE = 120.0  # seconds; for one attempt, until the answer is complete
LONGEST_MESSAGE = 5 * DEADLINE
"""`message_bound` of actors that call Port, a few times for a message: Port being slow is logged,
and no reason to start the process again."""

MAX_ANSWER = 4 * 1024 * 1024  # bytes after decompression; JSON takes up to 26 times as much memory
_USER = re.compile(r"//[^/]*@")  # of a proxy: user and password
UNKNOWN_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


class RequestedWaits:
    """The waits that Port asks for, which several clients may share.

    `refused` is called with each error that may be temporary, in the thread of the call.
    """

    def __init__(self) -> None:
        self.pauses = SharedPauses()
        self.refused: Callable[[PortError], object] = lambda _error: None


class Transport:
    """Sends requests with the access token, and repeats those that may succeed later.

    Any thread may use it; cancelling `token`, from any thread, ends the calls of all.
    """

    def __init__(
        self,
        identity: Identity,
        token: CancelToken,
        clock: Clock,
        *,
        timeout: Timeout = TIMEOUT,
        strict: bool = True,
        jitter: Callable[[], float] = random_jitter,
        waits: RequestedWaits | None = None,
        permit: Permit | None = None,
    ) -> None:
        self._identity = identity
        self._permit = permit
        self._token = token
        self._clock = clock
        self._jitter = jitter
        self._base_url = identity.port.base_url.rstrip("/") + "/v1"
        self._exchange = Exchange(token, clock, timeout=timeout, deadline=DEADLINE, strict=strict)
        self._waits = waits or RequestedWaits()
        self._throttle = Throttle(clock)
        self._renewing = threading.Lock()  # so that many calls fetch one access token

    def call(
        self,
        method: str,
        path: str,
        parse: Callable[[dict[str, Any]], Parsed],
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | bytes | None = None,
        retry: Retry = RETRY,
        exporter: bool = False,
        max_bytes: int = MAX_ANSWER,
        empty: Mapping[str, Any] | None = None,
        once: bool = False,
        writes: bool = False,
    ) -> Parsed:
        """Call Port and return what `parse` makes of the JSON object that it answers.

        `path` starts with "/" and is made of `segment`s; a `body` of bytes is JSON already.
        `exporter` says that the integration's own entities are written or searched. `empty` is
        what a 2xx answer without a body stands for; without it, such an answer is an error.
        `once`: the request is not sent again over a fresh connection if its own proves stale.
        `writes`: it changes something in Port, so it is sent only if the permit holds.

        Raises PortError: after `retry` for what is temporary (408, 429, 5xx, no answer, one that
        is no JSON object or that `parse` refuses with UnexpectedAnswer), else at once. Raises
        AnswerTooLarge for an answer of more than `max_bytes` bytes after decompression, and the
        token's error when that is cancelled.
        """
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = _Request(
            method, path, query or {}, data, exporter, max_bytes, empty, once, writes
        )
        return self.repeat(lambda access: self._send(request, parse, access), retry)

    def repeat(self, attempt: Callable[[AccessToken], Parsed], retry: Retry) -> Parsed:
        """Make a call by `attempt`, which sends it once with an access token.

        As `call`: it is repeated as `retry` says, and once more with a fresh access token if Port
        refuses the one that it had. `attempt` raises PortError.
        """
        attempts = Attempts(retry, self._clock.monotonic())
        while True:
            if retry.attempts > 1:
                self._waits.pauses.wait(self._base_url, self._token, self._clock, self._jitter)
            try:
                return self._authorised(attempt)
            except PortError as error:
                if error.temporary:
                    self._waits.refused(error)
                now, asked = self._clock.monotonic(), error.asked_wait
                delay = attempts.delay(now, asked, self._jitter())
                if not error.temporary or delay is None:
                    raise
                if asked is not None:
                    self._waits.pauses.begin(self._base_url, now + asked, delay - asked)
                self._warn(error, delay)
                self._identity.tally.note_retry()
            self._token.sleep(delay, self._clock)

    def deliver(self, method: str, address: str, body: Mapping[str, Any] | bytes) -> None:
        """Send `body` with the access token to an address that Port named; any 2xx will do.

        The call is not repeated. Raises PortError, which names the host only, and the token's
        error when that is cancelled. A 401 does not renew the access token: what answers there
        cannot make us fetch new ones.
        """
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = _Request(method, "", data=data, writes=True, address=address)
        self._send(request, ignore, self._access_token())

    def connect(self) -> None:
        """Open a connection and fetch the access token, once. Raises PortError."""
        self._access_token()

    def close(self) -> None:
        """Close the connections."""
        self._exchange.close()

    def _warn(self, error: PortError, delay: float) -> None:
        admission = self._throttle.admit()
        if admission.admitted:
            logger.warning("%s; retrying in %.1f s%s", error, delay, admission.more)

    def delegate(
        self, method: str, send: Callable[[AccessToken, float], tuple[str, Parsed]], retry: Retry
    ) -> Parsed:
        """Make a call that writes and that `send` has sent by another process; see `repeat`.

        `send` also gets the seconds after which the call may not begin. It returns the status of
        the answer and what it says, or raises PortError.
        """

        def attempt(access: AccessToken) -> Parsed:
            seconds = self._check_permit()
            tally, began, code = self._identity.tally, self._clock.monotonic(), NO_ANSWER
            try:
                code, parsed = send(access, seconds)
            except PortError as error:
                code = NO_ANSWER if error.status is None else str(error.status)
                raise
            finally:
                if not self._token.cancelled:
                    tally.note(method, code, self._clock.monotonic() - began)
            return parsed

        return self.repeat(attempt, retry)

    def attempt(
        self,
        method: str,
        path: str,
        parse: Callable[[dict[str, Any]], Parsed],
        access: AccessToken,
        *,
        query: Mapping[str, str],
        body: bytes,
        permit: Callable[[], object],
    ) -> Parsed:
        """Make a call that writes the integration's own entities, once, with an access token.

        `permit` is called right before each piece is sent. Raises what `permit` raises, PortError
        (even for a 401), and the token's error when that is cancelled.
        """
        self._identity.keep(access, self._clock.monotonic())  # to mask it in errors
        request = _Request(method, path, query, body, exporter=True, writes=True, permit=permit)
        return self._send(request, parse, access)

    def _authorised(self, attempt: Callable[[AccessToken], Parsed]) -> Parsed:
        """Send with the access token; once more with a fresh one if Port refuses it."""
        access = self._access_token()
        try:
            return attempt(access)
        except PortError as error:
            if error.status != 401:
                raise
        self._identity.forget(access)
        return attempt(self._access_token())

    def _access_token(self) -> AccessToken:
        token = self._identity.valid_token(self._clock.monotonic())
        if token is not None:
            return token
        with self._renewing:  # held no longer than one call takes; cancelling the token ends that
            token = self._identity.valid_token(self._clock.monotonic())
            return token or self._fetch_token()

    def _fetch_token(self) -> AccessToken:
        port = self._identity.port
        credentials = {
            "clientId": port.client_id,
            "clientSecret": port.client_secret.get_secret_value(),
        }
        request = _Request("POST", "/auth/access_token", {}, json.dumps(credentials).encode())
        asked_at = self._clock.monotonic()
        try:
            token = self._send(request, parse_access_token, None)
        except PortError as error:
            if error.status not in (401, 403):
                raise
            raise PortError(
                f"{error}: check port.clientId and port.clientSecret",
                status=error.status,
            ) from None
        self._identity.keep(token, asked_at)
        return token

    def _send(
        self,
        request: _Request,
        parse: Callable[[dict[str, Any]], Parsed],
        access: AccessToken | None,
    ) -> Parsed:
        """Send once. Raises PortError."""
        try:
            response = self._answer_to(request, access)
        except AnswerTooLong as error:
            raise AnswerTooLarge(f"{self._place(request)}: {error}") from None
        except (OSError, HTTPError, ValueError) as error:
            raise self._failure(request, error) from None
        self._identity.note_clock(response.headers.get("Date"), self._clock.now())
        if not 200 <= response.status < 300:
            raise self._refusal(request, response, quoting=access is not None)
        try:
            return parse({} if request.address else _json_object(response, request.empty))
        except UnexpectedAnswer as error:
            raise self._error(request, response, str(error)) from None

    def _answer_to(self, request: _Request, access: AccessToken | None) -> Response:
        """Send, return the answer and count it; a call that is cancelled is not counted."""
        target = target_of(self._url(request), tuple(request.query.items()))
        headers = self._headers(request, access)
        permit = (request.permit or self._check_permit) if request.writes else None
        call = HttpCall(request.max_bytes, once=request.once, permit=permit)
        tally, began = self._identity.tally, self._clock.monotonic()
        try:
            with call_to_port(request.method, target.url) as span:
                response = self._exchange.send(request.method, target, headers, request.data, call)
                span.answered(response.status)
        except Exception:
            tally.note(request.method, NO_ANSWER, self._clock.monotonic() - began)
            raise
        tally.note(request.method, str(response.status), self._clock.monotonic() - began)
        return response

    def _check_permit(self) -> float:
        """Returns for how many seconds writing is permitted. Raises as the permit does."""
        return math.inf if self._permit is None else self._permit(self._token, self._clock)

    def _url(self, request: _Request) -> str:
        return request.address or self._base_url + request.path

    def _headers(self, request: _Request, access: AccessToken | None) -> dict[str, str | bytes]:
        headers: dict[str, str | bytes] = {
            "User-Agent": (self._identity.user_agent + EXPORTER * request.exporter).encode(),
            "Accept": "application/json",
        }
        if access is not None:
            headers["Authorization"] = access.authorization
        if request.data is not None:
            headers["Content-Type"] = "application/json"
        return headers

    def _place(self, request: _Request) -> str:
        """Returns where a request goes, for the start of an error: without credentials."""
        url = self._url(request)
        shown = url if request.address is None else "{0.scheme}://{0.netloc}".format(urlsplit(url))
        place = one_line(f"{request.method} {shown}")
        proxy = self._exchange.proxy_of(url)
        return f"{place} through the proxy {_without_user(proxy)}" if proxy else place

    def _failure(self, request: _Request, error: Exception) -> PortError:
        """Returns the error for a request without a complete answer."""
        unusable = isinstance(error, UnusableUrl)
        reason = one_line(self._identity.mask(_USER.sub("//", reason_of(error))))
        return PortError(
            f"{self._place(request)}: {reason}",
            temporary=not unusable,
            lasting=unusable or _is_lasting(error),
        )

    def _refusal(self, request: _Request, response: Response, *, quoting: bool) -> PortError:
        """Returns the error for a status other than 2xx.

        Unless `quoting`, only JSON is quoted: other answers to a token call may repeat it.
        """
        status = response.status
        temporary = status in TEMPORARY_STATUSES or status >= 500
        message = _message(response, quoting=quoting)
        return self._error(request, response, message, temporary=temporary)

    def _error(
        self, request: _Request, response: Response, message: str, *, temporary: bool = True
    ) -> PortError:
        status = response.status
        text = f"{self._place(request)}: {status} {responses.get(status, '')}".rstrip()
        message = one_line(self._identity.mask(message))
        return PortError(
            f"{text}: {message}" if message else text,
            status=status,
            temporary=temporary,
            asked_wait=asked_wait(response.headers, self._clock.now()) if temporary else None,
        )


@dataclass(frozen=True)
class _Request:
    """What is the same however often a request is sent."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    data: bytes | None = field(default=None, repr=False)
    exporter: bool = False
    max_bytes: int = MAX_ANSWER
    empty: Mapping[str, Any] | None = None
    """What an answer without a body stands for."""

    once: bool = False
    writes: bool = False
    address: str | None = field(default=None, repr=False)
    """Where it goes instead of `path` below `port.baseUrl`; its answer is not read."""

    permit: Callable[[], object] | None = None
    """Asked instead of the permit of the client."""


def segment(value: str) -> str:
    """Returns one segment of a path, percent-encoded, also "/" and "?"."""
    return quote(value, safe="", errors="surrogatepass")


def flag(value: bool) -> str:
    """Returns a boolean of a query, as Port spells it."""
    return "true" if value else "false"


def ignore(_answer: Mapping[str, Any]) -> None:
    """Take any JSON object for an answer."""


def _json_object(response: Response, empty: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the answer as a dict, or `empty` if it has no body. Raises UnexpectedAnswer."""
    body = response.body
    if not body and empty is not None:
        return dict(empty)
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        kind = response.headers.get("Content-Type", "no content type")
        raise UnexpectedAnswer(f"expected a JSON object, got {len(body)} bytes of {kind}") from None
    if not isinstance(answer, dict):
        raise UnexpectedAnswer(f"expected a JSON object, got {kind_of(answer)}")
    return answer


def _message(response: Response, *, quoting: bool) -> str:
    """Returns the text of an error, of any length: the answer may come from a proxy."""
    status, body = response.status, response.body
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict):
        said = [answer[key] for key in ("error", "message") if isinstance(answer.get(key), str)]
        if said:
            return ": ".join(said)
    if 300 <= status < 400:
        place = response.headers.get("Location", "nowhere") if quoting else "another address"
        return f"redirects to {place}, expected an answer: check port.baseUrl"
    if status == 407:
        return "the proxy asks for credentials"
    if isinstance(answer, dict):
        return ""
    if not quoting:
        return f"{len(body)} bytes that are not a JSON object"
    if "html" in response.headers.get("Content-Type", "") or body.lstrip()[:1] == b"<":
        return "an HTML page"
    return body.decode(errors="replace")


def reason_of(error: BaseException) -> str:
    """Returns why a call failed, found in the layers of requests and urllib3."""
    layers = list(causes(error))
    for layer in layers:
        if isinstance(layer, ssl.SSLCertVerificationError):
            return (
                f"the certificate is not trusted: {layer.verify_message} "
                "(SSL_CERT_FILE names more authorities; see also ssl.port.x509.strict)"
            )
        if isinstance(layer, ConnectTimeoutError) and not isinstance(layer, NewConnectionError):
            return "timed out while connecting"
        if isinstance(layer, TimeoutError | ReadTimeoutError):
            return "timed out while waiting for the answer"
    innermost = layers[-1]
    if isinstance(innermost, OSError) and innermost.strerror:
        return innermost.strerror
    return str(innermost) or type(innermost).__name__


def _is_lasting(error: BaseException) -> bool:
    """Returns whether a call will fail until somebody changes a certificate, a name, a file."""
    return any(
        isinstance(layer, ssl.SSLCertVerificationError | UnusableAuthorities)
        or (isinstance(layer, socket.gaierror) and layer.errno in UNKNOWN_NAME)
        for layer in causes(error)
    )


def _without_user(proxy: str) -> str:
    """Returns the address of a proxy without user and password."""
    parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    return one_line(f"{parts.scheme or 'http'}://{parts.netloc.rpartition('@')[2]}")
