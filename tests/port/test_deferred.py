"""Which entities of an upsert are tried again, and in which order."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.messages import FailedEntity
from ocean_actors.port.batches import Item, encode
from ocean_actors.port.deferred import KEPT_BYTES, Deferred, Waiting, levels, relations_of, split

SEARCH = {"combinator": "and", "rules": []}


def item(name: str, *parents: object, **rest: Any) -> Item:
    found = encode({"identifier": name, "relations": {"parents": list(parents)}, **rest})
    assert isinstance(found, Item)
    return found


def refusal(name: str, status: int = 404) -> FailedEntity:
    return FailedEntity(name, status, "not_found", "something is missing")


def waiting(name: str, *parents: str, refused: bool = True) -> Waiting:
    each = item(name, *parents)
    return Waiting(each, relations_of(each), refusal(name) if refused else None)


def names(groups: Any) -> list[list[str]]:
    return [[each.identifier for each in group] for group in groups]


def test_only_what_lacks_a_relation_is_taken_and_what_comes_after_it() -> None:
    deferred = Deferred()
    assert not deferred.takes(item("a", "b"))
    assert not deferred.takes(item("a", "b"), refusal("a", 422))
    assert not deferred.takes(item("a"), refusal("a"))
    assert not deferred.takes(item("a", "a"), refusal("a"))  # Port accepts a relation to itself
    assert deferred.takes(item("a", "b"), refusal("a"))
    assert deferred.takes(item("a"))
    assert [each.failure is None for each in deferred.close()] == [False, True]
    assert not deferred.takes(item("a", "b"), refusal("a"))


def test_a_search_query_may_find_what_comes_later() -> None:
    found = encode({"identifier": "a", "relations": {"parent": SEARCH}})
    assert isinstance(found, Item)
    deferred = Deferred()
    assert deferred.takes(found, refusal("a"))
    hopeful, failures = split(deferred.close(), frozenset())
    assert (len(hopeful), failures) == (1, [])


def test_what_is_kept_is_bounded() -> None:
    deferred = Deferred()
    large = item("large", "b", title="x" * (KEPT_BYTES - 100))
    assert deferred.takes(large, refusal("large"))
    assert not deferred.takes(item("small", "b"), refusal("small"))
    assert deferred.takes(large)  # else the older one would be written last


def test_without_hope_it_has_failed() -> None:
    kept = [waiting("a", "written"), waiting("b", "a"), waiting("c", "nobody")]
    hopeful, failures = split(kept, frozenset({"written"}))
    assert [each.item.identifier for each in hopeful] == ["a", "b"]
    assert failures == [refusal("c")]


def test_an_entity_comes_after_those_to_which_it_relates() -> None:
    kept = [waiting("a", "b"), waiting("b", "c"), waiting("c", "x"), waiting("d", "x")]
    assert names(levels(kept, frozenset({"x"}))) == [["c", "d"], ["b"], ["a"]]


def test_what_is_written_is_not_waited_for() -> None:
    kept = [waiting("a", "b"), waiting("b", "a", refused=False)]
    assert names(levels(kept, frozenset({"b"}))) == [["a"], ["b"]]


def test_in_a_circle_they_come_one_by_one_after_the_others() -> None:
    kept = [waiting("a", "b"), waiting("b", "a"), waiting("c", "d"), waiting("d", "x")]
    assert names(levels(kept, frozenset())) == [["d"], ["c"], ["a"], ["b"]]


def test_in_a_circle_the_older_come_first_in_whatever_order_they_were_refused() -> None:
    old, new, related = waiting("b", "a"), waiting("b", refused=False), waiting("a", "b")
    for kept in ([old, new, related], [old, related, new], [related, old, new]):
        assert list(levels(kept, frozenset())) == [[old.item], [new.item], [related.item]]


def test_a_circle_that_ends_with_an_older_one_leaves_the_newest_in_order() -> None:
    kept = [waiting("b", "a"), waiting("b", "c"), waiting("a", "b")]
    assert names(levels(kept, frozenset({"c"}))) == [["b"], ["b"], ["a"]]
    kept = [waiting("b", "z"), waiting("b", refused=False), waiting("z", "b"), waiting("a", "z")]
    assert names(levels(kept, frozenset())) == [["b"], ["b"], ["z"], ["a"]]


few = st.sampled_from("abcdef")


@given(st.lists(st.tuples(few, st.lists(few, max_size=2)), max_size=12), st.frozensets(few))
def test_each_comes_once_and_those_of_one_name_in_order(
    given_: list[tuple[str, list[str]]], written: frozenset[str]
) -> None:
    kept = [waiting(name, *parents) for name, parents in given_]
    groups = list(levels(kept, written))
    flat = [each for group in groups for each in group]
    assert sorted(map(id, flat)) == sorted(id(each.item) for each in kept)
    for name in "abcdef":
        expected = [each.item for each in kept if each.item.identifier == name]
        assert [each for each in flat if each.identifier == name] == expected
    for group in groups:
        assert len({each.identifier for each in group}) == len(group)
