"""What is read from an entry of Port's mapping, whatever its shape."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapped import Mapped, entry

from ocean_actors.frozen import freeze
from ocean_actors.mapping.entry import (
    Unusable,
    constant_blueprint,
    deletion_path,
    plan_of,
    port_config,
)
from ocean_actors.mapping.errors import MappingError
from ocean_actors.mapping.process import JqProcess

THING = {"identifier": ".id", "blueprint": '"thing"'}


def mapped(*entries: Any) -> Mapped:
    return Mapped(list(entries), JqProcess)


def test_the_entries_of_a_kind_in_their_order() -> None:
    one, other = entry(THING, "true"), entry(THING, "false", itemsToParse=".xs")
    mapping = mapped(one, entry(THING, kind="other"), other).mapping
    first, second = mapping.resources("thing")
    assert (first.kind, first.index, first.blueprint) == ("thing", 0, "thing")
    assert first.selector == {"query": "true"}
    assert first.port.entity.mappings == THING
    assert first.config == one
    assert (second.index, second.selector["query"]) == (2, "false")
    assert (second.port.items_to_parse, second.port.items_to_parse_name) == (".xs", "item")
    assert second.port.items_to_parse_top_level_transform
    assert mapping.kinds == ("thing", "other")


def test_a_resource_cannot_be_changed() -> None:
    resource = mapped(entry(THING)).only()
    with pytest.raises(dataclasses.FrozenInstanceError):
        resource.kind = "other"  # type: ignore[misc]  # that is the test
    with pytest.raises(TypeError, match="cannot be changed"):
        resource.port.entity.mappings["title"] = "x"


def test_a_kind_that_the_mapping_does_not_have_is_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mapping = mapped(entry(THING), entry(THING, kind="team")).mapping
    assert mapping.resources("isue\n") == ()
    assert mapping.resources("isue\n") == ()
    (line,) = (record.getMessage() for record in caplog.records if record.levelno > logging.INFO)
    assert line == "Port's mapping has no entry for kind 'isue\\n'; it has entries for thing, team"


@pytest.mark.parametrize(
    ("mappings", "problem"),
    [
        (None, "port.entity.mappings: expected a mapping, got nothing"),
        ({"blueprint": '"b"'}, "identifier: expected a JQ expression, got nothing"),
        ({**THING, "properties": {"url": None}}, "properties.url: expected a JQ expression"),
        ({**THING, "properties": {"url": {"a": ".b"}}}, "url: expected a JQ expression, got dict"),
        ({**THING, "properties": []}, "properties: expected a mapping, got list"),
        ({**THING, "relations": {"r": {"combinator": '"and"'}}}, "r.rules: expected a list"),
        ({**THING, "relations": {"r": {"rules": [1]}}}, "r.combinator: expected a JQ expression"),
        ({**THING, "title": ".a ||"}, r"mappings\.title: JQ cannot parse it: .* line 1, column 5"),
        (
            {**THING, "properties": {"url": ".a\n| x("}},
            r"properties\.url: JQ cannot parse it: .* line 2, column 4",
        ),
        ({**THING, "title": 'include "x"; .'}, "title: JQ cannot parse it: import and include"),
    ],
)
def test_an_entry_that_cannot_be_used_says_which_part_and_where(
    mappings: Any, problem: str
) -> None:
    opened = mapped(entry(THING), entry(mappings, kind="bad"))
    with pytest.raises(MappingError, match=problem) as raised:
        opened.only("bad").entities([{"id": "a"}])
    assert str(raised.value).startswith("Port's mapping, entry 1 (kind bad): ")
    assert "\n" not in str(raised.value)
    assert [entity["identifier"] for entity in opened.only().entities([{"id": "a"}])] == ["a"]
    opened.mapping.close()


def test_a_selector_without_a_query_cannot_be_used() -> None:
    with pytest.raises(Unusable, match=r"selector\.query: expected a JQ expression, got nothing"):
        plan_of(freeze({"kind": "thing", "port": {"entity": {"mappings": THING}}}))


@pytest.mark.parametrize(
    ("text", "blueprint"),
    [
        ('"issue"', "issue"), ("'issue'", "issue"), (' "issue" ', "issue"), (".type", None),
        ('"a" + "b"', None), ('"\\(.x)"', None), (None, None), (7, None),
    ],
)  # fmt: skip
def test_the_blueprint_is_known_if_it_is_a_constant(text: Any, blueprint: str | None) -> None:
    assert constant_blueprint({"blueprint": text}) == blueprint


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from([
            "port", "entity", "mappings", "identifier", "blueprint", "title", "properties",
            "relations", "rules", "combinator", "itemsToParse", "selector", "query", "kind", "x",
        ]),
        inner, max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_an_entry_of_any_shape_is_read_or_refused(shape: Any) -> None:
    config = freeze({"kind": "thing", "selector": {"query": "true"}, "port": shape})
    assert port_config(config).items_to_parse_name
    with contextlib.suppress(Unusable):
        assert {"identifier", "blueprint"} <= set(plan_of(config).tree)


@given(JSON)
def test_resources_of_any_shape_are_read(shape: Any) -> None:
    opened = Mapped(shape if isinstance(shape, list) else [shape], JqProcess)
    for kind in opened.mapping.kinds:
        assert opened.mapping.resources(kind)
    opened.mapping.close()


@given(st.text())
def test_a_path_to_delete_is_found_or_not(expression: str) -> None:
    path = deletion_path(expression)
    assert path is None or (path.startswith(".") and path in expression)


def test_selectors_of_the_integration_are_kept() -> None:
    given = entry(THING)
    given["selector"]["includeArchived"] = True
    assert mapped(given).only().selector.get("includeArchived") is True
    assert json.dumps(mapped(given).only().config)
