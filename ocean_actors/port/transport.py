"""The one place that sends a request to Port's API and reads the answer (docs/port-wire.md, section 1)."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

import requests
from urllib3.exceptions import HTTPError

from ocean_actors._version import __version__
from ocean_actors.actors import CancelToken, Clock
from ocean_actors.port.errors import PortError, UnexpectedAnswer
from ocean_actors.port.models import AccessToken, kind_of, parse_access_token
from ocean_actors.retry import ONCE, Retry, asked_wait
from ocean_actors.session import TIMEOUT, CancellableSession, Timeout
from ocean_actors.settings import IntegrationSettings, PortSettings
from ocean_actors.text import MAX_CHARACTERS, one_line
from ocean_actors.throttle import Throttle

__all__ = ["Retry", "Transport"]

logger = logging.getLogger(__name__)

Parsed = TypeVar("Parsed")

RETRY = Retry()
TEMPORARY_STATUSES = frozenset({302, 303, 307, 408, 425, 429})  # and 5xx
EXPORTER = "/exporter"
"""At the end of the User-Agent of whoever writes or searches entities."""

MAX_ANSWER = 128 * 1024 * 1024  # bytes; a page of 5,000 entities may be large
RENEW_SHARE, RENEW_MOST = 0.2, 60.0
"""A token is renewed before it expires: by this share of its life, at most by these seconds."""


@dataclass
class Account:
    """Who we are to Port, and the access token that all clients of one system share.

    Without a lock: at worst two clients fetch a token each, and either is good.
    """

    port: PortSettings
    integration: IntegrationSettings
    _token: AccessToken | None = field(default=None, init=False, repr=False)
    _renew_at: float = field(default=0.0, init=False, repr=False)

    @property
    def user_agent(self) -> str:
        """Port tells by it who owns an entity."""
        return f"{self._kind}{__version__}/{self.integration.identifier}"

    @property
    def ownership(self) -> tuple[str, str]:
        """The start and the end of the User-Agent of what we own, whatever our version was."""
        return self._kind, f"/{self.integration.identifier}{EXPORTER}"

    @property
    def _kind(self) -> str:
        return f"port-ocean/{self.integration.type.lower()}/"

    def valid_token(self, now: float) -> AccessToken | None:
        """The token, if it is not about to expire at `now` (monotonic)."""
        token, renew_at = self._token, self._renew_at
        return token if now < renew_at else None

    def keep(self, token: AccessToken, now: float) -> None:
        """Use this token from `now` (monotonic) on."""
        margin = min(RENEW_MOST, token.seconds * RENEW_SHARE)
        self._token, self._renew_at = token, now + token.seconds - margin

    def forget(self, token: AccessToken) -> None:
        """Port does not accept this one any more."""
        if self._token is token:
            self._renew_at = 0.0

    def hide_secrets(self, text: str) -> str:
        """The text without our secrets, should a server repeat them."""
        for secret in (self.port.client_secret.get_secret_value(), _bare(self._token)):
            if secret:
                text = text.replace(secret, "***")
        return text


def _bare(token: AccessToken | None) -> str:
    return token.authorization.partition(" ")[2] if token is not None else ""


class Transport:
    """Sends requests, with the access token, and again where that may help.

    Any thread may use it; cancelling `token`, from any thread, ends the calls of all.
    """

    def __init__(
        self,
        account: Account,
        token: CancelToken,
        clock: Clock,
        *,
        timeout: Timeout = TIMEOUT,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._account = account
        self._token = token
        self._clock = clock
        self._jitter = jitter
        self._base_url = account.port.base_url.rstrip("/") + "/v1"
        self._session = CancellableSession(token, clock=clock, timeout=timeout, retry=ONCE)
        self._session.auth = lambda request: request  # else a .netrc replaces our Authorization
        self._throttle = Throttle(clock)

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
    ) -> Parsed:
        """Call Port and return what `parse` makes of the JSON object that it answers.

        `path` starts with "/" and is joined of `segment`s; a `body` of bytes is JSON already.
        `exporter`: what is written or searched is the integration's own.

        Raises PortError: after `retry` for what is temporary (408, 429, 5xx, no answer, one that
        is no JSON object or that `parse` refuses with UnexpectedAnswer), else at once. Raises the
        token's error when that is cancelled.
        """
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = _Request(method, path, query or {}, data, exporter)
        began = self._clock.monotonic()
        failures = 0
        while True:
            try:
                return self._authorised(request, parse)
            except PortError as error:
                failures += 1
                elapsed = self._clock.monotonic() - began
                delay = retry.delay(failures, elapsed, error.asked_wait, self._jitter())
                if not error.temporary or delay is None:
                    raise
                admission = self._throttle.admit()
                if admission.admitted:
                    suppressed = admission.suppressed
                    more = f" ({suppressed} more like it since the last line)" if suppressed else ""
                    logger.warning("%s; again in %.1f s%s", error, delay, more)
            self._token.sleep(delay, self._clock)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _authorised(self, request: _Request, parse: Callable[[dict[str, Any]], Parsed]) -> Parsed:
        """Send with the access token; once more with a fresh one if Port refuses it."""
        access = self._access_token()
        try:
            return self._send(request, parse, access)
        except PortError as error:
            if error.status != 401:
                raise
        self._account.forget(access)
        return self._send(request, parse, self._access_token())

    def _access_token(self) -> AccessToken:
        token = self._account.valid_token(self._clock.monotonic())
        if token is not None:
            return token
        port = self._account.port
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
        self._account.keep(token, asked_at)
        return token

    def _send(
        self,
        request: _Request,
        parse: Callable[[dict[str, Any]], Parsed],
        access: AccessToken | None,
    ) -> Parsed:
        headers: dict[str, str | bytes] = {
            "User-Agent": (self._account.user_agent + EXPORTER * request.exporter).encode(),
            "Accept": "application/json",
        }
        if access is not None:
            headers["Authorization"] = access.authorization
        if request.data is not None:
            headers["Content-Type"] = "application/json"
        try:
            response = self._session.request(
                request.method,
                self._base_url + request.path,
                params=request.query,
                data=request.data,
                headers=headers,
                stream=True,
                allow_redirects=False,
            )
            with response:
                body = _read(response)
        except (OSError, HTTPError, ValueError) as error:  # what requests raises is an OSError
            temporary = not isinstance(error, ValueError)  # else not even sent: a bad URL
            raise self._error(request, None, reason_of(error), temporary=temporary) from None
        if not 200 <= response.status_code < 300:
            raise self._refusal(request, response, body)
        try:
            return parse(_json_object(response, body))
        except UnexpectedAnswer as error:
            raise self._error(request, response, str(error)) from None

    def _refusal(self, request: _Request, response: requests.Response, body: bytes) -> PortError:
        """What a status other than 2xx means."""
        status = response.status_code
        return self._error(
            request,
            response,
            _message(response, body),
            temporary=status in TEMPORARY_STATUSES or status >= 500,
        )

    def _error(
        self,
        request: _Request,
        response: requests.Response | None,
        message: str,
        *,
        temporary: bool = True,
    ) -> PortError:
        place = f"{request.method} {self._base_url}{request.path}"
        if response is None:
            return PortError(self._account.hide_secrets(f"{place}: {message}"), temporary=temporary)
        text = f"{place}: {response.status_code} {response.reason or ''}".rstrip()
        return PortError(
            self._account.hide_secrets(f"{text}: {message}" if message else text),
            status=response.status_code,
            temporary=temporary,
            asked_wait=asked_wait(response.headers, self._clock.now()) if temporary else None,
        )


@dataclass(frozen=True)
class _Request:
    """What is the same however often it is sent."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    data: bytes | None = field(default=None, repr=False)
    exporter: bool = False


