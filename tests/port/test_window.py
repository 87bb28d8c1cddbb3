"""The pure decisions about batches in flight."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.port.window import SLOW_SECONDS, SPACING, Claim, Window


def claim(*names: str, blueprint: str = "package", whole: bool = False) -> Claim:
    return Claim(blueprint, frozenset(names), whole)


def filled(limit: int, *claims: Claim) -> Window:
    window = Window(limit)
    for each in claims:
        window = window.asked(each)
    return window


def flying(window: Window) -> list[int]:
    return list(window.in_flight)


def test_as_many_batches_go_as_the_limit_says_and_the_others_in_order() -> None:
    window = filled(2, *(claim(str(n)) for n in range(4)))
    assert (flying(window), list(window.waiting), window.room) == ([1, 2], [3, 4], -2)
    window = window.ended(2, 0.0, 0.1, answered=True)
    assert (flying(window), list(window.waiting)) == ([1, 3], [4])


def test_an_identifier_that_comes_again_waits_for_its_earlier_batch_and_others_pass() -> None:
    window = filled(8, claim("a", "b"), claim("b", "c"), claim("c", "d"), claim("e"))
    assert flying(window) == [1, 4]  # 3 waits for 2, which waits for 1
    window = window.without(1)
    assert flying(window) == [4, 2]
    assert flying(window.without(2)) == [4, 3]


def test_the_same_identifier_of_another_blueprint_is_another_entity() -> None:
    assert flying(filled(8, claim("a"), claim("a", blueprint="team"))) == [1, 2]


def test_a_batch_with_a_search_query_goes_alone_in_its_blueprint() -> None:
    window = filled(8, claim("a"), claim(whole=True), claim("b"), claim("c", blueprint="team"))
    assert flying(window) == [1, 4]
    assert flying(window.without(1)) == [4, 2]
    assert flying(window.without(1).without(2)) == [4, 3]


def test_a_batch_that_is_given_up_leaves_its_place() -> None:
    window = filled(1, claim("a"), claim("b"), claim("c")).without(2)
    assert list(window.without(1).in_flight) == [3]


def test_refusals_halve_the_window_once_a_second_down_to_one() -> None:
    window = Window(8).refused(10.0).refused(10.1)
    assert window.size == 4
    for n in range(1, 6):
        window = window.refused(10.0 + n * SPACING)
    assert window.size == 1
    assert flying(window.asked(claim("a"))) == [1]  # it never stands still


def test_answers_widen_it_again_but_not_those_to_what_was_sent_before() -> None:
    window = Window(8).refused(10.0)
    window = window.ended(0, 9.9, 10.2, answered=True)
    assert window.size == 4
    for n in range(4):
        window = window.ended(0, 10.1 + n, 10.2 + n, answered=True)
    assert 4.8 < window.size <= 5
    for n in range(100):
        window = window.ended(0, 20.0 + n, 20.1 + n, answered=True)
    assert window.size == 8


def test_answers_that_become_slow_halve_the_window() -> None:
    window = Window(8)
    for n in range(10):
        window = window.ended(0, n, n + 0.2, answered=True)
    assert window.ended(0, 20.0, 20.5, answered=True).size == 8
    assert window.ended(0, 20.0, 20.7 + SLOW_SECONDS, answered=True).size == 4
    assert window.ended(0, 20.0, 40.0, answered=False).size == 8  # it has no answer


@given(st.data())
def test_whatever_happens_no_entity_is_in_two_batches_and_nothing_is_stuck(data: Any) -> None:
    limit = data.draw(st.integers(1, 8))
    claims = data.draw(
        st.lists(
            st.builds(
                Claim,
                st.sampled_from(["a", "b"]),
                st.frozensets(st.sampled_from("uvwxyz"), max_size=3),
                st.booleans(),
            ),
            max_size=30,
        )
    )
    window, left, now = Window(limit), list(claims), 0.0
    sent: list[int] = []
    while left or window.in_flight:
        now += data.draw(st.sampled_from([0.01, 0.5, 3.0]))
        kinds = ["ask"] * bool(left) + ["answer", "fail", "refuse"] * bool(window.in_flight)
        kind = data.draw(st.sampled_from(kinds))
        if kind == "ask":
            window = window.asked(left.pop(0))
        elif kind == "refuse":
            window = window.refused(now)
        else:
            number = data.draw(st.sampled_from(sorted(window.in_flight)))
            window = window.ended(number, now - 0.1, now, answered=kind == "answer")
        sent += [number for number in window.in_flight if number not in sent]
        together = list(window.in_flight.values())
        assert 1 <= window.size <= limit
        assert len(together) <= limit
        assert not any(a.conflicts(b) for a in together for b in together if a is not b)
    assert not window.waiting
    assert sorted(sent) == list(range(1, len(claims) + 1))
    for first in sent:  # those that conflict went in the order in which they came
        for second in sent[sent.index(first) :]:
            assert first <= second or not claims[first - 1].conflicts(claims[second - 1])
