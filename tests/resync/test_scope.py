"""What requests ask for together."""

import copy
import functools
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulation import NOON

from ocean_actors import ResyncRequested
from ocean_actors.errors import UnknownKind
from ocean_actors.resync.scope import all_kinds, joined, require_known, scope_of

KINDS = [None, "a", "b", "c", "ab", "ba", "aa", "bc", "cab"]
SCOPES = st.sampled_from(list(itertools.product(KINDS, [{}, {"since": 1}, {"since": 2}])))


def request(kinds: Any = None, parameters: Any = None, trigger: str = "manual") -> ResyncRequested:
    return ResyncRequested(
        reason="", trigger=trigger, requested_at=NOON, kinds=kinds, parameters=parameters
    )


@given(st.lists(SCOPES, min_size=1, max_size=4))
def test_a_run_does_what_each_request_asks_for_in_whatever_order_they_came(
    scopes: list[tuple[str | None, dict[str, Any]]],
) -> None:
    requests = [request(kinds and list(kinds), parameters) for kinds, parameters in scopes]
    together = scope_of(requests)
    for each in requests:
        if each.kinds is None:
            assert together.kinds is None
        elif together.kinds is not None:
            assert together.kinds.issuperset(each.kinds)
    if any(each.parameters != requests[0].parameters for each in requests):
        assert together.parameters == {}
    else:
        assert together.parameters == requests[0].parameters
    for order in itertools.permutations(requests):
        assert scope_of([functools.reduce(joined, order)]) == together


def test_a_later_request_keeps_its_identity() -> None:
    older, newer = request(("a",)), request(("b",))
    assert joined(older, newer).id == newer.id
    assert joined(older, newer).kinds == ("a", "b")
    assert joined(newer, newer) is newer


@pytest.mark.parametrize(
    ("kinds", "error"),
    [((), ValueError), (7, TypeError), ((1,), TypeError), (("a", None), TypeError)],
)
def test_kinds_of_a_wrong_type_are_refused(kinds: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^kinds: "):
        request(kinds)


@pytest.mark.parametrize("parameters", [7, ["a"], {"a": {1, 2}}])
def test_parameters_are_json_like(parameters: Any) -> None:
    with pytest.raises(TypeError, match=r"^parameters: "):
        request(parameters=parameters)


def test_one_text_is_one_kind_and_parameters_are_frozen() -> None:
    asked = request("issue", {"since": [1]})
    assert asked.kinds == ("issue",)
    with pytest.raises(TypeError):
        asked.parameters["since"].append(2)


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    known = all_kinds({"one": ("a", "b"), "two": ("b", "c"), "three": ()})
    assert known == ("a", "b", "c")
    with pytest.raises(UnknownKind, match=r"^kinds: 'x' is unknown; .* a, b, c$") as caught:
        require_known(("a", "x"), known)
    assert isinstance(caught.value, ValueError)
    assert str(copy.copy(caught.value)) == str(caught.value)
    require_known(None, ())
    with pytest.raises(UnknownKind, match="no handler declares a kind"):
        require_known(("x",), ())
