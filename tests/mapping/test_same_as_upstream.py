"""The entities are those that Port Ocean makes: `cases.json` has what it did (`make_cases.py`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mapped import Mapped

from ocean_actors.actors import CancelToken
from ocean_actors.mapping.errors import MappingError
from ocean_actors.mapping.process import JqProcess

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "cases.json").read_text())
UNUSABLE = [case for case in CASES if case.get("refused") or case["unparsable"]]
USABLE = [case for case in CASES if case not in UNUSABLE]


def name(case: dict[str, Any]) -> str:
    return str(case["name"])


@pytest.fixture(scope="module")
def shared() -> Iterator[JqProcess]:
    """One process for all cases: to start one takes longer than to evaluate a case."""
    process = JqProcess(CancelToken())
    yield process
    process.close()


def test_the_table_is_broad() -> None:
    assert len(CASES) > 120
    assert len({name(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", USABLE, ids=name)
def test_entities_and_failures_are_those_of_port_ocean(
    case: dict[str, Any], shared: JqProcess
) -> None:
    mapped = Mapped([case["entry"]], lambda _token: shared)
    for item, expected in zip(case["items"], case["results"], strict=True):
        entities = mapped.only().entities([item])
        assert list(entities) == expected["entities"]
        assert entities.failed == expected["failed"]
        nulls = {f"port.entity.mappings.{each}" for each in expected["nulls"]}
        plain = {field.partition(".rules[")[0] for field in entities.field_errors}
        assert all(any(null.startswith(field) for null in nulls) for field in plain)
    assert bool(mapped.incomplete) == any(each["failed"] for each in case["results"])


@pytest.mark.parametrize("case", USABLE, ids=name)
def test_many_items_give_the_same_as_one_by_one(case: dict[str, Any], shared: JqProcess) -> None:
    mapped = Mapped([case["entry"]], lambda _token: shared)
    entities = list(mapped.only().entities(case["items"]))
    assert entities == [entity for each in case["results"] for entity in each["entities"]]


@pytest.mark.parametrize("case", UNUSABLE, ids=name)
def test_an_entry_that_port_ocean_would_fill_with_nulls_is_refused(
    case: dict[str, Any], shared: JqProcess
) -> None:
    mapped = Mapped([case["entry"]], lambda _token: shared)
    with pytest.raises(MappingError, match=r"entry 0 \(kind thing\): (port|selector)\."):
        mapped.only().entities(case["items"])
