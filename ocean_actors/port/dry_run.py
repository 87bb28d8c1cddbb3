"""What a dry run would write to Port: comparisons without any call, and the table of results."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ocean_actors.messages import RunInfo
from ocean_actors.text import one_line

SHOWN = 5
"""Changed entities whose differences are shown."""

SHOWN_CHANGES = 20  # of one entity
LONGEST_VALUE = 80  # characters
CONTEXT = 20  # characters of a long value before its first difference
LONGEST_NAME = 60
HIDDEN = "***"

FIELDS = ("title", "icon", "team")
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}
_SECRET_NAME = re.compile(
    r"secret|token|passw|pwd|credential|private|authorization|(api|access)[-_ ]?key", re.IGNORECASE
)

Entity = Mapping[str, Any]
Blueprint = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """One field of an entity that would change; None stands for no value."""

    name: str
    old: Any = field(repr=False)
    new: Any = field(repr=False)


def after_upsert(before: Entity | None, sent: Entity, *, merge: bool) -> dict[str, Any]:
    """Returns the fields that an entity would have in Port after an upsert.

    With `merge`, what is not sent stays; without, it is gone.
    """
    base: Entity = before if merge and before is not None else {}
    after = {name: sent.get(name) if name in sent else base.get(name) for name in FIELDS}
    for part in ("properties", "relations"):
        after[part] = {**mapping_of(base, part), **mapping_of(sent, part)}
    return after


def compare(before: Entity, after: Entity) -> tuple[Change, ...]:
    """Returns the fields in which two states of an entity differ. No value equals null."""
    old, new = dict(_flat(before)), dict(_flat(after))
    return tuple(
        Change(name, old.get(name), new.get(name))
        for name in dict.fromkeys([*old, *new])
        if not _same(old.get(name), new.get(name))
    )


def refusal(after: Entity, blueprint: Blueprint) -> str | None:
    """Returns why Port would refuse an entity, as far as the blueprint's schema tells; else None.

    It looks for unknown, missing and wrongly typed properties and for unknown relations.
    """
    schema = mapping_of(blueprint, "schema")
    known, properties = mapping_of(schema, "properties"), mapping_of(after, "properties")
    required = schema.get("required")
    for name in required if isinstance(required, list) else ():
        if properties.get(name) is None:
            return f"properties.{one_line(name)}: is required"
    for name, value in properties.items():
        if name not in known:
            return f"properties.{one_line(name)}: the blueprint has no such property"
        wanted = mapping_of(known, name).get("type")
        if value is not None and not _fits(value, wanted):
            return f"properties.{one_line(name)}: must be of type {one_line(wanted)}"
    for name, target in mapping_of(after, "relations").items():
        if target not in (None, []) and name not in mapping_of(blueprint, "relations"):
            return f"relations.{one_line(name)}: the blueprint has no such relation"
    return None


def secret_fields(blueprint: Blueprint) -> frozenset[str]:
    """Returns the properties that Port encrypts, whose values are not shown."""
    known = mapping_of(mapping_of(blueprint, "schema"), "properties")
    return frozenset(
        f"properties.{name}" for name in known if mapping_of(known, name).get("encryption")
    )


def shown_change(
    change: Change, secret: frozenset[str] = frozenset(), mask: Callable[[str], str] = str
) -> str:
    """Returns `field: old -> new` as one line, without the values of `secret` fields.

    `mask` takes JSON in ASCII and returns it without other secrets.
    """
    hidden = change.name in secret or _SECRET_NAME.search(change.name) is not None
    old, new = (_shown(_public(each, hidden=hidden), mask) for each in (change.old, change.new))
    pairs = enumerate(zip(old, new, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), min(len(old), len(new)))
    start = max(0, same - CONTEXT) if same > LONGEST_VALUE - CONTEXT else 0
    return f"{one_line(change.name, LONGEST_NAME)}: {_cut(old, start)} -> {_cut(new, start)}"


@dataclass(frozen=True)
class DryRunCounts:
    """What would become of the entities of one blueprint.

    `repeated` were sent more than once; they are compared the first time only.
    """

    created: int = 0
    changed: int = 0
    deleted: int = 0
    unchanged: int = 0
    refused: int = 0
    repeated: int = 0


@dataclass(frozen=True)
class ChangedEntity:
    """An entity that would change, and how: a line for each field."""

    blueprint: str
    identifier: str
    changes: tuple[str, ...]


@dataclass(frozen=True)
class DryRunResult:
    """What a dry run would have done in Port.

    `blueprints` has the counts by blueprint, `changed` the first entities that would change.
    `notes` are lines about what else would happen, or why the result is not `complete`: a handler
    failed, or the run was aborted.
    """

    run: RunInfo
    blueprints: Mapping[str, DryRunCounts]
    changed: tuple[ChangedEntity, ...] = ()
    notes: tuple[str, ...] = ()
    complete: bool = True

    def lines(self) -> Iterator[str]:
        """Yields the table and the differences, line by line; all printable."""
        yield f"dry run {self.run.id}: nothing was written to Port; the result would have been:"
        yield from self._table()
        for entity in self.changed:
            yield f"{entity.blueprint} {entity.identifier} would change:"
            yield from (f"  {change}" for change in entity.changes)
        more = sum(each.changed for each in self.blueprints.values()) - len(self.changed)
        if more > 0:
            yield f"and {more} more would change"
        yield from self.notes

    def _table(self) -> Iterator[str]:
        if not self.blueprints:
            yield "no entities were sent"
            return
        columns = ["created", "changed", "deleted", "unchanged", "refused"]
        if any(each.repeated for each in self.blueprints.values()):
            columns.append("repeated")
        rows = {
            one_line(name, LONGEST_NAME): [getattr(counts, column) for column in columns]
            for name, counts in sorted(self.blueprints.items())
        }
        if len(rows) > 1:
            totals = [sum(numbers) for numbers in zip(*rows.values(), strict=True)]
            rows["total "] = totals  # no blueprint has a name that ends with a blank
        width = max(len("blueprint"), *map(len, rows))
        yield _row("blueprint", columns, width)
        yield from (_row(name, numbers, width) for name, numbers in rows.items())


def _row(name: str, cells: Iterable[object], width: int) -> str:
    return f"{name:<{width}}" + "".join(f"{cell!s:>11}" for cell in cells)


def mapping_of(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Returns a mapping in `values`; an empty one if there is something else."""
    value = values.get(name)
    return value if isinstance(value, Mapping) else {}


