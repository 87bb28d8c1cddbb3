"""What the parent and the child of Port Ocean tell each other: one JSON object a line. Pure.

Commands (to the child) are `{"command": "run", "run": 3, "id": "ab12-3"}`, `{"command": "abort",
"run": 3}`, `{"command": "lease", "until": 1234.5}` (end by yourself then, a time of the machine's
monotonic clock, unless told a later one) and `{"command": "exit"}`. Events (from the child) have
`"event"` in place of that, and one class below for each name. For anything else that the child
writes, `parsed` raises ProtocolError, which shows the line escaped and shortened.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from ocean_actors.errors import OceanError
from ocean_actors.messages import Status
from ocean_actors.text import escaped, one_line

LONGEST_LINE = 1024 * 1024
"""Bytes of one line; a longer line is not an event."""

LONGEST_TEXT = 8_000  # characters of a log line
LONGEST_REASON = 1_000  # characters
MOST_KINDS = 1_000
LARGEST_COUNT = 2**53
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class ProtocolError(OceanError):
    """A line from the child is not an event; `str()` is one readable line."""


@dataclass(frozen=True)
class KindProgress:
    """How far one resource of Port's mapping is, by upstream's own counts.

    `state` is `syncing`, `completed`, `failed` or `aborted`. `extracted` are raw items, `loaded`
    entities that Port took, `skipped` those that were in Port already as they are, `failed` those
    that could not be made or that Port refused.
    """

    kind: str
    index: int
    blueprint: str
    state: str
    extracted: int = 0
    loaded: int = 0
    skipped: int = 0
    failed: int = 0


@dataclass(frozen=True)
class RunCounts:
    """How far a resync is: its resources so far, of `total`, and entities that it deleted."""

    total: int = 0
    kinds: tuple[KindProgress, ...] = ()
    deleted: int = 0


@dataclass(frozen=True)
class Ready:
    """The integration has started, and its web server listens on the loopback at `port`."""

    port: int
    version: str
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Requested:
    """The integration asked for a resync."""


@dataclass(frozen=True)
class Progressed:
    """The resync `run` made progress."""

    run: int
    counts: RunCounts


@dataclass(frozen=True)
class Finished:
    """The resync `run` is over. `failure` is one line if it failed."""

    run: int
    status: Status
    failure: str | None
    counts: RunCounts


@dataclass(frozen=True)
class Logged:
    """A line of the integration's log; `run` is the id of the run that it belongs to, if any."""

    level: str
    text: str
    run: str | None


@dataclass(frozen=True)
class Failed:
    """The integration cannot start. `lasting`: another attempt would not help."""

    reason: str
    lasting: bool


Event = Ready | Requested | Progressed | Finished | Logged | Failed


def command(name: str, **fields: object) -> bytes:
    """Returns a command as the line that the child reads."""
    return json.dumps({"command": name, **fields}).encode() + b"\n"


def parsed(line: bytes) -> Event:
    """Returns the event of one line. Raises ProtocolError."""
    try:
        data = json.loads(line)
        return _event(_Fields(data))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        why = "it is not JSON" if isinstance(error, json.JSONDecodeError) else one_line(error, 80)
        shown = one_line(escaped(line[:200].decode(errors="backslashreplace")), 120)
        raise ProtocolError(
            f"the Ocean process wrote a line that is not an event ({why}): {shown}"
        ) from None


class _Fields:
    """The fields of one event, read by the type that they must have.

    Raises ValueError or TypeError.
    """

    def __init__(self, data: object) -> None:
        if not isinstance(data, Mapping):
            raise TypeError("expected a JSON object")
        self._data: Mapping[str, Any] = data

    def text(self, name: str, limit: int, default: str | None = None) -> str:
        value = self._data.get(name, default)
        if not isinstance(value, str):
            raise TypeError(f"{name}: expected text")
        return value[:limit]

    def line(self, name: str, limit: int = LONGEST_REASON, default: str | None = None) -> str:
        return one_line(self.text(name, limit, default), limit)

    def optional_line(self, name: str) -> str | None:
        return None if self._data.get(name) is None else self.line(name)

    def count(self, name: str, default: int | None = None) -> int:
        value = self._data.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_COUNT:
            raise ValueError(f"{name}: expected a count")
        return value

    def flag(self, name: str) -> bool:
        value = self._data.get(name)
        if not isinstance(value, bool):
            raise TypeError(f"{name}: expected true or false")
        return value

    def items(self, name: str) -> list[Any]:
        value = self._data.get(name, [])
        if not isinstance(value, list) or len(value) > MOST_KINDS:
            raise ValueError(f"{name}: expected a list of at most {MOST_KINDS}")
        return value


def _event(fields: _Fields) -> Event:
    match fields.text("event", 40):
        case "ready":
            kinds = tuple(_kind_name(each) for each in fields.items("kinds"))
            port = fields.count("port")
            if not 0 < port < 65_536:
                raise ValueError("port: expected a number from 1 to 65535")
            return Ready(port, fields.line("version", 40), kinds)
        case "requested":
            return Requested()
        case "progressed":
            return Progressed(fields.count("run"), _counts(fields))
        case "finished":
            status: Any = fields.text("status", 20)
            if status not in get_args(Status):
                raise ValueError(f"status: expected one of {', '.join(get_args(Status))}")
            failure = fields.optional_line("failure")
            return Finished(fields.count("run"), status, failure, _counts(fields))
        case "logged":
            level = fields.text("level", 20)
            text = fields.text("text", LONGEST_TEXT)
            return Logged(level if level in LEVELS else "INFO", text, fields.optional_line("run"))
        case "failed":
            return Failed(fields.line("reason"), fields.flag("lasting"))
        case other:
            raise ValueError(f"unknown event {other}")


def _counts(fields: _Fields) -> RunCounts:
    kinds = tuple(_kind(_Fields(each)) for each in fields.items("kinds"))
    return RunCounts(fields.count("total", 0), kinds, fields.count("deleted", 0))


def _kind(fields: _Fields) -> KindProgress:
    return KindProgress(
        kind=fields.line("kind", 200),
        index=fields.count("index"),
        blueprint=fields.line("blueprint", 200),
        state=fields.line("state", 20),
        extracted=fields.count("extract_raw_extracted", 0),
        loaded=fields.count("load_loaded", 0),
        skipped=fields.count("load_skipped", 0),
        failed=fields.count("transform_failed", 0) + fields.count("load_failed", 0),
    )


def _kind_name(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("kinds: expected texts")
    return one_line(value, 200)
