"""Where settings come from: each source becomes leaves, and a later source's leaves win.

A leaf is a path of snake_case names and a value. Knows no setting by name: the tree of names is
derived from the models by the caller.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Any, TypeAlias

from pydantic import SecretStr

from ocean_actors.settings.errors import UnusableError, key_name, kind, line, shown

PREFIX = "ocean__"
MOST_VALUES = 200_000  # in all, aliases of YAML counted where they are used
DEEPEST = 64  # levels

_FROM = re.compile(r"\{\{\s*from\s+(.*?)\s*\}\}")
_FROM_ENV = re.compile(r"env\s+(\S+)")

Leaf: TypeAlias = tuple[str, ...]
"""Path of a setting, e.g. `("port", "client_id")`."""


@dataclass(frozen=True)
class Names:
    """The names that a mapping may hold.

    `tolerant`: other keys are left out with a note, not refused. `free`: the keys are the
    user's own.
    """

    names: Mapping[str, Names | None] = field(default_factory=dict)
    tolerant: bool = False
    free: bool = False

    def find(self, key: str) -> str | None:
        """The name that is meant: case and underscores do not matter."""
        return next((name for name in self.names if _fold(name) == _fold(key)), None)

    def nearest(self, key: str) -> str | None:
        """The name that `key` may be a slip of."""
        folded = {_fold(name): name for name in self.names}
        close = difflib.get_close_matches(_fold(key[:60]), folded, n=1, cutoff=0.75)
        return folded[close[0]] if close else None


@dataclass(frozen=True)
class Unset:
    """Stands for a value that was to come from a variable, until a later source has it."""

    why: str


class Reader:
    """Gathers leaves from one source after another, and what is wrong or not used."""

    def __init__(self, root: Names) -> None:
        self.leaves: dict[Leaf, Any] = {}
        self.written: dict[Leaf, str] = {}  # their names, as the user spelt them
        self.variables: dict[Leaf, str] = {}  # the variables that some came from
        self.problems: list[str] = []
        self.ignored: list[str] = []
        self._root = root
        self._values = 0

    def read(self, values: Mapping[Any, Any], variables: Mapping[str, str] | None = None) -> None:
        """Take over a mapping shaped like the YAML file.

        With `variables`, `{{ from env NAME }}` in its text is replaced.
        """
        self._walk(self._root, (), values, _Source("", (), variables))

    def read_environment(self, env: Mapping[str, str]) -> None:
        """Take over every `OCEAN__…` variable.

        The one for a section, a JSON object, comes before those for its fields.
        """
        names = [name for name in env if name.lower().startswith(PREFIX)]
        for name in sorted(names, key=lambda name: (name.count("__"), name.isupper(), name)):
            path = tuple(name.lower().removeprefix(PREFIX).split("__"))
            values: Any = env[name]
            for part in reversed(path):
                values = {part: values}
            self._walk(self._root, (), values, _Source(line(name), path, None))

    def set(self, leaf: Leaf, value: Any, written: str, variable: str = "") -> None:
        """Take over one leaf."""
        self.leaves[leaf] = value
        self.written[leaf] = written
        self.variables[leaf] = variable

    def label(self, leaf: Leaf) -> str:
        """A setting's name for the user, with the variable that it came from."""
        variable = self.variables.get(leaf)
        return f"{key_name(leaf)} ({variable})" if variable else key_name(leaf)

    def _walk(self, section: Names, path: Leaf, values: Mapping[Any, Any], source: _Source) -> None:
        seen: dict[str, Any] = {}
        for key, value in values.items():
            written = source.written(path, key)
            name = section.find(key) if isinstance(key, str) else None
            if name is None:
                self._unknown(section, path, key, written)
                continue
            if name in seen:
                self.problems.append(f"{written}: the same as {shown(seen[name])}; give it once")
                continue
            seen[name] = key
            leaf, below = (*path, name), section.names[name]
            try:
                if below is None:
                    self.set(leaf, self._plain(value, source), written, source.variable)
                    continue
                mapping = self._mapping(value, source)
                if below.free:
                    plain = self._plain(mapping, source)
                    self.set(
                        leaf, overlay(self.leaves.get(leaf, {}), plain), written, source.variable
                    )
                else:
                    self._walk(below, leaf, mapping, source)
            except UnusableError as error:
                self.problems.append(f"{written}: {error}")

    def _unknown(self, section: Names, path: Leaf, key: Any, written: str) -> None:
        if not isinstance(key, str):
            self.problems.append(f"{written}: a key must be text; put it in quotes")
        elif (near := section.nearest(key)) is not None:
            meant = key_name((*path, near))
            self.problems.append(f"{written}: unknown key; did you mean {meant}?")
        elif section.tolerant:
            self.ignored.append(written)
        else:
            self.problems.append(f"{written}: unknown key")

    def _mapping(self, value: Any, source: _Source) -> Mapping[Any, Any]:
        """What stands for a section: a mapping, or a JSON object in a string."""
        if isinstance(value, str):
            value = source.substitute(value)
        if isinstance(value, Unset):
            raise UnusableError(value.why)
        if value is None or (isinstance(value, str) and not value.strip()):
            return {}
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise UnusableError("expected a mapping, or a JSON object in a string") from None
        if not isinstance(value, Mapping):
            raise UnusableError(f"expected a mapping, got {kind(value)}")
        return value

    def _plain(self, value: Any, source: _Source, depth: int = 0) -> Any:
        """A copy made of dicts, lists and scalars alone, variables put in; bounded.

        The bound also ends the expansion of YAML aliases that multiply, or contain themselves.
        """
        self._values += 1
        if self._values > MOST_VALUES:
            raise UnusableError(f"more than {MOST_VALUES} values in all")
        if depth > DEEPEST:
            raise UnusableError(f"nested deeper than {DEEPEST} levels")
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return source.substitute(value)
        if isinstance(value, Mapping):
            if not all(isinstance(key, str) for key in value):
                raise UnusableError("keys must be text; put numbers, dates, yes and no in quotes")
            return {key: self._plain(item, source, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(item, source, depth + 1) for item in value]
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, Enum):
            return value.value
        if isinstance(value, SecretStr):
            return value.get_secret_value()
        raise UnusableError(
            "expected text, a number, true, false, a list or a mapping, "
            f"not a {type(value).__name__}"
        )


