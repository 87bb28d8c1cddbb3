from __future__ import annotations

from ocean_actors.testing import ManualClock
from ocean_actors.throttle import Throttle


def test_a_burst_passes_and_the_rest_of_the_window_is_held_back() -> None:
    throttle = Throttle(ManualClock(), burst=2, seconds=10)
    assert [throttle.passes() for _ in range(4)] == [0, 0, None, None]


def test_the_first_event_of_the_next_window_tells_how_many_were_held_back() -> None:
    clock = ManualClock()
    throttle = Throttle(clock, burst=1, seconds=10)
    assert [throttle.passes() for _ in range(4)] == [0, None, None, None]
    clock.advance(9.9)
    assert throttle.passes() is None
    clock.advance(0.1)
    assert throttle.passes() == 4
    clock.advance(10)
    assert throttle.passes() == 0
