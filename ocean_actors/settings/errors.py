"""The error for unusable settings, and how its message names keys and values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ocean_actors.errors import UsageError
from ocean_actors.text import one_line

MAX_PROBLEMS = 3  # in the message; the rest are counted
MAX_VALUE = 60  # characters of a value
MAX_NAME = 240  # characters of a key or path


class SettingsError(UsageError):
    """The settings cannot be used; nothing was started.

    `problems` holds one sentence for each problem. It names the key as YAML spells it (or the
    file), what was expected, and what was found unless that may be a secret. `str()` is one line
    with the first three.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        text = "; ".join(self.problems[:MAX_PROBLEMS])
        more = len(self.problems) - MAX_PROBLEMS
        return f"{text}; and {more} more" if more > 0 else text


class UnusableError(ValueError):
    """A value cannot be used; the text says what was expected and never quotes the value."""


def key_name(path: Sequence[str]) -> str:
    """Returns a setting's name as YAML spells it: `("port", "client_id")` is `port.clientId`."""
    return ".".join(_camel(name) for name in path)


def variable_name(path: Sequence[str]) -> str:
    """Returns a setting's environment variable, for example `OCEAN__PORT__CLIENT_ID`."""
    return "__".join(["OCEAN", *(name.upper() for name in path)])


def written_name(name: object) -> str:
    """Returns a key or a path for a message, as the user wrote it but in one line."""
    return one_line(name, MAX_NAME) or '""'


def describe(value: Any) -> str:
    """Returns a value for a message, in one short line; a collection is named by its type."""
    if isinstance(value, str):
        short = value if len(value) <= MAX_VALUE else f"{value[: MAX_VALUE - 1]}…"
        return json.dumps(short, ensure_ascii=not short.isprintable())
    if value is None or isinstance(value, bool | float):
        return json.dumps(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**18 else "a huge number"
    return describe_type(value)


def describe_type(value: Any) -> str:
    """Returns what type of value this is, for a value that may be a secret."""
    if value is None:
        return "nothing"
    names = {dict: "a mapping", list: "a list", tuple: "a list", str: "text", bool: "true or false"}
    names |= {int: "a number", float: "a number"}
    return names.get(type(value), f"a {type(value).__name__}")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
