"""How fast a handler gets on, and how long the rest takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.resync.progress_rate import KEPT, ProgressRate


def observed(*reports: tuple[float, float], total: float | None = None) -> ProgressRate:
    progress = ProgressRate()
    for moment, done in reports:
        progress = progress.observed(moment, done, total)
    return progress


def test_the_rate_and_the_time_left_follow_from_the_reports() -> None:
    progress = observed((0.0, 0), (5.0, 50), (10.0, 100), total=400)
    assert progress.rate(10.0) == 10.0
    assert progress.seconds_left(10.0) == 30.0


def test_nothing_is_told_from_one_report_or_without_a_total() -> None:
    assert observed((0.0, 5), total=10).rate(0.5) is None
    assert ProgressRate().seconds_left(9.0) is None
    progress = observed((0.0, 0), (5.0, 50))
    assert (progress.rate(5.0), progress.seconds_left(5.0)) == (10.0, None)


def test_a_handler_that_stands_still_slows_down_and_its_end_is_not_told() -> None:
    progress = observed((0.0, 0), (10.0, 100), total=200)
    assert progress.rate(100.0) == 1.0
    assert observed((0.0, 5), total=10).seconds_left(60.0) is None


def test_an_old_rate_is_forgotten() -> None:
    slow = [(float(second), second) for second in range(0, 200, 2)]
    fast = [(200.0 + second, 200 + second * 100) for second in range(0, 100, 2)]
    assert observed(*slow, *fast).rate(298.0) == pytest.approx(100.0)


def test_counting_anew_begins_anew() -> None:
    progress = observed((0.0, 0), (10.0, 1000), (20.0, 0), (30.0, 10), total=20)
    assert progress.rate(30.0) == 1.0
    assert progress.seconds_left(30.0) == 10.0


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e9, 1e9)), max_size=100), st.floats(0, 1e6)
)
def test_it_is_bounded_and_never_negative(reports: list[tuple[float, float]], total: float) -> None:
    reports = sorted(reports)
    progress = observed(*reports, total=total)
    assert len(progress.samples) <= KEPT
    now = reports[-1][0] + 1.0 if reports else 0.0
    assert (progress.rate(now) or 0.0) >= 0.0
    assert (progress.seconds_left(now) or 0.0) >= 0.0
