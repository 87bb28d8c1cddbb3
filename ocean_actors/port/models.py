"""What Port answers, as far as it is used here (docs/port-wire.md, section 2 and 3).

The parsers take what `json.loads` gave and are tolerant: what is absent, null or of a strange
type is None, as long as the answer can be used. Else they raise UnexpectedAnswer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ocean_actors.messages import PortRequest
from ocean_actors.port.errors import UnexpectedAnswer

_MOMENT = TypeAdapter(datetime)


@dataclass(frozen=True)
class ResyncState:
    """The last report of a run. Its times are the reporter's, except `updated_at`: Port's."""

    status: str | None = None
    last_resync_start: datetime | None = None
    last_resync_end: datetime | None = None
    next_resync: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True)
class Integration:
    """The integration object. `updated_at` is also moved by every report of a run."""

    identifier: str | None = None
    config: dict[str, Any] | None = None
    changelog_destination: dict[str, Any] | None = None
    updated_at: datetime | None = None
    resync_state: ResyncState | None = None


@dataclass(frozen=True)
class Organization:
    """The organisation that the credentials belong to. Its `id` prefixes topics and groups."""

    id: str
    feature_flags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class KafkaCredentials:
    """How to log in to Port's Kafka. `brokers` may be empty."""

    username: str
    password: str = field(repr=False)
    brokers: tuple[str, ...] = ()


@dataclass(frozen=True)
class AccessToken:
    """What a call is authorised with, for `seconds` from when it was given."""

    authorization: str = field(repr=False)
    seconds: float


Answer = Mapping[str, Any]


def parse_integration(answer: Answer) -> Integration:
    """The `integration` of an answer."""
    found = answer.get("integration")
    if not isinstance(found, dict) or not found.keys() & {"identifier", "installationId", "config"}:
        raise UnexpectedAnswer("expected an object 'integration' with an identifier and a config")
    config = found.get("config")
    if not isinstance(config, dict | None):
        raise UnexpectedAnswer(f"expected an object 'config', got {kind_of(config)}")
    return Integration(
        identifier=_text(found.get("identifier")) or _text(found.get("installationId")),
        config=config,
        changelog_destination=_object(found.get("changelogDestination")),
        updated_at=parse_moment(found.get("updatedAt")),
        resync_state=_resync_state(found.get("resyncState")),
    )


def parse_resync_request(answer: Answer) -> PortRequest | None:
    """The `request` of an answer; null, `{}` and absent all mean that there is none."""
    found = answer.get("request")
    if not found:
        return None
    if not isinstance(found, dict):
        raise UnexpectedAnswer(f"expected an object 'request', got {kind_of(found)}")
    return PortRequest(_text(found.get("id")), parse_moment(found.get("updatedAt")))


def parse_organization(answer: Answer) -> Organization:
    """The `organization` of an answer."""
    found = _object(answer.get("organization")) or {}
    identifier = _text(found.get("id"))
    if not identifier:
        raise UnexpectedAnswer("expected an object 'organization' with an id")
    return Organization(identifier, frozenset(_texts(found.get("featureFlags"))))


def parse_kafka_credentials(answer: Answer) -> KafkaCredentials:
    """The `credentials` of an answer."""
    found = _object(answer.get("credentials")) or {}
    username, password = _text(found.get("username")), _text(found.get("password"))
    if not username or password is None:
        raise UnexpectedAnswer("expected an object 'credentials' with username and password")
    return KafkaCredentials(username, password, _texts(found.get("brokers")))


def parse_access_token(answer: Answer) -> AccessToken:
    """The token of an answer; one that does not say how long it lasts is soon renewed."""
    token = _text(answer.get("accessToken"))
    if not token or not token.isascii() or not token.isprintable():
        raise UnexpectedAnswer("expected a string 'accessToken'")
    kind = _text(answer.get("tokenType")) or "Bearer"
    seconds = answer.get("expiresIn")
    if not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
        seconds = 60.0
    return AccessToken(f"{kind} {token}", float(seconds))


def parse_moment(value: object) -> datetime | None:
    """An ISO 8601 time in UTC (assumed where it names no zone); None if it cannot be read."""
    if not isinstance(value, str):
        return None
    try:
        moment = _MOMENT.validate_python(value)
        if moment.tzinfo is None:
            return moment.replace(tzinfo=timezone.utc)
        return moment.astimezone(timezone.utc)
    except (ValidationError, OverflowError):
        return None


def kind_of(value: object) -> str:
    """The JSON name of a value's type."""
    if value is None:
        return "null"
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return names.get(type(value), "a number")


def _resync_state(value: object) -> ResyncState | None:
    found = _object(value)
    if not found:
        return None
    return ResyncState(
        status=_text(found.get("status")),
        last_resync_start=parse_moment(found.get("lastResyncStart")),
        last_resync_end=parse_moment(found.get("lastResyncEnd")),
        next_resync=parse_moment(found.get("nextResync")),
        updated_at=parse_moment(found.get("updatedAt")),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _object(value: object) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None
