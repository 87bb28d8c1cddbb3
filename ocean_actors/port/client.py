"""Port's HTTP API, call by call (docs/port-wire.md, section 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from ocean_actors._version import __version__
from ocean_actors.actors import CancelToken, Clock, SystemClock
from ocean_actors.connections import TIMEOUT, Timeout
from ocean_actors.messages import PortRequest
from ocean_actors.port import models
from ocean_actors.port.errors import PortError, UnexpectedAnswer
from ocean_actors.port.identity import Identity
from ocean_actors.port.models import AccessToken, Integration, KafkaCredentials, Organization
from ocean_actors.port.permit import Permit
from ocean_actors.port.tally import Calls
from ocean_actors.port.transport import (
    MAX_ANSWER,
    RETRY,
    RequestedWaits,
    Retry,
    Transport,
    flag,
    ignore,
    segment,
)
from ocean_actors.retry import ONCE, random_jitter
from ocean_actors.settings import IntegrationSettings, PortSettings

if TYPE_CHECKING:
    from typing_extensions import Self

Parsed = TypeVar("Parsed")

SEARCHES = ("/entities/search", "/entities/datasource-entities")
"""The ends of the paths to which a POST changes nothing."""


class PortClient:
    """Calls Port on behalf of one integration.

    Every method raises PortError, and first repeats calls that fail temporarily, as its `retry`
    says. Any thread may call it. `cancel` and `close` end the hanging calls, waits and backoffs
    of all threads at once: they raise the error of the `token` that the client was made with,
    `Cancelled` without one. An actor or a run that is to be cancelled alone takes a `clone`.
    """

    def __init__(
        self,
        settings: PortSettings,
        integration: IntegrationSettings,
        *,
        token: CancelToken | None = None,
        clock: Clock | None = None,
        timeout: Timeout = TIMEOUT,
        jitter: Callable[[], float] = random_jitter,
        strict: bool = True,
        identity: Identity | None = None,
        read_only: bool = False,
        waits: RequestedWaits | None = None,
        permit: Permit | None = None,
    ) -> None:
        """Make a client; nothing is sent yet.

        `token` ends calls when it is cancelled, `clock` times retries and the access token,
        `timeout` is in seconds to connect and to wait for the next byte; `jitter` gives the
        backoff's jitter in [0, 1). `strict`: see `tls.client_context`. `clone` passes its
        `identity` on. A `read_only` client refuses calls that would change anything in Port.
        Clients that share `waits` wait together when Port asks them to. `permit` is asked right
        before anything is sent that changes something in Port.
        """
        self._identity = identity or Identity(settings, integration)
        self._own_clock: SystemClock | None = None
        if clock is None:
            clock = self._own_clock = SystemClock()
        self._clock = clock
        self._timeout = timeout
        self._jitter = jitter
        self._strict = strict
        self._read_only = read_only
        self._permit = permit
        self.waits = waits or RequestedWaits()
        """The waits that Port asks for; `clone` may share them."""
        self._token = CancelToken(token.error) if token is not None else CancelToken()
        self._unlink = _link(token, self._token) if token is not None else lambda: None
        self._transport = Transport(
            self._identity,
            self._token,
            self._clock,
            timeout=timeout,
            strict=strict,
            jitter=jitter,
            waits=self.waits,
            permit=permit,
        )
        self._path = f"/integration/{segment(integration.identifier)}"

    def clone(
        self,
        token: CancelToken | None = None,
        timeout: Timeout | None = None,
        waits: RequestedWaits | None = None,
        permit: Permit | None = None,
    ) -> PortClient:
        """Returns a client with the same access token that is cancelled and closed by itself.

        `timeout` and `permit` replace this client's. Close it before this one.
        """
        return PortClient(
            self._identity.port,
            self._identity.integration,
            token=token,
            clock=self._clock,
            timeout=timeout or self._timeout,
            jitter=self._jitter,
            strict=self._strict,
            identity=self._identity,
            read_only=self._read_only,
            waits=waits,
            permit=permit or self._permit,
        )

    @property
    def token(self) -> CancelToken:
        """The token that ends its calls."""
        return self._token

    @property
    def clock(self) -> Clock:
        """The clock that times them."""
        return self._clock

    @property
    def base_url(self) -> str:
        """The address of Port's API."""
        return self._identity.port.base_url

    @property
    def ownership(self) -> tuple[str, str]:
        """The start and the end of the User-Agents by which Port tells that an entity is ours."""
        return self._identity.ownership

    @property
    def clock_skew(self) -> timedelta | None:
        """Port's clock minus ours, by the newest answer; None before there was one."""
        return self._identity.clock_skew

    @property
    def calls(self) -> Calls:
        """The calls so far of this client and of those that have the same access token."""
        return self._identity.tally.calls

    def connect(self) -> None:
        """Open a connection and fetch the access token, so that the next call need not.

        It is not repeated.
        """
        self._transport.connect()

    # -- the integration -----------------------------------------------------------------------

    def get_integration(self, retry: Retry = RETRY) -> Integration:
        """Returns the integration. Raises PortError with status 404 if Port does not know it.

        A read-only client returns an empty one then, as nobody will create it.
        """
        query = {"oceanCoreVersion": __version__, "isPolling": flag(False)}
        try:
            return self.call("GET", self._path, models.parse_integration, query=query, retry=retry)
        except PortError as error:
            if error.status != 404 or not self._read_only:
                raise
        return Integration()

    def create_integration(self, destination: Mapping[str, Any]) -> Integration:
        """Register the integration, with Port sending its changes to `destination`.

        The call is not repeated. If its answer cannot be read, the integration may have been
        created or not, and `get_integration` tells. If another process was faster, its
        integration is returned.
        """
        integration = self._identity.integration
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

    def patch_integration(self, retry: Retry = RETRY, **fields: Any) -> Integration:
        """Change fields of the integration, named as Port spells them; returns the result.

        Raises ValueError without any field.
        """
        if not fields:
            raise ValueError("nothing to change: for Port an empty patch is a resync request")
        return self.call("PATCH", self._path, models.parse_integration, body=fields, retry=retry)

    def get_resync_request(self, retry: Retry = RETRY) -> PortRequest | None:
        """Returns the newest resync request, or None if there is none."""
        path = f"{self._path}/resync-request"
        try:
            return self.call("GET", path, models.parse_resync_request, retry=retry)
        except PortError as error:
            if error.status != 404 or not self._read_only:
                raise
        return None

    def report_resync_state(self, body: Mapping[str, Any], retry: Retry = RETRY) -> None:
        """Report the state of a run (docs/port-wire.md, section 5); repeating it does no harm."""
        path = f"{self._path}/resync-state"
        self.call("PATCH", path, _check_accepted, body=body, retry=retry, empty={"ok": True})

    # -- the organisation ----------------------------------------------------------------------

    def get_organization(self, retry: Retry = RETRY) -> Organization:
        """Returns the organisation that the credentials belong to."""
        return self.call("GET", "/organization", models.parse_organization, retry=retry)

    def get_kafka_credentials(self, retry: Retry = RETRY) -> KafkaCredentials:
        """Returns the credentials for Port's Kafka."""
        return self.call("GET", "/kafka-credentials", models.parse_kafka_credentials, retry=retry)

    # -- blueprints ----------------------------------------------------------------------------

    def get_blueprint(self, identifier: str, retry: Retry = RETRY) -> dict[str, Any]:
        """Returns a blueprint. Raises PortError with status 404 if Port does not know it."""
        path = f"/blueprints/{segment(identifier)}"
        return self.call("GET", path, models.parse_blueprint, retry=retry)

    def create_blueprint(self, fields: Mapping[str, Any]) -> None:
        """Create a blueprint. The call is not repeated, so a 409 says that others created it."""
        self.call(
            "POST",
            "/blueprints",
            models.parse_blueprint,
            body=fields,
            retry=ONCE,
            exporter=True,
            once=True,
        )

    def patch_blueprint(self, identifier: str, fields: Mapping[str, Any]) -> None:
        """Change fields of a blueprint. The call is not repeated."""
        path = f"/blueprints/{segment(identifier)}"
        self.call("PATCH", path, ignore, body=fields, retry=ONCE, exporter=True)

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
        max_bytes: int = MAX_ANSWER,
        empty: Mapping[str, Any] | None = None,
        once: bool = False,
    ) -> Parsed:
        """Make any call of Port's API; see `Transport.call`."""
        self._refuse_writing(method, path)
        return self._transport.call(
            method,
            path,
            parse,
            query=query,
            body=body,
            retry=retry,
            exporter=exporter,
            max_bytes=max_bytes,
            empty=empty,
            once=once,
            writes=_writes(method, path),
        )

    def delegate(
        self, method: str, send: Callable[[AccessToken, float], tuple[str, Parsed]], retry: Retry
    ) -> Parsed:
        """Make a call that another process sends; see `Transport.delegate`."""
        self._refuse_writing(method, "")
        return self._transport.delegate(method, send, retry)

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
        """Make a call once, with an access token of another process; see `Transport.attempt`."""
        self._refuse_writing(method, path)
        return self._transport.attempt(
            method, path, parse, access, query=query, body=body, permit=permit
        )

    def deliver(self, method: str, address: str, body: Mapping[str, Any] | bytes) -> None:
        """Send `body` to an address that Port named; see `Transport.deliver`."""
        self._refuse_writing(method, "")
        self._transport.deliver(method, address, body)

    def _refuse_writing(self, method: str, path: str) -> None:
        """Raises PortError if this client only reads and the call writes."""
        if self._read_only and _writes(method, path):
            raise PortError(f"{method} {path}: not sent, as nothing is written in a dry run")

    def mask(self, text: str) -> str:
        """Returns `text` without our credentials, however they are encoded."""
        return self._identity.mask(text)

    def pause(self, seconds: float) -> None:
        """Wait by the clock. Raises the token's error at once when cancelled or closed."""
        self._token.sleep(seconds, self._clock)

    def cancel(self, reason: str) -> None:
        """End all calls and waits of this client, and refuse further calls. From any thread."""
        self._token.cancel(reason)

    def close(self) -> None:
        """Cancel, and close the connections. May be called from any thread, and repeatedly."""
        self.cancel("the client of Port was closed")
        self._unlink()
        self._transport.close()
        if self._own_clock is not None:
            self._own_clock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        identity = self._identity
        return f"<PortClient {identity.integration.identifier} at {identity.port.base_url}>"


def _writes(method: str, path: str) -> bool:
    """Returns whether a call changes something in Port."""
    return method != "GET" and not (method == "POST" and path.endswith(SEARCHES))


def _link(outer: CancelToken, inner: CancelToken) -> Callable[[], None]:
    """Have `inner` cancelled with `outer`; returns a function that undoes this."""
    return outer.on_cancel(lambda: inner.cancel(outer.reason or ""))


def _check_accepted(answer: dict[str, Any]) -> None:
    """Raises UnexpectedAnswer unless Port says that it accepted a report."""
    if answer.get("ok") is not True and "integration" not in answer:
        raise UnexpectedAnswer("expected ok: true, or an object 'integration'")
