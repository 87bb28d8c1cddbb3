"""Port's searches, as far as clients need them.

A query is `{combinator, rules: [{property, operator, value}]}`; a rule may be a query.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ocean_actors.sandbox.errors import invalid


class Searched(Protocol):
    """What a query is applied to: an entity."""

    def value(self, name: str) -> Any:
        """Returns the value of the property that a search rule names."""


Test = Callable[[Searched], bool]
Compare = Callable[[Any, Any], bool]


def _text(compare: Callable[[str, str], bool]) -> Compare:
    return lambda held, wanted: (
        isinstance(held, str) and isinstance(wanted, str) and compare(held, wanted)
    )


def _order(compare: Compare) -> Compare:
    def ordered(held: Any, wanted: Any) -> bool:
        numbers = all(isinstance(item, (int, float)) for item in (held, wanted))
        strings = all(isinstance(item, str) for item in (held, wanted))
        return (numbers or strings) and bool(compare(held, wanted))

    return ordered


def _contains(held: Any, wanted: Any) -> bool:
    if isinstance(held, list):
        return wanted in held
    return isinstance(held, str) and isinstance(wanted, str) and wanted in held


def _any_of(held: Any, wanted: Any) -> bool:
    return isinstance(wanted, list) and held in wanted


def _shares(held: Any, wanted: Any) -> bool:
    return (
        isinstance(held, list) and isinstance(wanted, list) and any(item in wanted for item in held)
    )


COMPARISONS: dict[str, Compare] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": _order(operator.gt),
    ">=": _order(operator.ge),
    "<": _order(operator.lt),
    "<=": _order(operator.le),
    "contains": _contains,
    "doesNotContains": lambda held, wanted: not _contains(held, wanted),
    "beginsWith": _text(str.startswith),
    "endsWith": _text(str.endswith),
    "in": _any_of,
    "notIn": lambda held, wanted: not _any_of(held, wanted),
    "containsAny": _shares,
    "isEmpty": lambda held, _wanted: held in (None, "", [], {}),
    "isNotEmpty": lambda held, _wanted: held not in (None, "", [], {}),
}


def compile_query(query: Any) -> Test:
    """Returns a test for entities. Raises ApiError 422 for an invalid query."""
    if not isinstance(query, dict) or not isinstance(query.get("rules"), list):
        raise invalid("query: must be an object with combinator and rules")
    combine = {"and": all, "or": any}.get(str(query.get("combinator")).lower())
    if combine is None:
        raise invalid('combinator: must be "and" or "or"')
    tests = [_rule(rule) for rule in query["rules"]]
    return lambda entity: _combined(combine, tests, entity)


def _combined(
    combine: Callable[[Iterable[bool]], bool], tests: list[Test], entity: Searched
) -> bool:
    return combine(test(entity) for test in tests)


def _rule(rule: Any) -> Test:
    if isinstance(rule, dict) and "rules" in rule:
        return compile_query(rule)
    if not isinstance(rule, dict) or not isinstance(rule.get("property"), str):
        raise invalid("rules: each must name a property")
    name, wanted = rule["property"], rule.get("value")
    compare = COMPARISONS.get(str(rule.get("operator")))
    if compare is None:
        raise invalid(f"operator: must be one of {', '.join(COMPARISONS)}")
    return lambda entity: compare(entity.value(name), wanted)
