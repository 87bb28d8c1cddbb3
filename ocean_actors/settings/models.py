"""The sections of the settings: what each means, its unit, its default and its bounds.

Durations are in seconds unless the description says otherwise. Every model is frozen. Names are
upstream's (docs/port-wire.md, section 10), except for `resync`, `http`, `control`, `startTimeout`
and some keys of the event listeners, which are ours.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ocean_actors import plugins
from ocean_actors.frozen import FrozenDict, freeze
from ocean_actors.settings.errors import UnusableError

YEAR = 366 * 86_400  # seconds; a longer wait is a mistake, and platform timers have a limit
MAX_ITEMS = 1_000  # of a list
LOOPBACK = "127.0.0.1"
_TOKEN = re.compile(r"[!-~]+")


# --- types of values ------------------------------------------------------------------------------


def not_bool(value: Any) -> Any:
    """Refuse true and false, which Python accepts as numbers."""
    if isinstance(value, bool):
        raise UnusableError("expected a number")
    return value


def items(value: Any) -> Any:
    """Read a list that is written as `a,b` or as a JSON array, as in an environment variable."""
    if not isinstance(value, str):
        return value
    if value.strip().startswith("[") and value.strip().endswith("]"):  # not [::1]:9092
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise UnusableError("expected a JSON array, or items separated by commas") from None
    return [item for item in (part.strip() for part in value.split(",")) if item]


def _bounded(value: Any) -> Any:
    found = items(value)
    if isinstance(found, list | tuple) and len(found) > MAX_ITEMS:
        raise UnusableError(f"expected at most {MAX_ITEMS} items")
    return found


def _broker(address: str) -> str:
    address = address.strip()
    host, _, port = address.rpartition(":")
    if not host or any(c.isspace() or c in "/@" for c in host):
        raise UnusableError("expected host:port")
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65_536):
        raise UnusableError("expected host:port, the port between 1 and 65535")
    return address


def _url(value: str) -> str:
    url = value.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(c.isspace() for c in url) or parts.query or parts.fragment or "\\" in url:
        raise UnusableError("expected an http:// or https:// address")
    if parts.username is not None or parts.password is not None:
        raise UnusableError("expected an address without a user name or password")
    return url


def _place(value: str) -> str:
    where, colon, name = value.rpartition(":")
    if not (colon and where and name):
        raise UnusableError("expected module:Class or file.py:Class")
    return value


NOT_A_NETWORK = "expected an address or a network such as 10.0.0.0/8"


def _network(value: Any) -> Any:
    if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return value
    try:
        return ipaddress.ip_network(value.strip())
    except (ValueError, AttributeError):
        raise UnusableError(NOT_A_NETWORK) from None


def _strip(value: Any) -> Any:
    """Remove the line break that files and secret stores often add."""
    return value.strip() if isinstance(value, str) else value


def _upper(value: Any) -> Any:
    return value.strip().upper() if isinstance(value, str) else value


def _executor(value: Any) -> Any:
    name = value.strip().lower() if isinstance(value, str) else value
    if not isinstance(name, str) or not plugins.is_known(plugins.EXECUTORS, name):
        known = ", ".join(plugins.known(plugins.EXECUTORS))
        raise UnusableError(f"expected one of {known}")
    return name


Seconds = Annotated[float, BeforeValidator(not_bool), Field(gt=0, le=YEAR, allow_inf_nan=False)]
SecondsOrZero = Annotated[
    float, BeforeValidator(not_bool), Field(ge=0, le=YEAR, allow_inf_nan=False)
]
Count = Annotated[int, BeforeValidator(not_bool)]
Text = Annotated[str, BeforeValidator(_strip), Field(min_length=1)]
Url = Annotated[str, AfterValidator(_url)]
Broker = Annotated[str, AfterValidator(_broker)]
Secret = Annotated[SecretStr, BeforeValidator(_strip), Field(min_length=1)]
Places = Annotated[tuple[Annotated[Text, AfterValidator(_place)], ...], BeforeValidator(_bounded)]
"""Classes of the user's, each as `module:Class` or `file.py:Class`."""
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks = Annotated[
    tuple[Annotated[Network, BeforeValidator(_network)], ...], BeforeValidator(_bounded)
]


class Section(BaseModel):
    """A section of the settings. Names here are snake_case; a file may also use camelCase."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


# --- sections -------------------------------------------------------------------------------------


class PortSettings(Section):
    """Port's API and the credentials for it."""

    client_id: Text = Field(repr=False, description="Client id of the organization's credentials.")
    client_secret: Secret = Field(repr=False, description="Client secret that belongs to it.")
    base_url: Url = Field(
        default="https://api.getport.io",
        description="Address of Port's API, without `/v1`; `https://api.us.getport.io` in the US.",
    )
    ship_logs: bool = Field(
        default=True,
        description="Whether the log is sent to Port, which shows it on the integration's page.",
    )
    concurrency: Annotated[Count, Field(ge=1, le=64)] = Field(
        default=8,
        description="Batches of entities that all handlers of a run together keep on their way to "
        "Port, at most. 1: one after the other.",
    )


