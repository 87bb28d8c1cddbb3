"""Which messages of Port's change log concern an integration: the same for Kafka and webhooks.

The shapes are those of docs/port-wire.md, section 7. Pure, and safe against whatever a body may hold.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal, NoReturn

from ocean_actors.frozen import NestedTooDeeply, freeze
from ocean_actors.messages import ConfigSnapshot

Destination = Literal["KAFKA", "WEBHOOK"]
"""Where Port was told to send an integration's changes; the `type` of a changelogDestination."""

MAX_BYTES = 8 * 1024 * 1024  # what is longer is not parsed; Port's own API takes 1 MiB


@dataclass(frozen=True)
class Request:
    """Somebody asked Port to have the integration resynced."""


@dataclass(frozen=True)
class ConfigUpdate:
    """The integration was changed. `snapshot` is its config, if the message has it."""

    snapshot: ConfigSnapshot | None


@dataclass(frozen=True)
class Ignored:
    """Nothing of ours; `reason` is one of few, fit for counting."""

    reason: str


Verdict = Request | ConfigUpdate | Ignored


class Unreadable(ValueError):
    """A value that is no JSON text; the reason is one of few, fit for counting."""


def read(value: bytes | None) -> object:
    """The JSON value in `value` (RFC 8259: UTF-8). Raises Unreadable, and nothing else."""
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


def judge(
    message: object,
    identifier: str,
    destination: Destination = "KAFKA",
    *,
    requests_only: bool = False,
) -> Verdict:
    """What `message` (parsed JSON) means to the integration `identifier`.

    `requests_only` is for the topic of resync requests, where the action is not read.
    """
    if not isinstance(message, dict):
        return Ignored("not an object")
    requested = requests_only or message.get("action") == "RESYNC"
    if requested and _object(message, "context").get("integrationId") == identifier:
        return Request()
    if requests_only:
        return Ignored("another integration")
    after = _object(message, "diff").get("after")
    if not isinstance(after, dict):
        return Ignored("nothing that is there afterwards")  # a deletion above all
    if identifier not in (after.get("identifier"), after.get("installationId")):
        return Ignored("another integration")
    if message.get("resourceType") == "entity":
        return Ignored("an entity")  # which happens to have our identifier
    if _object(message, "changelogDestination").get("type") != destination:
        return Ignored("another destination")
    updated_at = after.get("updatedAt")
    if updated_at is None or _same(updated_at, _object(after, "resyncState").get("updatedAt")):
        return Ignored("own report")  # a resync for it would be reported, and so on for ever
    return ConfigUpdate(_snapshot(after.get("config"), updated_at))


def moment(text: object) -> datetime | None:
    """A time as Port writes it (ISO 8601, `Z`); None for anything else. Without zone it is UTC."""
    if not isinstance(text, str):
        return None
    try:
        parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Needle:
    """An identifier, made ready to be looked for in raw bytes."""

    raw: bytes
    hint: bytes  # in every message that holds the identifier with an escape in it
    escapes: re.Pattern[bytes]  # the escapes of its characters

    @classmethod
    def of(cls, identifier: str) -> Needle:
        """Prepare `identifier`."""
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
    """Whether `value` may hold the identifier; False is certain, True is worth parsing.

    A JSON string holds a character as it is or as an escape (RFC 8259, section 7), so a message
    without the identifier's bytes holds it only if it escapes one of its characters.
    """
    return needle.raw in value or (
        needle.hint in value and needle.escapes.search(value) is not None
    )


_SHORT = {
    '"': b'"', "\\": b"\\", "/": b"/",
    "\b": b"b", "\f": b"f", "\n": b"n", "\r": b"r", "\t": b"t",
}  # fmt: skip


def _first_unit(character: str) -> bytes:
    """The four hex digits of the first UTF-16 unit of `character`."""
    return character.encode("utf-16-be", "surrogatepass")[:2].hex().encode()


def _object(parent: dict[str, Any], key: str) -> dict[str, Any]:
    """The object at `key`; an empty one if there is none."""
    child = parent.get(key)
    return child if isinstance(child, dict) else {}


def _same(one: object, other: object) -> bool:
    """Whether two of Port's times are the same moment."""
    if one == other:
        return True
    parsed = moment(one)
    return parsed is not None and parsed == moment(other)


def _snapshot(config: object, updated_at: object) -> ConfigSnapshot | None:
    if not isinstance(config, dict):
        return None
    try:
        return ConfigSnapshot(freeze(config), moment(updated_at))
    except NestedTooDeeply:
        return None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)  # json.loads would make one each time
