from __future__ import annotations

from ocean_actors.testing import ManualClock
from ocean_actors.throttle import Admission, Throttle

ADMITTED = Admission(admitted=True)
REFUSED = Admission(admitted=False)


def test_a_burst_is_admitted_and_the_rest_of_the_window_is_refused() -> None:
    throttle = Throttle(ManualClock(), burst=2, seconds=10)
    assert [throttle.admit() for _ in range(4)] == [ADMITTED, ADMITTED, REFUSED, REFUSED]


def test_the_first_event_of_the_next_window_tells_how_many_were_suppressed() -> None:
    clock = ManualClock()
    throttle = Throttle(clock, burst=1, seconds=10)
    assert [throttle.admit() for _ in range(4)] == [ADMITTED, REFUSED, REFUSED, REFUSED]
    clock.advance(9.9)
    assert throttle.admit() == REFUSED
    clock.advance(0.1)
    assert throttle.admit() == Admission(admitted=True, suppressed=4)
    clock.advance(10)
    assert throttle.admit() == ADMITTED


def test_the_line_of_an_admitted_event_ends_with_the_number_of_suppressed_ones() -> None:
    assert Admission(admitted=True, suppressed=4).more == " (and 4 more like it)"
    assert ADMITTED.more == ""
