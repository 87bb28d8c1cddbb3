"""Port's HTTP API, call by call (docs/port-wire.md, section 2)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ocean_actors._version import __version__
from ocean_actors.actors import CancelToken, Clock, SystemClock
from ocean_actors.messages import PortRequest
from ocean_actors.port import models
from ocean_actors.port.errors import PortError, UnexpectedAnswer
from ocean_actors.port.models import Integration, KafkaCredentials, Organization
from ocean_actors.port.transport import RETRY, Account, Retry, Transport, flag, segment
from ocean_actors.retry import ONCE
from ocean_actors.session import TIMEOUT, Timeout
from ocean_actors.settings import IntegrationSettings, PortSettings

Parsed = TypeVar("Parsed")


class PortClient:
    """Calls Port on behalf of one integration.

    Every method raises PortError, see there, and tries again as its `retry` says what is
    temporary. Any thread may call it. `cancel` and `close` end a hanging call, wait or backoff
    of all of them at once, with the error of the `token` it was made with, without one
    `Cancelled`; so whoever wants to be cancelled alone takes a `clone`.
    """

    def __init__(
        self,
        settings: PortSettings,
        integration: IntegrationSettings,
        *,
        token: CancelToken | None = None,
        clock: Clock | None = None,
        timeout: Timeout = TIMEOUT,
        jitter: Callable[[], float] = random.random,
        account: Account | None = None,
    ) -> None:
        """Take who we are; nothing is sent yet.

        `token` ends calls when it is cancelled, `clock` times retries and the access token,
        `timeout` is in seconds to connect and to wait for the next byte; `jitter` gives the
        backoff's jitter in [0, 1). `account` is `clone`'s.
        """
        self._account = account or Account(settings, integration)
        self._own_clock = SystemClock() if clock is None else None
        self._clock: Clock = clock if clock is not None else self._own_clock  # type: ignore[assignment]
        self._timeout = timeout
        self._jitter = jitter
        self._token = CancelToken(token.error) if token is not None else CancelToken()
        self._unlink = _link(token, self._token) if token is not None else lambda: None
        self._transport = Transport(
            self._account, self._token, self._clock, timeout=timeout, jitter=jitter
        )
        self._path = f"/integration/{segment(integration.identifier)}"

    def clone(self, token: CancelToken | None = None) -> PortClient:
        """Another client with the same access token but its own end; close it before this one."""
        return PortClient(
            self._account.port,
            self._account.integration,
            token=token,
            clock=self._clock,
            timeout=self._timeout,
            jitter=self._jitter,
            account=self._account,
        )

    @property
    def token(self) -> CancelToken:
        """What ends its calls."""
        return self._token

    @property
    def clock(self) -> Clock:
        """What times them."""
        return self._clock

    @property
    def ownership(self) -> tuple[str, str]:
        """By which start and end of a User-Agent Port tells that an entity is ours."""
        return self._account.ownership

    # -- the integration -----------------------------------------------------------------------

    def get_integration(self, retry: Retry = RETRY) -> Integration:
        """The integration as Port has it. PortError with status 404: Port does not know it."""
        query = {"oceanCoreVersion": __version__, "isPolling": flag(False)}
        return self.call("GET", self._path, models.parse_integration, query=query, retry=retry)

    def create_integration(self, destination: Mapping[str, Any]) -> Integration:
        """Register the integration, its changes sent to `destination` (docs/port-wire.md, section 2).

        Sent once: without a readable answer it may have been created or not, and
        `get_integration` tells. If another process was faster, its integration is returned.
        """
        integration = self._account.integration
        body = {
            "installationId": integration.identifier,
            "installationAppType": integration.type,
            "version": __version__,
            "changelogDestination": dict(destination),
            "config": {},
            "actionsProcessingEnabled": False,
            "incrementalSyncEnabled": False,
            "createPortResourcesOrigin": "Default",
        }
        try:
            return self.call(
                "POST", "/integration", models.parse_integration, body=body, retry=ONCE
            )
        except PortError as error:
            if error.status != 409:
                raise
        return self.get_integration()

    def patch_integration(self, **fields: Any) -> Integration:
        """Change fields of the integration, in Port's spelling; the integration after that."""
        if not fields:
            raise ValueError("nothing to change: for Port an empty patch is a resync request")
        return self.call("PATCH", self._path, models.parse_integration, body=fields)

    def get_resync_request(self, retry: Retry = RETRY) -> PortRequest | None:
        """The newest resync request, None if there is none."""
        path = f"{self._path}/resync-request"
        return self.call("GET", path, models.parse_resync_request, retry=retry)

    def report_resync_state(self, body: Mapping[str, Any], retry: Retry = RETRY) -> None:
        """Tell how a run goes (docs/port-wire.md, section 5). May be sent twice: it says the same again."""
        self.call("PATCH", f"{self._path}/resync-state", _taken, body=body, retry=retry)

    # -- the organisation ----------------------------------------------------------------------

    def get_organization(self, retry: Retry = RETRY) -> Organization:
        """The organisation that the credentials belong to."""
        return self.call("GET", "/organization", models.parse_organization, retry=retry)

    def get_kafka_credentials(self, retry: Retry = RETRY) -> KafkaCredentials:
        """How to log in to Port's Kafka."""
        return self.call("GET", "/kafka-credentials", models.parse_kafka_credentials, retry=retry)

    # -- everything else -----------------------------------------------------------------------

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
        """Any call of Port's API; see `Transport.call`."""
        return self._transport.call(
            method, path, parse, query=query, body=body, retry=retry, exporter=exporter
        )

    def pause(self, seconds: float) -> None:
        """Wait by the clock; `cancel` and `close` end it with the token's error."""
        self._token.sleep(seconds, self._clock)

    def cancel(self, reason: str) -> None:
        """End what this client waits for, and refuse further calls. From any thread."""
        self._token.cancel(reason)

    def close(self) -> None:
        """Cancel, and close the connections. From any thread, more than once if you like."""
        self.cancel("the client of Port was closed")
        self._unlink()
        self._transport.close()
        if self._own_clock is not None:
            self._own_clock.close()

    def __enter__(self) -> PortClient:  # noqa: PYI034  (Self came with Python 3.11)
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        account = self._account
        return f"<PortClient {account.integration.identifier} at {account.port.base_url}>"


def _link(outer: CancelToken, inner: CancelToken) -> Callable[[], None]:
    """Have `inner` cancelled with `outer`; returns the way to undo it."""
    return outer.on_cancel(lambda: inner.cancel(outer.reason or ""))


def _taken(answer: dict[str, Any]) -> None:
    """See that Port says so. Raises UnexpectedAnswer."""
    if answer.get("ok") is not True and "integration" not in answer:
        raise UnexpectedAnswer("expected ok: true, or an object 'integration'")