def _flat(entity: Entity) -> Iterator[tuple[str, Any]]:
    for name in FIELDS:
        yield name, entity.get(name)
    for part in ("properties", "relations"):
        for name, value in mapping_of(entity, part).items():
            yield f"{part}.{name}", value


def _same(old: Any, new: Any) -> bool:
    """Returns whether two JSON values are the same; Port shows no value as null or `[]`."""
    if old in (None, []) and new in (None, []):
        return True
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(_same(old[name], new[name]) for name in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_same, old, new))
    return isinstance(old, bool) == isinstance(new, bool) and bool(old == new)


def _fits(value: Any, wanted: object) -> bool:
    if not isinstance(wanted, str) or wanted not in TYPES:
        return True  # a type that we do not know
    if wanted == "number" and isinstance(value, bool):
        return False
    return isinstance(value, TYPES[wanted])


def _public(value: Any, *, hidden: bool) -> Any:
    """Returns a value without what is secret: all of it if `hidden`, else by the names in it."""
    if isinstance(value, bool | None):
        return value  # tells nothing
    if hidden:
        return HIDDEN
    if isinstance(value, Mapping):
        return {
            name: _public(each, hidden=_SECRET_NAME.search(name) is not None)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_public(each, hidden=False) for each in value]
    return value


def _shown(value: Any, mask: Callable[[str], str]) -> str:
    """Returns JSON in printable characters."""
    if value == HIDDEN:
        return HIDDEN
    text = mask(json.dumps(value))  # before it is cut: half a secret is one, too
    with contextlib.suppress(ValueError):  # a masked number is no JSON
        text = json.dumps(json.loads(text), ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def _cut(text: str, start: int) -> str:
    shown = f"…{text[start:]}" if start else text
    return shown if len(shown) <= LONGEST_VALUE else f"{shown[: LONGEST_VALUE - 1]}…"
