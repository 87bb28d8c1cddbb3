"""What is wrong with settings, in one readable line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

SHOWN = 3  # problems told in full; who mends these sees the rest the next time
LONGEST = 60  # characters of a value


class SettingsError(Exception):
    """The settings cannot be used; nothing was started.

    `problems` holds one sentence each, naming the key in YAML spelling (or the file), what was
    found (never a secret) and what was expected; `str()` is one line of the first three.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        line = "; ".join(self.problems[:SHOWN])
        more = len(self.problems) - SHOWN
        return f"{line}; and {more} more" if more > 0 else line


class UnusableError(ValueError):
    """A value cannot be used; the text says what was expected, and never the value."""


def key_name(path: Sequence[str]) -> str:
    """A setting's name as YAML spells it: `("port", "client_id")` is `port.clientId`."""
    return ".".join(_camel(name) for name in path)


def variable_name(path: Sequence[str]) -> str:
    """A setting's name in the environment: `OCEAN__PORT__CLIENT_ID`."""
    return "__".join(["OCEAN", *(name.upper() for name in path)])


def shown(value: Any) -> str:
    """A value for a message: one short line, whatever it is."""
    if isinstance(value, str):
        short = value if len(value) <= LONGEST else f"{value[: LONGEST - 1]}…"
        return json.dumps(short, ensure_ascii=not short.isprintable())
    if value is None or isinstance(value, bool | float):
        return json.dumps(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**18 else "a huge number"
    return kind(value)


def kind(value: Any) -> str:
    """What sort of thing a value is, where the value itself may be a secret."""
    if value is None:
        return "nothing"
    names = {dict: "a mapping", list: "a list", tuple: "a list", str: "text", bool: "true or false"}
    names |= {int: "a number", float: "a number"}
    return names.get(type(value), f"a {type(value).__name__}")


def line(text: object) -> str:
    """A name of a key or file as it is, if it fits into a line."""
    name = str(text)
    return name if name.isprintable() and name and len(name) < 4 * LONGEST else shown(name)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
