"""The sections of the settings: what each means, its unit, its default and its bounds.

Durations are in seconds unless the description says otherwise. Every model is frozen. Names are
upstream's (docs/port-wire.md, section 10), save for `resync`, `http` and some keys of the event listeners,
which are ours.
"""

from __future__ import annotations

import ipaddress
import json
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

from ocean_actors.frozen import FrozenDict, freeze
from ocean_actors.settings.errors import UnusableError

YEAR = 366 * 86_400  # seconds; longer waits are mistakes, and the platform's timers have an end


# --- kinds of values ------------------------------------------------------------------------------


def not_bool(value: Any) -> Any:
    """Refuse true and false, which Python takes for numbers."""
    if isinstance(value, bool):
        raise UnusableError("expected a number")
    return value


def _items(value: Any) -> Any:
    """A list written as `a,b` or as a JSON array in a string, which is all an environment has."""
    if not isinstance(value, str):
        return value
    if value.strip().startswith("[") and value.strip().endswith("]"):  # not [::1]:9092
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise UnusableError("expected a JSON array, or items separated by commas") from None
    return [item for item in (part.strip() for part in value.split(",")) if item]


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


NOT_A_NETWORK = "expected an address or a network such as 10.0.0.0/8"


def _network(value: Any) -> Any:
    if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return value
    try:
        return ipaddress.ip_network(value.strip())
    except (ValueError, AttributeError):
        raise UnusableError(NOT_A_NETWORK) from None


def _strip(value: Any) -> Any:
    """Without the line's end that files and secret stores like to add."""
    return value.strip() if isinstance(value, str) else value


def _upper(value: Any) -> Any:
    return value.strip().upper() if isinstance(value, str) else value


Seconds = Annotated[float, BeforeValidator(not_bool), Field(gt=0, le=YEAR, allow_inf_nan=False)]
SecondsOrZero = Annotated[
    float, BeforeValidator(not_bool), Field(ge=0, le=YEAR, allow_inf_nan=False)
]
Count = Annotated[int, BeforeValidator(not_bool)]
Text = Annotated[str, BeforeValidator(_strip), Field(min_length=1)]
Url = Annotated[str, AfterValidator(_url)]
Broker = Annotated[str, AfterValidator(_broker)]
Secret = Annotated[SecretStr, BeforeValidator(_strip), Field(min_length=1)]
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks = Annotated[
    tuple[Annotated[Network, BeforeValidator(_network)], ...], BeforeValidator(_items)
]


class Section(BaseModel):
    """A section of the settings; its names are snake_case, in the file either case will do."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


# --- sections -------------------------------------------------------------------------------------


class PortSettings(Section):
    """Port's API and who we are to it."""

    client_id: Text = Field(repr=False, description="Client id of the organization's credentials.")
    client_secret: Secret = Field(repr=False, description="Client secret that belongs to it.")
    base_url: Url = Field(
        default="https://api.getport.io",
        description="Address of Port's API, without `/v1`; `https://api.us.getport.io` in the US.",
    )


class IntegrationSettings(Section):
    """The integration as Port knows it."""

    type: Text = Field(default="custom", description="What is integrated; kept in lower case.")
    identifier: str = Field(
        default="", description="The integration's name in Port. Default: `my-<type>-integration`."
    )
    config: dict[str, Any] = Field(
        default_factory=FrozenDict,
        repr=False,
        description="The integration's own settings, as its handlers read them; keys are kept.",
    )

    @model_validator(mode="before")
    @classmethod
    def _name(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        values = dict(values)
        kind = values.get("type") or "custom"
        if isinstance(kind, str):
            values["type"] = kind = kind.strip().lower()
        if not values.get("identifier"):
            values["identifier"] = f"my-{kind}-integration"
        return values

    @field_validator("identifier")
    @classmethod
    def _not_blank(cls, identifier: str) -> str:
        if not identifier.strip():
            raise UnusableError("expected a name, not blanks only")
        return identifier

    @field_validator("config")
    @classmethod
    def _freeze(cls, config: dict[str, Any]) -> dict[str, Any]:
        return freeze(config)  # type: ignore[no-any-return]


class PollingSettings(Section):
    """Port is asked at an interval."""

    type: Literal["POLLING"] = Field(default="POLLING", description="Port is asked at an interval.")
    resync_on_start: bool = Field(default=True, description="Whether a resync runs at start.")
    interval: Seconds = Field(default=60.0, description="Seconds between two polls.")


class OnceSettings(Section):
    """One resync, then the end."""

    type: Literal["ONCE"] = Field(default="ONCE", description="One resync, then the process ends.")


class KafkaSettings(Section):
    """The organization's topic is consumed."""

    type: Literal["KAFKA"] = Field(
        default="KAFKA", description="The organization's topic is consumed."
    )
    brokers: Annotated[tuple[Broker, ...], BeforeValidator(_items)] | None = Field(
        default=None,
        min_length=1,
        description="Addresses to start from. Default: those that Port gives with the "
        "credentials, else upstream's.",
    )
    consumer_poll_timeout: Seconds = Field(
        default=1.0, description="Seconds that one poll of the broker waits at most."
    )
    security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], BeforeValidator(_upper)
    ] = Field(default="SASL_SSL", description="How brokers are connected to.")
    authentication_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], BeforeValidator(_upper)
    ] = Field(default="SCRAM-SHA-512", description="How the consumer proves who it is.")
    kafka_security_enabled: bool = Field(
        default=True,
        description="False: plain connections without credentials, for a broker of your own.",
    )
    session_timeout: Seconds = Field(
        default=10.0,
        description="Seconds after which another instance takes over from one that died.",
    )

    @field_validator("kafka_security_enabled")
    @classmethod
    def _open_brokers_are_named(cls, enabled: bool, info: ValidationInfo) -> bool:
        if not enabled and info.data.get("brokers") is None:
            raise UnusableError(
                "expected true, or brokers to be set as well (Port's take no plain connections)"
            )
        return enabled


