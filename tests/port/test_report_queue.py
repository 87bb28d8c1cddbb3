"""Which reports still matter while Port cannot be reached."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import groupby
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from ocean_actors.frozen import FrozenDict
from ocean_actors.port.reports import Report, Schedule, enqueue

KEPT = 3
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def report(run: int, kind: Literal["left", "start", "end"]) -> Report:
    return Report(run, kind, FrozenDict())


@settings(derandomize=True)
@given(st.booleans(), st.lists(st.integers(0, 3), max_size=120))
def test_whenever_port_takes_reports_what_it_sees_is_legal(left: Any, pauses: Any) -> None:
    """Reports of runs come one by one; between them Port takes some of those that wait."""
    coming = [
        report(1 + number // 2, "end" if number % 2 else "start") for number in range(len(pauses))
    ]
    queue: tuple[Report, ...] = (report(0, "left"),) if left else ()
    seen: list[Report] = []
    for each, taken in zip(coming, pauses, strict=True):
        before, queue = queue, enqueue(queue, each, KEPT)
        assert not before or queue[0] is before[0], "it may be on its way"
        assert queue[-1] is each, "the newest always matters"
        assert len(queue) <= 2 * KEPT + 2, "bounded"
        seen += queue[: taken // 2]  # half of the time Port is away
        queue = queue[taken // 2 :]
    record = [*seen, *queue]
    for run, reports in groupby(record, lambda item: item.run):
        kinds = [item.kind for item in reports]
        if run == 0:
            assert kinds == ["left"]
        elif run == (coming[-1].run if coming else None):
            assert kinds == [item.kind for item in coming if item.run == run]
        else:
            assert kinds == ["start", "end"]
    runs = [run for run, _ in groupby(record, lambda item: item.run)]
    assert runs == sorted(set(runs)), "in their order, and never interleaved"


def test_while_there_is_room_no_report_is_left_out() -> None:
    queue: tuple[Report, ...] = ()
    for run in range(1, KEPT + 1):
        for kind in ("start", "end"):
            queue = enqueue(queue, report(run, kind), KEPT)
    assert len(queue) == 2 * KEPT


def test_the_schedule_tells_its_next_beat_whenever_it_is_asked() -> None:
    schedule = Schedule(NOON, minutes=20)
    minute = timedelta(minutes=1)
    asked = [NOON, NOON + minute, NOON + 20 * minute, NOON + 61 * minute]
    beats = [(schedule.next_after(moment) - NOON) / minute for moment in asked]
    assert beats == [20, 20, 40, 80]


def test_a_schedule_goes_on_in_phase_with_what_port_says_is_next() -> None:
    schedule = Schedule(NOON, minutes=20)
    minute = timedelta(minutes=1)
    schedule.go_on(None)
    assert schedule.seconds_to_next(NOON + minute) == 19 * 60
    for known in (NOON + 27 * minute, NOON - 13 * minute):  # to come, or missed
        schedule.go_on(known)
        assert schedule.next_after(NOON + 10 * minute) == NOON + 27 * minute