class IntegrationSettings(Section):
    """The integration as Port knows it."""

    type: Text = Field(default="custom", description="What is integrated; changed to lower case.")
    identifier: str = Field(
        default="", description="The integration's name in Port. Default: `my-<type>-integration`."
    )
    config: dict[str, Any] = Field(
        default_factory=FrozenDict,
        repr=False,
        description="The integration's own settings, read by its handlers; keys stay as written.",
    )

    @model_validator(mode="before")
    @classmethod
    def _name(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        values = dict(values)
        app_type = values.get("type") or "custom"
        if isinstance(app_type, str):
            values["type"] = app_type = app_type.strip().lower()
        if not values.get("identifier"):
            values["identifier"] = f"my-{app_type}-integration"
        return values

    @field_validator("identifier")
    @classmethod
    def _not_blank(cls, identifier: str) -> str:
        if not identifier.strip():
            raise UnusableError("expected a name, not only blanks")
        if not identifier.isprintable():  # it is sent in headers and in addresses
            raise UnusableError("expected a name of printable characters")
        return identifier

    @field_validator("config")
    @classmethod
    def _freeze(cls, config: dict[str, Any]) -> dict[str, Any]:
        frozen: dict[str, Any] = freeze(config)
        return frozen


class ListenerSettings(Section):
    """The section `eventListener`, of which each type of listener has a model of its own.

    A package's listener subclasses it; its keys may be spelled in camelCase in the file.
    """

    type: str = Field(description="How the integration hears Port's events.")


class PollingSettings(ListenerSettings):
    """We poll Port."""

    type: Literal["POLLING"] = Field(default="POLLING", description="Port is polled.")
    resync_on_start: bool = Field(default=True, description="Whether a resync runs at the start.")
    interval: Seconds = Field(default=60.0, description="Seconds between two polls.")


class OnceSettings(ListenerSettings):
    """One resync, then the process ends."""

    type: Literal["ONCE"] = Field(default="ONCE", description="One resync, then the process ends.")


class KafkaSettings(ListenerSettings):
    """We consume the organization's topic."""

    type: Literal["KAFKA"] = Field(
        default="KAFKA", description="The organization's topic is consumed."
    )
    brokers: Annotated[tuple[Broker, ...], BeforeValidator(_bounded)] | None = Field(
        default=None,
        min_length=1,
        description="Bootstrap addresses. Default: those that Port gives with the credentials, "
        "else upstream's.",
    )
    consumer_poll_timeout: Seconds = Field(
        default=1.0, description="Longest wait of one poll of the broker, in seconds."
    )
    security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], BeforeValidator(_upper)
    ] = Field(default="SASL_SSL", description="Protocol of the connections to brokers.")
    authentication_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], BeforeValidator(_upper)
    ] = Field(default="SCRAM-SHA-512", description="SASL mechanism of the consumer.")
    kafka_security_enabled: bool = Field(
        default=True,
        description="False: plain connections without credentials, only for brokers of your own: "
        "`brokers` must be set.",
    )

    session_timeout: Seconds = Field(
        default=10.0,
        description="Seconds after which another instance takes over from one that died.",
    )

    @field_validator("kafka_security_enabled")
    @classmethod
    def _open_brokers_are_named(cls, enabled: bool, info: ValidationInfo) -> bool:
        if not enabled and info.data.get("brokers", ()) is None:
            raise UnusableError(
                "expected true, or brokers to be set as well (Port's take no plain connections)"
            )
        return enabled


class WebhookSettings(ListenerSettings):
    """Port calls our web server."""

    type: Literal["WEBHOOK"] = Field(
        default="WEBHOOK", description="Port calls `POST <appHost>/resync`."
    )
    app_host: Url = Field(description="Public address at which Port reaches this integration.")
    verify_signature: Literal["auto", "required"] = Field(
        default="auto",
        description="`auto`: after an unsigned call Port is asked what is new; `required`: an "
        "unsigned call is refused.",
    )
    signature_tolerance: Seconds = Field(
        default=300.0, description="Seconds that a signature's time may differ from our clock."
    )
    secrets: Annotated[tuple[Secret, ...], BeforeValidator(_bounded)] = Field(
        default=(),
        repr=False,
        description="Secrets that signatures are checked with. Default: the client secret.",
    )
    check_interval: Seconds = Field(
        default=300.0, description="Seconds between two checks at Port for lost calls."
    )
    allowed_ips: Networks = Field(
        default=(), description="Addresses or networks that may call. Default: any."
    )
    trusted_proxies: Networks = Field(
        default=(), description="Proxies whose X-Forwarded-For is trusted. Default: none."
    )


class OnNewRequest(Enum):
    """What a new request does to the run in flight."""

    ABORT = "abort"
    DROP = "drop"
    QUEUE = "queue"
    IGNORE = "ignore"


class RetrySettings(Section):
    """Whether and when a failed run is retried."""

    attempts: Annotated[Count, Field(ge=0, le=1000)] = Field(
        default=0, description="How often a failed run is retried; 0: never."
    )
    backoff: Seconds = Field(
        default=10.0,
        description="Seconds before the first retry; the wait doubles with each further one.",
    )


