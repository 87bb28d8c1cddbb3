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


def key_name(path: Sequence[str]) -> str:
    """A setting's name as YAML spells it: `("port", "client_id")` is `port.clientId`."""
    return ".".join(_camel(name) for name in path)


def variable_name(path: Sequence[str]) -> str:
    """A setting's name in the environment: `OCEAN__PORT__CLIENT_ID`."""
    return "__".join(["OCEAN", *(name.upper() for name in path)])


def shown(value: Any) -> str:
    """A value for a message: one short line, whatever it is."""
    if value is None or isinstance(value, bool | int | float | str):
        try:
            text = json.dumps(value[: LONGEST + 1] if isinstance(value, str) else value)
        except ValueError:  # an int of thousands of digits
            return "a number"
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    kinds = {"dict": "a mapping", "list": "a list", "tuple": "a list"}
    return kinds.get(type(value).__name__, f"a {type(value).__name__}")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
