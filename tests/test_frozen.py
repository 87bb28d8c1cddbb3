"""Frozen data is safe to share, to compare and to send, and its depth is bounded."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from ocean_actors.errors import OceanError
from ocean_actors.frozen import MAX_DEPTH, FrozenDict, FrozenList, NestedTooDeeply, freeze


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for number in range(levels - 1):
        value = {"a": value} if number % 2 else {"a": [value]}
    return value


def test_frozen_data_equals_its_source_and_cannot_be_changed() -> None:
    frozen = freeze({"a": [1, {"b": 2}]})
    assert frozen == {"a": [1, {"b": 2}]}
    assert (type(frozen), type(frozen["a"])) == (FrozenDict, FrozenList)
    changes: tuple[Callable[[], object], ...] = (
        lambda: frozen.update(a=1),
        lambda: frozen["a"].append(1),
    )
    for change in changes:
        with pytest.raises(TypeError, match="cannot be changed"):
            change()


class OddText(str):
    """A text that neither compares nor hashes well once it is told to."""

    __slots__ = ()
    odd = False

    def __eq__(self, other: object) -> bool:
        if self.odd:
            raise OSError("no ==")
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        if self.odd:
            raise OSError("no hash")
        return str.__hash__(self)


def test_texts_become_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = freeze({OddText("a"): [OddText("b")]})
    monkeypatch.setattr(OddText, "odd", True)
    assert (type(next(iter(frozen))), type(frozen["a"][0])) == (str, str)
    assert hash(frozen) == hash(freeze({"a": ["b"]}))


@pytest.mark.parametrize("levels", [70, 900, 100_000])
def test_deep_data_is_refused_in_one_line(levels: int) -> None:
    with pytest.raises(NestedTooDeeply) as caught:
        freeze(nested(levels))
    assert str(caught.value) == f"the data is nested more than {MAX_DEPTH} levels deep"
    assert isinstance(caught.value, OceanError)


def test_data_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(NestedTooDeeply):
        freeze(loop)


def test_the_deepest_data_can_be_hashed_compared_copied_pickled_and_printed() -> None:
    deep = nested(66)  # each second level is a list in a dict
    one, other = freeze(deep), freeze(deep)
    assert hash(one) == hash(other)
    assert one == other == deep == copy.deepcopy(one)
    assert type(copy.deepcopy(one)) is dict
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301  (our own bytes)
    assert json.loads(json.dumps(one)) == json.loads(repr(one).replace("'", '"'))
