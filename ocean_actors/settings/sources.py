"""Turns each source of settings into leaves; the leaves of a later source win.

A leaf is a path of snake_case names and a value. This module knows no setting by name: the caller
derives the tree of names from the models.
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

from ocean_actors.settings.errors import (
    UnusableError,
    describe,
    describe_type,
    key_name,
    written_name,
)

PREFIX = "ocean__"
MAX_VALUES = 200_000  # in all; what a YAML alias stands for counts wherever it is used
MAX_DEPTH = 64  # levels

# Linear in the length of the text: what stands between the braces holds no pair of braces.
_FROM = re.compile(r"\{\{\s*from\s((?:[^{}\n]|\{(?!\{)|\}(?!\}))*)\}\}")
_FROM_ENV = re.compile(r"env\s+(\S+)")

Leaf: TypeAlias = tuple[str, ...]
"""Path of a setting, e.g. `("port", "client_id")`."""


@dataclass(frozen=True)
class Names:
    """The names that a mapping may hold.

    `tolerant`: other keys are ignored with a note, not refused; those in `unused` always are.
    `free`: the keys are the user's own. `credentials`: the names for which an empty variable is a
    mistake, not an unset value.
    """

    names: Mapping[str, Names | None] = field(default_factory=dict)
    tolerant: bool = False
    free: bool = False
    credentials: frozenset[str] = frozenset()
    unused: frozenset[str] = frozenset()

    def find(self, key: str) -> str | None:
        """Returns the name that `key` stands for, ignoring case and underscores."""
        return next((name for name in self.names if _fold(name) == _fold(key)), None)

    def find_unused(self, key: str) -> str | None:
        """Returns the name in `unused` that `key` stands for, ignoring case and underscores."""
        return next((name for name in self.unused if _fold(name) == _fold(key)), None)

    def nearest(self, key: str) -> str | None:
        """Returns the name that `key` may be a misspelling of."""
        folded = {_fold(name): name for name in self.names}
        close = difflib.get_close_matches(_fold(key[:60]), folded, n=1, cutoff=0.75)
        return folded[close[0]] if close else None


@dataclass(frozen=True)
class Unset:
    """A value whose variable is not set; a later source may still give the value."""

    why: str


class Reader:
    """Collects the leaves of one source after another, the problems, and what is ignored."""

    def __init__(self, root: Names) -> None:
        self.leaves: dict[Leaf, Any] = {}
        self.written: dict[Leaf, str] = {}  # their names as the user spelled them
        self.variables: dict[Leaf, str] = {}  # the environment variables that some came from
        self.problems: list[str] = []
        self.ignored: list[str] = []
        self.unused: dict[Leaf, Any] = {}  # the values of the keys that `Names.unused` lists
        self._root = root
        self._values = 0

    def read(self, values: Mapping[Any, Any], variables: Mapping[str, str] | None = None) -> None:
        """Read a mapping shaped like the YAML file.

        With `variables`, `{{ from env NAME }}` in its texts is replaced.
        """
        self._walk(self._root, (), values, _Source("", (), variables))

    def read_environment(self, env: Mapping[str, str]) -> None:
        """Read every `OCEAN__…` variable; an empty one counts as unset, except for credentials.

        A section's variable, a JSON object, is read before the variables of its fields.
        """
        names = [name for name in env if name.lower().startswith(PREFIX)]
        for name in sorted(names, key=lambda name: (name.count("__"), name.isupper(), name)):
            path = tuple(name.lower().removeprefix(PREFIX).split("__"))
            values: Any = env[name]
            for part in reversed(path):
                values = {part: values}
            self._walk(self._root, (), values, _Source(written_name(name), path, None))

    def set(self, leaf: Leaf, value: Any, written: str, variable: str = "") -> None:
        """Set one leaf."""
        self.leaves[leaf] = value
        self.written[leaf] = written
        self.variables[leaf] = variable

    def label(self, leaf: Leaf) -> str:
        """Returns a setting's name for a message, with the variable that it came from."""
        variable = self.variables.get(leaf)
        return f"{key_name(leaf)} ({variable})" if variable else key_name(leaf)

    def _walk(self, section: Names, path: Leaf, values: Mapping[Any, Any], source: _Source) -> None:
        seen: dict[str, Any] = {}
        for key, value in values.items():
            written = source.written(path, key)
            name = section.find(key) if isinstance(key, str) else None
            if name is None:
                self._unknown(section, path, key, value, source)
                continue
            if name in seen:
                self.problems.append(f"{written}: the same as {describe(seen[name])}; give it once")
                continue
            seen[name] = key
            leaf, below = (*path, name), section.names[name]
            try:
                if below is None:
                    plain = self._plain(value, source)
                    if source.is_unset(value, plain) and name not in section.credentials:
                        continue
                    self.set(leaf, plain, written, source.variable)
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

    def _unknown(self, section: Names, path: Leaf, key: Any, value: Any, source: _Source) -> None:
        written = source.written(path, key)
        if not isinstance(key, str):
            self.problems.append(f"{written}: a key must be text; put it in quotes")
        elif (unused := section.find_unused(key)) is not None:
            self.ignored.append(written)
            self._keep_unused((*path, unused), value, written, source)
        elif (near := section.nearest(key)) is not None:
            meant = key_name((*path, near))
            self.problems.append(f"{written}: unknown key; did you mean {meant}?")
        elif section.tolerant:
            self.ignored.append(written)
        else:
            self.problems.append(f"{written}: unknown key")

    def _keep_unused(self, leaf: Leaf, value: Any, written: str, source: _Source) -> None:
        try:
            plain, _ = prune(self._plain(value, source), written)
        except UnusableError as error:
            self.problems.append(f"{written}: {error}")
            return
        before = self.unused.get(leaf)
        if isinstance(before, Mapping) and isinstance(plain, Mapping):
            plain = overlay(before, plain)
        if plain is not None:
            self.unused[leaf] = plain

    def _mapping(self, value: Any, source: _Source) -> Mapping[Any, Any]:
        """Returns a section's values: a mapping, or a JSON object in a string.

        Null, an empty text and an empty list are an empty section. Raises UnusableError.
        """
        if isinstance(value, str):
            value = source.substitute(value)
        if isinstance(value, Unset):
            raise UnusableError(value.why)
        if isinstance(value, str) and value.strip():
            try:
                value = json.loads(value, object_pairs_hook=without_duplicates)
            except UnusableError:
                raise
            except (ValueError, RecursionError):
                raise UnusableError("expected a mapping, or a JSON object in a string") from None
        if value is None or (isinstance(value, str | list | tuple) and not value):
            return {}
        if isinstance(value, str):  # blanks only
            return {}
        if not isinstance(value, Mapping):
            raise UnusableError(f"expected a mapping, got {describe_type(value)}")
        return value

    def _plain(self, value: Any, source: _Source, depth: int = 0) -> Any:
        """Returns a copy of plain dicts, lists and scalars, with variables put in.

        Raises UnusableError beyond `MAX_VALUES` and `MAX_DEPTH`, which also ends the expansion of
        YAML aliases that multiply or contain themselves.
        """
        self._values += 1
        if self._values > MAX_VALUES:
            raise UnusableError(f"more than {MAX_VALUES} values in all")
        if depth > MAX_DEPTH:
            raise UnusableError(f"nested deeper than {MAX_DEPTH} levels")
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
    variable: str  # the environment variable that is read, or empty
    path: Leaf  # the setting or section that the variable stands for
    variables: Mapping[str, str] | None  # for {{ from env NAME }}

    def written(self, path: Leaf, key: Any) -> str:
        """Returns the name under which the user finds this value again."""
        name = written_name(key)
        if not self.variable:
            return ".".join([key_name(path), name] if path else [name])
        return ".".join([self.variable, *(*path, name)[len(self.path) :]])

    def is_unset(self, given: Any, plain: Any) -> bool:
        """Returns whether a value came from an environment variable, and the variable is empty."""
        blank = isinstance(plain, str) and not plain.strip()
        return blank and (bool(self.variable) or plain != given)

    def substitute(self, text: str) -> str | Unset:
        """Returns the text with its variables put in, `Unset` if one of them is not set."""
        if self.variables is None:
            return text
        parts, end = [], 0
        for match in _FROM.finditer(text):
            name = _FROM_ENV.fullmatch(match[1].strip())
            if name is None:
                return Unset("expected {{ from env NAME }}")
            value = self.variables.get(name[1])
            if value is None:
                return Unset(f"the environment variable {name[1]} is not set")
            parts += [text[end : match.start()], value]
            end = match.end()
        return "".join([*parts, text[end:]])


def overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Returns both mappings merged; `above` wins at every leaf.

    Keys that differ only in case and underscores are the same.
    """
    both = dict(below)
    folded = {_fold(key): key for key in reversed(list(below))}
    for key, value in above.items():
        name = key if key in below else folded.get(_fold(key), key)
        old = both.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            both[name] = overlay(old, value)
        else:
            both[name] = value
    return both


def prune(value: Any, path: str) -> tuple[Any, list[tuple[str, str]]]:
    """Returns a value without its `Unset` parts, and the path and reason of each such part."""
    if isinstance(value, Unset):
        return None, [(path, value.why)]
    places = (
        [(key, f"{path}.{written_name(key)}", item) for key, item in value.items()]
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
    """Returns the leaves as a dict of dicts."""
    root: dict[str, Any] = {}
    for leaf, value in leaves.items():
        level = root
        for name in leaf[:-1]:
            level = level.setdefault(name, {})
        level[leaf[-1]] = value
    return root


def variable(env: Mapping[str, str], name: str) -> str | None:
    """Returns the variable called `name` in any case, None if there is none."""
    return next((value for key, value in env.items() if key.upper() == name), None)


def _fold(key: str) -> str:
    return key.replace("_", "").lower()


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the pairs of a JSON object as a dict. Raises UnusableError for a repeated key."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in found if keys.count(key) > 1)
        raise UnusableError(f"the key {written_name(twice)} is given twice")
    return found
