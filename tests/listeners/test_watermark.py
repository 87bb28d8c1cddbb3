"""What calls for a resync, and what was seen before."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.frozen import FrozenDict, freeze
from ocean_actors.listeners.watermark import REMEMBERED, Watermark
from ocean_actors.messages import PortRequest

NOON = datetime(2026, 10, 1, 12, tzinfo=timezone.utc)
OLD = freeze({"resources": []})
NEW = freeze({"resources": [{"kind": "repository"}]})


def request(name: str, minutes: int | None = 0) -> PortRequest:
    return PortRequest(name, None if minutes is None else NOON + timedelta(minutes=minutes))


def test_the_first_answer_is_the_baseline() -> None:
    seen, reason = Watermark().advance(OLD, request("a"), "start")
    assert reason == "start"
    assert seen.advance(OLD, request("a"), "start") == (seen, None)


def test_a_new_request_and_a_new_config_make_one_resync() -> None:
    seen, _ = Watermark().advance(OLD, request("a"), None)
    seen, reason = seen.advance(NEW, request("b", 1), None)
    assert reason == "configuration changed, resync requested"
    assert seen.advance(NEW, request("b", 1), None)[1] is None


def test_a_request_is_new_though_its_time_is_earlier_than_what_was_seen() -> None:
    """Port's clock was set back, or one request was dated into the future."""
    seen, _ = Watermark().advance(OLD, request("future", 10_000), None)
    seen, reason = seen.advance(OLD, request("now", 1), None)
    assert reason == "resync requested"


def test_a_request_without_a_readable_time_is_told_by_its_id() -> None:
    seen, _ = Watermark().advance(OLD, request("a", None), None)
    seen, reason = seen.advance(OLD, request("b", None), None)
    assert reason == "resync requested"
    assert seen.advance(OLD, request("b", None), None)[1] is None


def test_the_same_id_at_another_time_is_a_new_request() -> None:
    seen, _ = Watermark().advance(OLD, request("a", 0), None)
    assert seen.advance(OLD, request("a", 1), None)[1] == "resync requested"


def test_an_older_answer_of_one_of_port_s_servers_requests_nothing_again() -> None:
    seen, _ = Watermark().advance(OLD, request("a"), None)
    seen, _ = seen.advance(OLD, request("b", 1), None)
    for name, minutes in (("a", 0), ("b", 1), ("a", 0)):
        seen, reason = seen.advance(OLD, request(name, minutes), None)
        assert reason is None


def test_a_run_answers_for_its_config_and_request() -> None:
    seen, _ = Watermark().advance(OLD, request("a"), None)
    seen = seen.ran(NEW, request("b", 1))
    assert seen.advance(NEW, request("b", 1), None)[1] is None


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(-5, 5), st.sampled_from([OLD, NEW])),
        max_size=60,
    )
)
def test_whatever_port_s_clock_does_an_answer_that_does_not_change_requests_nothing(
    answers: list[tuple[str, int, FrozenDict]],
) -> None:
    seen = Watermark()
    for name, minutes, config in answers:
        seen, _ = seen.advance(config, request(name, minutes), None)
        again, reason = seen.advance(config, request(name, minutes), None)
        assert (again, reason) == (seen, None)
        assert len(seen.requests) <= REMEMBERED
