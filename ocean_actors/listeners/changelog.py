"""Decides which messages of Port's change log concern an integration, for Kafka and webhooks.

The shapes are those of docs/port-wire.md, section 7. Pure: any bytes may be passed to it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from ocean_actors.errors import OceanError
from ocean_actors.frozen import NestedTooDeeply, freeze
from ocean_actors.messages import ConfigSnapshot
from ocean_actors.port_time import parse_time

Destination = Literal["KAFKA", "WEBHOOK"]
"""Where Port was told to send an integration's changes; the `type` of a changelogDestination."""

MAX_BYTES = 8 * 1024 * 1024  # longer values are not parsed; Port's own API accepts 1 MiB


@dataclass(frozen=True)
class ResyncAsked:
    """Somebody asked Port to have the integration resynced."""


@dataclass(frozen=True)
class ConfigUpdate:
    """The integration was changed. `snapshot` is its config, or None if the message has none."""

    snapshot: ConfigSnapshot | None


@dataclass(frozen=True)
class Irrelevant:
    """The message asks nothing of the integration. `reason` is one of a few fixed texts."""

    reason: str


Meaning = ResyncAsked | ConfigUpdate | Irrelevant


class Unreadable(OceanError, ValueError):
    """A value is not JSON text. The message is one of a few fixed texts, so it can be counted."""


def read(value: bytes | None) -> object:
    """Returns the JSON value in `value` (UTF-8, RFC 8259). Raises Unreadable, and nothing else."""
    if value is None:
        raise Unreadable("tombstone")
    if len(value) > MAX_BYTES:
        raise Unreadable("too long")
    try:
        return _DECODER.decode(value.decode())
    except UnicodeDecodeError:
        raise Unreadable("not UTF-8") from None
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except ValueError:
        raise Unreadable("not JSON") from None


def interpret(
    message: object,
    identifier: str,
    destination: Destination = "KAFKA",
    *,
    requests_only: bool = False,
) -> Meaning:
    """Returns what `message` (parsed JSON) means to the integration `identifier`.

    Set `requests_only` for messages of the topic of resync requests: every message there is a
    request, and its action is not read.
    """
    if not isinstance(message, dict):
        return Irrelevant("not an object")
    requested = requests_only or message.get("action") == "RESYNC"
    if requested and _object(message, "context").get("integrationId") == identifier:
        return ResyncAsked()
    if requests_only:
        return Irrelevant("another integration")
    after = _object(message, "diff").get("after")
    if not isinstance(after, dict):
        return Irrelevant("no integration after the change")  # it was deleted
    if identifier not in (after.get("identifier"), after.get("installationId")):
        return Irrelevant("another integration")
    if message.get("resourceType") == "entity":
        return Irrelevant("an entity")  # that has the same identifier as the integration
    if _object(message, "changelogDestination").get("type") != destination:
        return Irrelevant("another destination")
    updated_at = after.get("updatedAt")
    if updated_at is None or _same(updated_at, _object(after, "resyncState").get("updatedAt")):
        return Irrelevant("own report")  # a resync would be reported too, and so cause the next
    return ConfigUpdate(_snapshot(after.get("config"), updated_at))


@dataclass(frozen=True)
class Needle:
    """An identifier, prepared for a search in raw bytes."""

    raw: bytes
    hint: bytes  # occurs in every message that holds the identifier with an escape in it
    escapes: re.Pattern[bytes]  # the escapes of the identifier's characters

    @classmethod
    def of(cls, identifier: str) -> Needle:
        """Returns `identifier` as a needle."""
        characters = set(identifier)
        escapes = {_SHORT[each] for each in characters if each in _SHORT}
        hint = rb"\u00" if all(each < "\u0100" for each in characters) else rb"\u"
        if escapes:
            hint = b"\\"
        escapes |= {b"u" + _first_unit(each) for each in characters}
        either = b"|".join(re.escape(escape) for escape in sorted(escapes))
        pattern = re.compile(rb"\\(?:" + either + rb")", re.IGNORECASE)
        return cls(identifier.encode("utf-8", "surrogatepass"), hint, pattern)


def may_concern(value: bytes, needle: Needle) -> bool:
    """Returns whether `value` may hold the identifier. False is certain; True needs parsing.

    A JSON string holds a character as itself or as an escape (RFC 8259, section 7). A message
    without the identifier's bytes therefore holds it only if it escapes one of its characters.
    """
    return needle.raw in value or (
        needle.hint in value and needle.escapes.search(value) is not None
    )


_SHORT = {
    '"': b'"', "\\": b"\\", "/": b"/",
    "\b": b"b", "\f": b"f", "\n": b"n", "\r": b"r", "\t": b"t",
}  # fmt: skip


def _first_unit(character: str) -> bytes:
    """Returns the four hex digits of the first UTF-16 unit of `character`."""
    return character.encode("utf-16-be", "surrogatepass")[:2].hex().encode()


def _object(parent: dict[str, Any], key: str) -> dict[str, Any]:
    """Returns the object at `key`, or an empty one if there is none."""
    child = parent.get(key)
    return child if isinstance(child, dict) else {}


def _same(one: object, other: object) -> bool:
    """Returns whether two of Port's times are the same moment."""
    if one == other:
        return True
    parsed = parse_time(one)
    return parsed is not None and parsed == parse_time(other)


def _snapshot(config: object, updated_at: object) -> ConfigSnapshot | None:
    if not isinstance(config, dict):
        return None
    try:
        return ConfigSnapshot(freeze(config), parse_time(updated_at))
    except NestedTooDeeply:
        return None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)  # json.loads would make one per call
