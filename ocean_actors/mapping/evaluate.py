"""What becomes of one raw item: the entities that an entry of the mapping makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ocean_actors.mapping.entry import MAPPINGS, REQUIRED, Expression, Plan, Tree
from ocean_actors.mapping.programs import CannotParse, JqFailed, Programs, first
from ocean_actors.text import one_line


@dataclass(frozen=True)
class Mapped:
    """An entity. `failed` has, by field, why JQ failed; these fields are null."""

    entity: dict[str, Any]
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Skipped:
    """The selector is false: there is no entity."""


@dataclass(frozen=True)
class NotMapped:
    """There may be an entity, but it cannot be computed."""

    reason: str


MappingOutcome = Mapped | Skipped | NotMapped


class Evaluation:
    """The compiled expressions of one entry. Raises CannotParse with the field and the position."""

    def __init__(self, plan: Plan, programs: Programs) -> None:
        self._plan = plan
        every = (plan.items, plan.selector, *plan.expressions)
        for expression in filter(None, every):
            try:
                programs.compiled(expression.text)
            except CannotParse as error:
                raise CannotParse(f"{expression.field}: JQ cannot parse it: {error}") from None
        self._programs = programs
        self._together = programs.together(
            plan.selector.text, [each.text for each in plan.expressions]
        )

    def outcomes(self, text: str) -> Iterator[MappingOutcome]:
        """Yields what becomes of a raw item, given as JSON."""
        if self._plan.items is None:
            yield self._outcome(text)
            return
        try:
            elements, rest = self._elements(self._plan.items, text)
        except JqFailed as error:
            yield NotMapped(f"{self._plan.items.field}: {error}")
            return
        if not elements:
            yield Skipped()
        for element in elements:
            yield self._outcome(json.dumps({**rest, self._plan.name: element}))

    def _elements(self, items: Expression, text: str) -> tuple[list[Any], dict[str, Any]]:
        elements = first(self._programs.compiled(items.text), text)
        transform = self._plan.transform
        rest: object = json.loads(text)
        if transform is not None:
            try:
                rest = first(self._programs.compiled(transform.text), text)
            except CannotParse:
                rest = None
            if rest is None:
                raise JqFailed(
                    f"`{transform.text}` leaves nothing of the item: set "
                    "itemsToParseTopLevelTransform to false"
                )
        if not isinstance(elements, list):
            raise JqFailed(f"expected a list, got {_type(elements)}")
        if not isinstance(rest, dict):
            raise JqFailed(f"`{items.text}` belongs to a {_type(rest)}, not to a mapping")
        return elements, rest

    def _outcome(self, text: str) -> MappingOutcome:
        try:
            selected = self._selected(text)
        except JqFailed as error:
            return NotMapped(f"{self._plan.selector.field}: {error}")
        if selected is None:
            return Skipped()
        values: list[Any] = []
        failed: dict[str, str] = {}
        for expression, value in zip(self._plan.expressions, selected, strict=True):
            if isinstance(value, dict):
                failed[expression.field] = _message(value["error"])
            values.append(value[0] if isinstance(value, list) and value else None)
        entity = _put_together(self._plan.tree, values)
        reason = _complete(entity, failed)
        return Mapped(entity, failed) if reason is None else NotMapped(reason)

    def _selected(self, text: str) -> list[Any] | None:
        """Returns the attempts at all expressions; None if the selector is false."""
        if self._together is not None:
            try:
                result: Any = first(self._together, text)
            except JqFailed:
                result = None  # one of them ends the whole program: see what each one does
            if isinstance(result, list):
                if isinstance(result[0], dict):
                    raise JqFailed(_message(result[0]["error"]))
                if not _is_true(result[0][0] if result[0] else None):
                    return None
                values: list[Any] = result[1]
                return values
        if not _is_true(first(self._programs.compiled(self._plan.selector.text), text)):
            return None
        return [self._attempt(each.text, text) for each in self._plan.expressions]

    def _attempt(self, expression: str, text: str) -> list[Any] | dict[str, Any]:
        try:
            return [first(self._programs.compiled(expression), text)]
        except JqFailed as error:
            return {"error": str(error)}


def _is_true(selected: object) -> bool:
    if not isinstance(selected, bool):
        raise JqFailed(f"expected true or false, got {_type(selected)}")
    return selected


def _put_together(tree: Tree, values: list[Any]) -> Any:
    if isinstance(tree, int):
        return values[tree]
    if isinstance(tree, dict):
        return {key: _put_together(part, values) for key, part in tree.items()}
    return [_put_together(part, values) for part in tree]


def _complete(entity: dict[str, Any], failed: dict[str, str]) -> str | None:
    """Give the texts of an entity the type that Port expects. Returns what is wrong with it."""
    for key in REQUIRED:
        if not entity[key]:
            path = f"{MAPPINGS}.{key}"
            return f"{path}: {failed.get(path) or f'is {json.dumps(entity[key])}'}"
    for key in ("icon", "team"):
        value = entity.get(key)
        if isinstance(value, bool | int | float):
            entity[key] = str(value)
        elif key == "icon" and isinstance(value, list | dict):
            return f"{MAPPINGS}.icon: expected a text, got {_type(value)}"
    return None


def _message(error: object) -> str:
    """Returns what an expression gave to JQ's `error` as one line."""
    return one_line(error if isinstance(error, str) else json.dumps(error)) or "no message"


def _type(value: object) -> str:
    names = {
        type(None): "null", bool: "a boolean", int: "a number", float: "a number",
        str: "a text", list: "a list", dict: "a mapping",
    }  # fmt: skip
    return names[type(value)]
