"""HTTP calls that end as soon as a token is cancelled, wherever they wait."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import HTTPBasicAuth
from requests.utils import get_auth_from_url

from ocean_actors.actors import CancelToken, Clock
from ocean_actors.adapter import CancellableAdapter, has_plain_body
from ocean_actors.connections import TIMEOUT, HttpCall, LiveSockets, Timeout
from ocean_actors.log import get_logger
from ocean_actors.pauses import SharedPauses
from ocean_actors.rate_limit import RateLimiter, WaitTally
from ocean_actors.retry import Attempts, Retry, asked_wait, random_jitter

logger = get_logger(__name__)

DEADLINE = 600.0
"""Seconds for one attempt, its redirects included, until the answer is complete."""

RETRIED_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
"""Requests that do no more when they are sent twice (RFC 9110, 9.2.2)."""

RETRIED_STATUSES = frozenset({429, 502, 503, 504})

TRANSIENT = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)
LASTING = (requests.exceptions.SSLError,)

RETRY = Retry(patience=900.0)


class CancellableSession(requests.Session):
    """A `requests.Session` whose calls raise the token's error once the token is cancelled.

    They do so at once and from any thread: before sending, while connecting, while waiting for
    the first byte, between the bytes of a body (`content`, `iter_content`, `iter_lines`; not
    the bare `raw`), in the wait before a retry. Only the look-up of a host's name cannot be cut
    short.

    Calls of `RETRIED_METHODS` are retried after connection errors, time-outs and
    `RETRIED_STATUSES`, as `retry` says; then the last answer is returned, or the last error
    raised, as by `requests`. When a server says when to come back, all calls of the session to
    that server wait for it, and those of sessions that share its pauses. Every call has the
    time-out, unless it brings its own, and `deadline` seconds for each attempt; with
    `stream=True` the body may take longer.

    Differences from `requests`: certificates are checked as `ocean_actors.tls` says, a `.netrc`
    is not read, cookies are not kept, and loopback addresses are reached without a proxy.

    Several threads may share it as long as none of them changes it.
    """

    def __init__(
        self,
        token: CancelToken,
        *,
        clock: Clock,
        timeout: Timeout = TIMEOUT,
        deadline: float | None = DEADLINE,
        retry: Retry = RETRY,
        strict: bool = True,
        jitter: Callable[[], float] = random_jitter,
        limiter: RateLimiter | None = None,
        pauses: SharedPauses | None = None,
        waits: WaitTally | None = None,
    ) -> None:
        """Watch `token` until `close`.

        `strict`: see `tls.client_context`. `jitter` gives the jitter, in [0, 1). Sessions may
        share a `limiter` and the `pauses` that servers ask for. `waits` counts how long calls wait
        for either.
        """
        super().__init__()
        self.token = token
        self.timeout = timeout
        self.deadline = deadline
        self.retry = retry
        self.auth = _auth_of_url  # else requests lets a .netrc replace an Authorization header
        self._clock = clock
        self._jitter = jitter
        self._limiter = limiter or RateLimiter(clock)
        self._pauses = pauses or SharedPauses()
        self._waits = waits or WaitTally()
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._sockets = LiveSockets()
        self._forget = token.on_cancel(self._sockets.shut_down)
        adapter = CancellableAdapter(token, self._sockets, RETRIED_METHODS, strict=strict)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def limit(self, *, per_second: float | None = None, concurrency: int | None = None) -> None:
        """Limit how many calls begin in a second, and how many are under way at a time.

        The limit is for all handlers of a run together, whichever server they call, from now
        until the run ends; of several limits, the strictest counts. Each attempt is a call,
        retries included; the redirects that it follows are a part of it. Calls begin evenly
        spaced and in the order in which they came, and a call that waits raises the token's
        error as soon as that is cancelled. With `stream=True` a call is under way until the head
        of the answer has come.

        Raises ValueError if neither is given, or unless `per_second` is a number above 0 and
        `concurrency` a whole number above 0.
        """
        self._limiter.limit(per_second=per_second, concurrency=concurrency)

    def send(
        self,
        request: requests.PreparedRequest,
        *,
        max_bytes: int | None = None,
        redirected: bool = False,
        **kwargs: Any,
    ) -> requests.Response:
        """Send a request; see `requests.Session.send`, and the class for the differences.

        Raises AnswerTooLong if the body has more than `max_bytes` bytes after decompression.
        """
        if redirected:  # a part of an attempt
            return super().send(request, **kwargs)
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self.timeout
        server = urlsplit(request.url or "").netloc
        attempts = Attempts(self.retry, self._clock.monotonic())
        queued = 0.0
        while True:
            self._wait_for(server)
            with self._limiter.turn(self.token, self._waits) as waited:
                queued += waited
                if self._pause_of(server) > 0:  # asked for in the meantime
                    continue
                outcome = self._attempt(request, HttpCall(max_bytes), kwargs)
                delay = asked = None
                if _is_worth_retrying(request, outcome):
                    now, asked = self._clock.monotonic(), self._asked(outcome)
                    delay = attempts.delay(now - queued, asked, self._jitter())
                    if asked is not None and delay is not None:  # before the next call's turn
                        self._pauses.begin(server, now + asked, delay - asked)
            if delay is None:
                if isinstance(outcome, Exception):
                    raise outcome
                return outcome
            if isinstance(outcome, requests.Response):
                outcome.close()
            self._sleep(delay, counted=asked is not None)

    def resolve_redirects(self, resp: Any, req: Any, *args: Any, **kwargs: Any) -> Any:
        """Follow redirects, as parts of one attempt: only all of it is retried."""
        redirects = super().resolve_redirects(resp, req, *args, redirected=True, **kwargs)
        try:
            yield from redirects
        except ValueError:  # a malformed Location
            if not kwargs.get("yield_requests"):  # else it is not to be followed
                raise

    def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
        """Send no Authorization to the server of another party, nor one from a .netrc."""
        headers = prepared_request.headers
        strip = self.should_strip_auth(  # type: ignore[no-untyped-call]  # untyped stub
            response.request.url, prepared_request.url
        )
        if strip:
            headers.pop("Authorization", None)

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """Take only proxies from the environment; `tls` reads the authorities that it names."""
        settings = super().merge_environment_settings(url, proxies, stream, verify, cert)
        return {**settings, "verify": self.verify if verify is None else verify}

    def close(self) -> None:
        """Close the connections and forget the token. What an adapter raises is logged."""
        self._forget()
        for prefix, adapter in self.adapters.items():
            try:
                adapter.close()
            except BaseException:  # somebody else's adapter
                logger.warning("the adapter for %s could not be closed", prefix, exc_info=True)

    def _wait_for(self, server: str) -> None:
        """Wait as a server has asked another call of this session to."""
        pause = self._pause_of(server)
        if pause > 0:
            self._sleep(pause, counted=True)

    def _pause_of(self, server: str) -> float:
        """Returns the seconds that a server has asked the calls of this session to wait."""
        if self.retry.attempts <= 1:
            return 0.0  # the caller waits, if it wants to
        return self._pauses.remaining(server, self._clock.monotonic(), self._jitter)

    def _sleep(self, seconds: float, *, counted: bool) -> None:
        """Wait; `counted` says whether a server asked for it."""
        with self._waits.wait(self._clock) if counted else contextlib.nullcontext():
            self.token.sleep(seconds, self._clock)

    def _attempt(
        self, request: requests.PreparedRequest, call: HttpCall, kwargs: dict[str, Any]
    ) -> requests.Response | Exception:
        """Send once. Returns the answer or the error; raises the token's error if cancelled."""
        self.token.check()
        outcome: requests.Response | Exception
        with self._sockets.attempt(call, self._clock, self.deadline):
            try:
                outcome = super().send(request, **kwargs)
            except Exception as error:  # noqa: BLE001  (raised by the caller, if not retried)
                outcome = error
        if not (self.token.cancelled or call.overdue):
            return outcome
        # An error may be our cut, and so may what looks like a body's end.
        if isinstance(outcome, requests.Response):
            outcome.close()
        self.token.check()
        message = f"no complete answer within {self.deadline:g} s"
        return requests.ReadTimeout(message, request=request)

    def _asked(self, outcome: requests.Response | Exception) -> float | None:
        if isinstance(outcome, Exception):
            return None
        return asked_wait(outcome.headers, self._clock.now())


def _auth_of_url(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Send the user and password that a URL may hold, as requests does without an `auth`."""
    user, password = get_auth_from_url(request.url or "")
    return HTTPBasicAuth(user, password)(request) if user or password else request


def _is_worth_retrying(
    request: requests.PreparedRequest, outcome: requests.Response | Exception
) -> bool:
    if request.method not in RETRIED_METHODS or not has_plain_body(request):
        return False  # it might do its work twice, or its body has been read
    if isinstance(outcome, requests.Response):
        return outcome.status_code in RETRIED_STATUSES
    return isinstance(outcome, TRANSIENT) and not isinstance(outcome, LASTING)