class WebhookSettings(Section):
    """Port calls us."""

    type: Literal["WEBHOOK"] = Field(
        default="WEBHOOK", description="Port calls `POST <appHost>/resync`."
    )
    app_host: Url = Field(description="Public address under which Port reaches this integration.")
    verify_signature: Literal["auto", "required"] = Field(
        default="auto",
        description="`auto`: an unsigned call only makes us ask Port; `required`: it is refused.",
    )
    signature_tolerance: Seconds = Field(
        default=300.0, description="Seconds that a signature's time may differ from ours."
    )
    secrets: Annotated[tuple[Secret, ...], BeforeValidator(_items)] = Field(
        default=(),
        repr=False,
        description="Secrets that signatures are checked with. Default: the client secret.",
    )
    check_interval: Seconds = Field(
        default=300.0, description="Seconds between two questions to Port whether a call was lost."
    )
    allowed_ips: Networks = Field(
        default=(), description="Addresses or networks that may call. Default: any."
    )
    trusted_proxies: Networks = Field(
        default=(), description="Proxies whose X-Forwarded-For is believed. Default: none."
    )


EventListener: TypeAlias = PollingSettings | KafkaSettings | WebhookSettings | OnceSettings


class OnNewRequest(Enum):
    """What a request does to the run in flight."""

    ABORT = "abort"
    DROP = "drop"
    QUEUE = "queue"
    IGNORE = "ignore"


class RetrySettings(Section):
    """Whether a failed run is tried again."""

    attempts: Annotated[Count, Field(ge=0, le=1000)] = Field(
        default=0, description="How often a failed run is tried again; 0: never."
    )
    backoff: Seconds = Field(
        default=10.0,
        description="Seconds before the first retry; each further one takes twice as long.",
    )


class ResyncSettings(Section):
    """Which run gives way to which, and for how long it may."""

    on_new_request: OnNewRequest = Field(
        default=OnNewRequest.ABORT,
        description="What a request does to a run in flight: `abort` it and start anew once it has "
        "ended, `drop` it and start anew at once, `queue` behind it, or be `ignore`d.",
    )
    abort_grace: SecondsOrZero = Field(
        default=30.0,
        description="Seconds that an aborted run may take to end; then it is fenced off.",
    )
    max_consecutive_aborts: Annotated[Count, Field(ge=1, le=1_000_000)] = Field(
        default=3, description="After so many runs aborted in a row the next is left to finish."
    )
    timeout: Seconds | None = Field(
        default=None,
        description="Seconds after which a run is aborted and has failed. Default: never.",
    )
    debounce: SecondsOrZero = Field(
        default=0.0, description="Seconds that requests are gathered for before a run starts."
    )
    retry: RetrySettings = RetrySettings()


class HttpSettings(Section):
    """The web server: webhook, health, metrics, dashboard."""

    host: Text = Field(default="0.0.0.0", description="Address that the web server binds.")  # noqa: S104
    port: Annotated[Count, Field(ge=0, le=65_535)] = Field(
        default=8000,
        description="Port that it binds; 0: any free one. `APPLICATION__PORT` sets it too.",
    )
    threads: Annotated[Count, Field(ge=1, le=1024)] = Field(
        default=8, description="Threads that answer calls."
    )
    max_body_bytes: Annotated[Count, Field(ge=1, le=1 << 30)] = Field(
        default=1 << 20, description="Largest body that is read, in bytes."
    )