class ResyncSettings(Section):
    """How requests and runs affect each other, and time limits of runs."""

    on_new_request: OnNewRequest = Field(
        default=OnNewRequest.ABORT,
        description="What a request does to a run in flight: `abort`: abort it, and run again once "
        "it has ended; `drop`: fence it off, and run again at once; `queue`: run again after it; "
        "`ignore`: nothing.",
    )
    on_scheduled_resync: OnNewRequest = Field(
        default=OnNewRequest.QUEUE,
        description="The same for the requests of `scheduledResyncInterval`.",
    )
    abort_grace: SecondsOrZero = Field(
        default=20.0,
        description="Seconds that an aborted run has to end before it is fenced off.",
    )
    max_consecutive_aborts: Annotated[Count, Field(ge=1, le=1_000_000)] = Field(
        default=3,
        description="After this many aborted runs in a row the next one may finish. Runs that had "
        "to be fenced off do not count.",
    )
    timeout: Seconds | None = Field(
        default=None,
        description="Seconds after which a run is aborted and reported as failed. Default: none.",
    )
    debounce: SecondsOrZero = Field(
        default=0.0, description="Seconds to collect requests before a run starts."
    )
    dry_run: bool = Field(
        default=False,
        description="Run the handlers without writing anything to Port, and log what they would "
        "have changed.",
    )
    retry: RetrySettings = RetrySettings()
    executor: Annotated[str, BeforeValidator(_executor)] = Field(
        default="threads",
        description="What runs the shards of a `ShardedHandler`: `threads` or `processes` of this "
        "machine, `ray` (a Ray cluster), or what an installed package adds.",
    )
    workers: Annotated[Count, Field(ge=1, le=10_000)] = Field(
        default=4, description="How many shards are worked on at the same time."
    )
    shard_retries: Annotated[Count, Field(ge=0, le=1000)] = Field(
        default=1,
        description="How often a shard is tried again after its worker was lost: killed, out of "
        "memory, or its machine is gone.",
    )
    shard_writes: bool = Field(
        default=False,
        description="Whether workers in other processes send their entities to Port themselves, "
        "for runs of more entities than one process can send.",
    )
    worker_runs: Annotated[Count, Field(ge=1, le=1_000_000)] = Field(
        default=100,
        description="In how many runs a worker process works before another one replaces it.",
    )


class X509Settings(Section):
    """How certificates are checked."""

    strict: bool = Field(
        default=True,
        description="False: accept certificates that Python 3.13 refuses because they do not "
        "follow RFC 5280 to the letter, such as those of proxies that inspect TLS.",
    )


class PeerSettings(Section):
    """How the certificates of one kind of servers are checked."""

    x509: X509Settings = X509Settings()


class SslSettings(Section):
    """TLS, separately for Port (its API and its Kafka) and for what handlers call."""

    port: PeerSettings = PeerSettings()
    third_party: PeerSettings = PeerSettings()


class HttpSettings(Section):
    """The web server: webhook, health, metrics."""

    host: Text = Field(default="0.0.0.0", description="Address that the web server binds.")  # noqa: S104  (for containers)
    port: Annotated[Count, Field(ge=0, le=65_535)] = Field(
        default=8000,
        description="Port that it binds; 0: any free port. `APPLICATION__PORT` sets it too.",
    )
    threads: Annotated[Count, Field(ge=1, le=1024)] = Field(
        default=8, description="Threads that answer requests."
    )
    max_body_bytes: Annotated[Count, Field(ge=1, le=1 << 30)] = Field(
        default=1 << 20, description="Largest request body that is read, in bytes."
    )
    metrics: bool | None = Field(
        default=None,
        description="Whether `GET /metrics` is served. Default: yes, except under WEBHOOK, whose "
        "port faces the internet.",
    )


class ControlSettings(Section):
    """The control server: dashboard, status and steering, for the people who run this."""

    enabled: bool = Field(default=True, description="Whether `ocean-actors run` serves it.")
    host: Text = Field(
        default=LOOPBACK,
        description="Address that it binds; one that is not the loopback requires `token`.",
    )
    port: Annotated[Count, Field(ge=0, le=65_535)] = Field(
        default=8001,
        description="Port that it binds; 0: any free port. If it is not set and 8001 is taken: "
        "any free port.",
    )
    token: Secret | None = Field(
        default=None,
        repr=False,
        validate_default=True,
        description="What callers send as `Authorization: Bearer …`. Default: none is required.",
    )

    @field_validator("token")
    @classmethod
    def _required(cls, token: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        host = info.data.get("host", LOOPBACK)
        if token is None and info.data.get("enabled", True) and not is_loopback(host):
            raise UnusableError(
                f"missing; a control server on {host} requires one (OCEAN__CONTROL__TOKEN)"
            )
        if token is not None and not _TOKEN.fullmatch(token.get_secret_value()):
            raise UnusableError("expected printable ASCII characters without blanks")
        return token


def is_loopback(host: str) -> bool:
    """Returns whether only this machine reaches a server that binds `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