@dataclass(frozen=True)
class _Source:
    variable: str  # of the environment, or empty
    path: Leaf  # what the variable stands for
    variables: Mapping[str, str] | None  # for {{ from env NAME }}

    def written(self, path: Leaf, key: Any) -> str:
        """How the user would find this again."""
        if not self.variable:
            return ".".join([key_name(path), line(key)] if path else [line(key)])
        inside = (*path, line(key))[len(self.path) :]
        return ".".join([self.variable, *inside])

    def substitute(self, text: str) -> str | Unset:
        """Text with its variables put in; `Unset` if one of them is not there."""
        if self.variables is None:
            return text
        parts, end = [], 0
        for match in _FROM.finditer(text):
            name = _FROM_ENV.fullmatch(match[1])
            if name is None:
                return Unset("expected {{ from env NAME }}")
            value = self.variables.get(name[1])
            if value is None:
                return Unset(f"the environment variable {name[1]} is not set")
            parts += [text[end : match.start()], value]
            end = match.end()
        return "".join([*parts, text[end:]])


def overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, what is above winning at every leaf.

    A key finds its like in another spelling: case and underscores do not matter.
    """
    both = dict(below)
    folded = {_fold(key): key for key in reversed(list(below))}
    for key, value in above.items():
        name = key if key in below else folded.get(_fold(key), key)
        old = both.get(name)
        deeper = isinstance(old, Mapping) and isinstance(value, Mapping)
        both[name] = overlay(old, value) if deeper else value  # type: ignore[arg-type]
    return both


def prune(value: Any, path: str) -> tuple[Any, list[tuple[str, str]]]:
    """A value without what is still unset, and where each such thing was, and why."""
    if isinstance(value, Unset):
        return None, [(path, value.why)]
    places = (
        [(key, f"{path}.{line(key)}", item) for key, item in value.items()]
        if isinstance(value, dict)
        else [(index, f"{path}[{index}]", item) for index, item in enumerate(value)]
        if isinstance(value, list)
        else None
    )
    if places is None:
        return value, []
    pruned = [(key, item, prune(item, place)) for key, place, item in places]
    unset = [note for _, _, (_, notes) in pruned for note in notes]
    kept = {key: rest for key, item, (rest, _) in pruned if not isinstance(item, Unset)}
    return kept if isinstance(value, dict) else list(kept.values()), unset


def nested(leaves: Mapping[Leaf, Any]) -> dict[str, Any]:
    """Leaves as a dict of dicts."""
    root: dict[str, Any] = {}
    for leaf, value in leaves.items():
        level = root
        for name in leaf[:-1]:
            level = level.setdefault(name, {})
        level[leaf[-1]] = value
    return root


def variable(env: Mapping[str, str], name: str) -> str | None:
    """A variable whose name ignores case."""
    return next((value for key, value in env.items() if key.upper() == name), None)


def _fold(key: str) -> str:
    return key.replace("_", "").lower()
