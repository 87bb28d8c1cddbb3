"""Port's answers, as far as they are used here (docs/port-wire.md, sections 2 and 3).

The parsers take what `json.loads` returned. A field that is absent, null or of an unexpected type
becomes None if the answer can be used without it; else they raise UnexpectedAnswer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ocean_actors.messages import PortRequest
from ocean_actors.port.errors import UnexpectedAnswer
from ocean_actors.port_time import parse_time
from ocean_actors.text import one_line

DEEPEST_CONFIG = 64  # levels; mappings have about ten, and much of Python recurses
LONGEST_ID = 200  # characters; of an organisation
UNKNOWN_LIFETIME = 60.0  # seconds; of an access token
LONGEST_LIFETIME = 10 * 366 * 86_400  # seconds


@dataclass(frozen=True)
class ResyncState:
    """The last report of a run. `updated_at` is Port's time, the others are the reporter's."""

    status: str | None = None
    last_resync_start: datetime | None = None
    last_resync_end: datetime | None = None
    next_resync: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True)
class Integration:
    """The integration. Every report of a run moves `updated_at` too.

    `metrics_url` and `logs_url` are where Port takes sync metrics and logs, as Port wrote them.
    """

    identifier: str | None = None
    config: dict[str, Any] | None = None
    changelog_destination: dict[str, Any] | None = None
    updated_at: datetime | None = None
    resync_state: ResyncState | None = None
    installation_type: str | None = None
    metrics_url: str | None = None
    logs_url: str | None = None


@dataclass(frozen=True)
class Organization:
    """The organisation that the credentials belong to. Its `id` prefixes topics and groups."""

    id: str
    feature_flags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class KafkaCredentials:
    """Credentials for Port's Kafka. `brokers` may be empty."""

    username: str
    password: str = field(repr=False)
    brokers: tuple[str, ...] = ()


@dataclass(frozen=True)
class AccessToken:
    """The value of the header Authorization, valid for `seconds` from when Port was asked."""

    authorization: str = field(repr=False)
    seconds: float


PortAnswer = Mapping[str, Any]


def parse_integration(answer: PortAnswer) -> Integration:
    """Returns the `integration` of an answer."""
    found = answer.get("integration")
    if not isinstance(found, dict) or not found.keys() & {"identifier", "installationId", "config"}:
        raise UnexpectedAnswer("expected an object 'integration' with an identifier and a config")
    config = found.get("config")
    if not isinstance(config, dict | None):
        raise UnexpectedAnswer(f"expected an object 'config', got {kind_of(config)}")
    if _is_deeper(config, DEEPEST_CONFIG):
        raise UnexpectedAnswer(f"expected a 'config' of at most {DEEPEST_CONFIG} levels")
    return Integration(
        identifier=_text(found.get("identifier")) or _text(found.get("installationId")),
        config=config,
        changelog_destination=_object(found.get("changelogDestination")),
        updated_at=parse_time(found.get("updatedAt")),
        resync_state=_resync_state(found.get("resyncState")),
        installation_type=_text(found.get("installationType")),
        metrics_url=_ingest_url(found.get("metricAttributes")),
        logs_url=_ingest_url(found.get("logAttributes")),
    )


def parse_resync_request(answer: PortAnswer) -> PortRequest | None:
    """Returns the `request` of an answer, or None if it is null, `{}` or absent."""
    found = answer.get("request")
    if not found:
        return None
    if not isinstance(found, dict):
        raise UnexpectedAnswer(f"expected an object 'request', got {kind_of(found)}")
    identifier = found.get("id")
    if isinstance(identifier, int) and not isinstance(identifier, bool):
        identifier = str(identifier)
    return PortRequest(_text(identifier), parse_time(found.get("updatedAt")))


def parse_organization(answer: PortAnswer) -> Organization:
    """Returns the `organization` of an answer."""
    found = _object(answer.get("organization")) or {}
    identifier = _text(found.get("id"))
    if not identifier or not identifier.isprintable() or len(identifier) > LONGEST_ID:
        raise UnexpectedAnswer("expected an object 'organization' with a printable id")
    return Organization(identifier, frozenset(_texts(found.get("featureFlags"))))


def parse_kafka_credentials(answer: PortAnswer) -> KafkaCredentials:
    """Returns the `credentials` of an answer."""
    found = _object(answer.get("credentials")) or {}
    username, password = _text(found.get("username")), _text(found.get("password"))
    if not username or password is None:
        raise UnexpectedAnswer("expected an object 'credentials' with username and password")
    return KafkaCredentials(username, password, _texts(found.get("brokers")))


def parse_blueprint(answer: PortAnswer) -> dict[str, Any]:
    """Returns the `blueprint` of an answer."""
    found = _object(answer.get("blueprint"))
    if found is None:
        raise UnexpectedAnswer("expected an object 'blueprint'")
    return found


def parse_access_token(answer: PortAnswer) -> AccessToken:
    """Returns the token of an answer. If its lifetime is not given, it is renewed soon."""
    token, kind = _text(answer.get("accessToken")), _text(answer.get("tokenType")) or "Bearer"
    for name, text in (("accessToken", token), ("tokenType", kind)):
        if not text or not text.isascii() or not text.isprintable():
            raise UnexpectedAnswer(f"expected a printable string {name!r}")
    seconds = answer.get("expiresIn")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        seconds = UNKNOWN_LIFETIME
    if seconds > LONGEST_LIFETIME:
        raise UnexpectedAnswer(f"expected an 'expiresIn' of at most {LONGEST_LIFETIME} seconds")
    return AccessToken(f"{kind} {token}", float(seconds))


def kind_of(value: object) -> str:
    """Returns the JSON name of a value's type."""
    if value is None:
        return "null"
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return names.get(type(value), "a number")


def _resync_state(value: object) -> ResyncState | None:
    found = _object(value)
    if not found:
        return None
    status = _text(found.get("status"))
    return ResyncState(
        status=None if status is None else one_line(status),
        last_resync_start=parse_time(found.get("lastResyncStart")),
        last_resync_end=parse_time(found.get("lastResyncEnd")),
        next_resync=parse_time(found.get("nextResync")),
        updated_at=parse_time(found.get("updatedAt")),
    )


def _ingest_url(attributes: object) -> str | None:
    return _text((_object(attributes) or {}).get("ingestUrl"))


def _is_deeper(value: object, levels: int) -> bool:
    """Returns whether lists and objects are nested in more than so many levels."""
    level: list[object] = [value]
    for _ in range(levels + 1):
        level = [item for each in level for item in _items(each)]
    return bool(level)


def _items(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _object(value: object) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None