def segment(value: str) -> str:
    """One segment of a path, percent-encoded: "/" and "?" too."""
    return quote(value, safe="")


def flag(value: bool) -> str:
    """A boolean in a query, as Port spells it."""
    return "true" if value else "false"


def _read(response: requests.Response) -> bytes:
    """The body, up to a limit."""
    pieces: list[bytes] = []
    size = 0
    for piece in response.iter_content(64 * 1024):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_ANSWER:
            raise OSError(f"the answer is longer than {MAX_ANSWER} bytes")
    return b"".join(pieces)


def _json_object(response: requests.Response, body: bytes) -> dict[str, Any]:
    """The answer as a dict. Raises UnexpectedAnswer."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        kind = response.headers.get("Content-Type", "no content type")
        raise UnexpectedAnswer(f"expected a JSON object, got {len(body)} bytes of {kind}") from None
    if not isinstance(answer, dict):
        raise UnexpectedAnswer(f"expected a JSON object, got {kind_of(answer)}")
    return answer


def _message(response: requests.Response, body: bytes) -> str:
    """What Port says in an error, in one line: tolerant, for proxies answer errors too."""
    if 300 <= response.status_code < 400:
        place = response.headers.get("Location", "nowhere")
        return f"redirects to {place}, expected an answer: check port.baseUrl"
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict):
        said = [answer[key] for key in ("error", "message") if isinstance(answer.get(key), str)]
        text = ": ".join(said)
    elif "html" in response.headers.get("Content-Type", "") or body.lstrip()[:1] == b"<":
        text = "an HTML page"
    else:
        text = body[: 4 * MAX_CHARACTERS].decode(errors="replace")
    return one_line(text)


def reason_of(error: BaseException) -> str:
    """What a failed call failed of, dug out of the layers of requests and urllib3."""
    seen: list[BaseException] = []
    while error not in seen:
        seen.append(error)
        inner = [getattr(error, "reason", None), error.__cause__, *error.args]
        error = next((item for item in inner if isinstance(item, BaseException)), error)
    for layer in seen:
        if isinstance(layer, requests.ConnectTimeout):
            return "timed out while connecting"
        if isinstance(layer, requests.Timeout):
            return "timed out while waiting for the answer"
    innermost = seen[-1]
    if isinstance(innermost, OSError) and innermost.strerror:
        return innermost.strerror
    return one_line(str(innermost)) or type(innermost).__name__
