"""One entry of Port's mapping, read from the config, and the JQ expressions in it.

The shape is Port Ocean's: https://docs.port.io/build-your-software-catalog/customize-integrations
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ocean_actors.frozen import EMPTY, FrozenDict
from ocean_actors.text import one_line

Tree: TypeAlias = "int | dict[str, Tree] | list[Tree]"
"""The shape of an entity; a number is the index of the expression whose value belongs there."""

MAPPINGS = "port.entity.mappings"
"""Where the expressions of an entity are in the entry."""
REQUIRED = ("identifier", "blueprint")
OPTIONAL = ("title", "icon", "team")
SEARCHABLE = frozenset({"identifier", "team"})
"""What may be a search query; so may every relation."""


class Unusable(ValueError):
    """Raised for a part of an entry that does not have Port's form: `field: what was expected`."""


@dataclass(frozen=True)
class EntityConfig:
    """`port.entity` of an entry: the JQ expressions of an entity's parts."""

    mappings: FrozenDict = field(default_factory=lambda: EMPTY)  # Python 3.10 refuses a dict


@dataclass(frozen=True)
class PortConfig:
    """`port` of an entry."""

    entity: EntityConfig = field(default_factory=EntityConfig)
    items_to_parse: str | None = None
    items_to_parse_name: str = "item"
    items_to_parse_top_level_transform: bool = True


@dataclass(frozen=True)
class Expression:
    """A JQ expression and where it is in the entry, such as `selector.query`."""

    field: str
    text: str


@dataclass(frozen=True)
class Plan:
    """What is evaluated for each raw item.

    `expressions` are those of the entity, which `tree` puts together. `transform` is applied to
    the raw item before an element of `items` is added to it as `name`; None leaves it unchanged.
    """

    selector: Expression
    expressions: tuple[Expression, ...]
    tree: dict[str, Tree]
    items: Expression | None = None
    transform: Expression | None = None
    name: str = "item"


def port_config(entry: Mapping[str, object]) -> PortConfig:
    """Returns the `port` of an entry; what is missing or of another type has its default."""
    port = _mapping(entry.get("port"))
    items, name = port.get("itemsToParse"), port.get("itemsToParseName")
    return PortConfig(
        EntityConfig(_mapping(_mapping(port.get("entity")).get("mappings"))),
        items if items and isinstance(items, str) else None,
        name if name and isinstance(name, str) else "item",
        port.get("itemsToParseTopLevelTransform") is not False,
    )


def plan_of(entry: Mapping[str, object]) -> Plan:
    """Returns what to evaluate. Raises Unusable for the first part that cannot be used."""
    selector = _expression("selector.query", _mapping(entry.get("selector")).get("query"))
    expressions: list[Expression] = []
    tree = _entity(_mapping(_mapping(entry.get("port")).get("entity")).get("mappings"), expressions)
    port = port_config(entry)
    if port.items_to_parse is None:
        return Plan(selector, tuple(expressions), tree)
    path = deletion_path(port.items_to_parse) or "."
    items = Expression("port.itemsToParse", port.items_to_parse)
    transform = Expression("port.itemsToParse", f". | del({path})")
    return Plan(
        selector,
        tuple(expressions),
        tree,
        items,
        transform if port.items_to_parse_top_level_transform else None,
        port.items_to_parse_name,
    )


def constant_blueprint(mappings: Mapping[str, object]) -> str | None:
    """Returns the blueprint if the mapping has it as a JQ string; None if it is computed."""
    text = mappings.get("blueprint")
    if not isinstance(text, str):
        return None
    text = double_quoted(text).strip()
    if not re.fullmatch(r'"(?:[^"\\]|\\["\\/])*"', text):
        return None
    value: object = json.loads(text)
    return value if isinstance(value, str) else None


_PATH = re.compile(r"(?:\.\w+|\.\[[^\]]+\])(?:\.\w+|\[[^\]]+\]|\.\[[^\]]+\])*")


def deletion_path(expression: str) -> str | None:
    """Returns the path that `itemsToParseTopLevelTransform` deletes from the raw item.

    As in Port Ocean: the path at the start of the first part of the pipe that has one, within
    the parentheses if the expression starts with them; None if there is no such part.
    """
    chain = expression.strip()
    if chain.startswith("("):
        inner = re.match(r"\((.*?)\)", chain, re.DOTALL)
        if inner is None:
            return None
        chain = inner.group(1)
    for part in map(str.strip, chain.split("|")):
        if part.startswith("$") or re.match(r"\.\s+as\s+\$\w+", part):
            continue
        path = _PATH.match(part)
        if path:
            return path.group().strip()
    return None


_QUOTE = re.compile(r"""(?P<before>^|\s)'(?![\s"])|(?<![\s"])'(?P<after>\s|$)""")


def double_quoted(expression: str) -> str:
    """Returns the expression with its 'texts' as "texts", as Port Ocean reads them."""
    return _QUOTE.sub(lambda quote: f'{quote["before"] or ""}"{quote["after"] or ""}', expression)


def _entity(mappings: object, expressions: list[Expression]) -> dict[str, Tree]:
    if not isinstance(mappings, Mapping):
        raise Unusable(f"{MAPPINGS}: expected a mapping, got {_type(mappings)}")

    def add(field: str, value: object) -> int:
        expressions.append(_expression(field, value))
        return len(expressions) - 1

    def part(field: str, value: object) -> Tree:
        return query(field, value) if isinstance(value, Mapping) else add(field, value)

    def query(field: str, value: Mapping[str, object]) -> Tree:
        rules = value.get("rules")
        if not isinstance(rules, list):
            raise Unusable(f"{field}.rules: expected a list, got {_type(rules)}")
        return {
            "combinator": add(f"{field}.combinator", value.get("combinator")),
            "rules": [rule(f"{field}.rules[{place}]", each) for place, each in enumerate(rules)],
        }

    def rule(field: str, value: object) -> Tree:
        if not isinstance(value, Mapping):
            raise Unusable(f"{field}: expected a mapping, got {_type(value)}")
        keys = ("property", "operator", "value")
        if "rules" in value and not all(key in value for key in keys):
            return query(field, value)
        return {key: add(f"{field}.{key}", value.get(key)) for key in keys}

    tree: dict[str, Tree] = {}
    for key in (*REQUIRED, *OPTIONAL):
        if key in REQUIRED or key in mappings:
            value = mappings.get(key)
            if value is None and key in OPTIONAL:
                value = "null"
            field = f"{MAPPINGS}.{key}"
            tree[key] = part(field, value) if key in SEARCHABLE else add(field, value)
    for key in ("properties", "relations"):
        if key in mappings:
            group = mappings[key]
            if not isinstance(group, Mapping):
                raise Unusable(f"{MAPPINGS}.{key}: expected a mapping, got {_type(group)}")
            tree[key] = {
                str(name): part(f"{MAPPINGS}.{key}.{name}", value)
                if key == "relations"
                else add(f"{MAPPINGS}.{key}.{name}", value)
                for name, value in group.items()
            }
    return tree


def _expression(field: str, value: object) -> Expression:
    if isinstance(value, bool | int | float):
        value = json.dumps(value)
    if not isinstance(value, str):
        raise Unusable(f"{one_line(field)}: expected a JQ expression, got {_type(value)}")
    return Expression(field, value)


def _mapping(value: object) -> FrozenDict:
    return value if isinstance(value, FrozenDict) else EMPTY


def _type(value: object) -> str:
    return "nothing" if value is None else type(value).__name__.removeprefix("Frozen").lower()
