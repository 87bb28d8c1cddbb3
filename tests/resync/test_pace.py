"""How fast a handler gets on, and how long the rest takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.resync.pace import KEPT, Pace


def paced(*reports: tuple[float, float], total: float | None = None) -> Pace:
    pace = Pace()
    for moment, done in reports:
        pace = pace.observed(moment, done, total)
    return pace


def test_the_rate_and_the_time_left_follow_from_the_reports() -> None:
    pace = paced((0.0, 0), (5.0, 50), (10.0, 100), total=400)
    assert pace.rate(10.0) == 10.0
    assert pace.seconds_left(10.0) == 30.0


def test_nothing_is_told_from_one_report_or_without_a_total() -> None:
    assert paced((0.0, 5), total=10).rate(0.5) is None
    assert Pace().seconds_left(9.0) is None
    pace = paced((0.0, 0), (5.0, 50))
    assert (pace.rate(5.0), pace.seconds_left(5.0)) == (10.0, None)


def test_a_handler_that_stands_still_slows_down_and_its_end_is_not_told() -> None:
    pace = paced((0.0, 0), (10.0, 100), total=200)
    assert pace.rate(100.0) == 1.0
    assert paced((0.0, 5), total=10).seconds_left(60.0) is None


def test_an_old_pace_is_forgotten() -> None:
    slow = [(float(second), second) for second in range(0, 200, 2)]
    fast = [(200.0 + second, 200 + second * 100) for second in range(0, 100, 2)]
    assert paced(*slow, *fast).rate(298.0) == pytest.approx(100.0)


def test_counting_anew_begins_anew() -> None:
    pace = paced((0.0, 0), (10.0, 1000), (20.0, 0), (30.0, 10), total=20)
    assert pace.rate(30.0) == 1.0
    assert pace.seconds_left(30.0) == 10.0


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e9, 1e9)), max_size=100), st.floats(0, 1e6)
)
def test_it_is_bounded_and_never_negative(reports: list[tuple[float, float]], total: float) -> None:
    reports = sorted(reports)
    pace = paced(*reports, total=total)
    assert len(pace.samples) <= KEPT
    now = reports[-1][0] + 1.0 if reports else 0.0
    assert (pace.rate(now) or 0.0) >= 0.0
    assert (pace.seconds_left(now) or 0.0) >= 0.0
