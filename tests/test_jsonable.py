"""Any value becomes plain data that JSON can hold."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.jsonable import MAX_CHARACTERS, MAX_DEPTH, MAX_ITEMS, jsonable


class Level(enum.IntEnum):
    HIGH = 3


class Mute:
    def __str__(self) -> str:
        raise SystemExit

    __repr__ = __str__


class Deceiver:
    """Even asking for its class fails."""

    @property  # type: ignore[misc]  # of a kind that `object` does not foresee
    def __class__(self) -> type:
        raise OSError("no class")


class BrokenMapping(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        raise OSError


class LoudText(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise OSError


def written(value: object) -> Any:
    """What a strict reader of JSON gets."""
    return json.loads(json.dumps(jsonable(value), allow_nan=False).encode().decode())


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.datetimes() | st.complex_numbers() | st.from_type(type),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
)  # fmt: skip


@given(value=ANYTHING)
def test_any_value_can_be_written(value: object) -> None:
    written(value)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (True, True),
        (Level.HIGH, 3),
        (0.5, 0.5),
        (float("nan"), "nan"),
        (b"page", "b'page'"),
        (LoudText("text"), "text"),
        ("\ud800", "?"),
        ({1: (2, {3})}, {"1": [2, [3]]}),
        (datetime(2026, 1, 1, tzinfo=timezone.utc), "2026-01-01 00:00:00+00:00"),
        (1 << 100_000, "(integer of 100001 bits)"),
        (Mute(), "(its __str__ raised SystemExit)"),
        (Deceiver(), "(Deceiver cannot be shown: OSError: no class)"),
        ([BrokenMapping()], ["(BrokenMapping cannot be shown: KeyError: 'a')"]),
    ],
    ids=lambda _value: "value",  # pytest could not print some of them
)
def test_odd_values_become_text(value: object, plain: Any) -> None:
    assert written(value) == plain


def test_what_contains_itself_ends() -> None:
    loop: list[Any] = []
    loop.extend([loop, loop])
    assert len(json.dumps(jsonable(loop))) < 100 * MAX_ITEMS


def test_deep_nesting_ends_with_a_text() -> None:
    deep: Any = "bottom"
    for _ in range(100_000):
        deep = [deep]
    assert f"nested more than {MAX_DEPTH} levels deep" in json.dumps(jsonable(deep))


def test_huge_collections_and_texts_are_cut_and_say_so() -> None:
    many = jsonable([list(range(MAX_ITEMS)), {"a": 1}])
    assert many[0][-1] == "…"
    assert many[1] == {"…": "more"}
    assert len(many[0]) <= MAX_ITEMS + 1
    assert jsonable("x" * 10 * MAX_CHARACTERS) == "x" * (MAX_CHARACTERS - 1) + "…"
