"""What is shown of a run in flight."""

from datetime import timedelta
from typing import Any

from coordinator_rig import NoWriter
from simulation import NOON

from ocean_actors import RunInfo
from ocean_actors.actors import CancelToken
from ocean_actors.frozen import FrozenDict
from ocean_actors.resync.flight import Flight


def test_a_clock_that_was_set_back_makes_no_run_shorter_than_nothing() -> None:
    info = RunInfo("run-1", 1, "test", "test", NOON, NOON, FrozenDict())
    writer: Any = NoWriter()
    flight = Flight(info, CancelToken(), writer)
    earlier, later = NOON - timedelta(hours=1), NOON + timedelta(seconds=5)
    assert (flight.seconds(earlier), flight.seconds(later)) == (0.0, 5.0)
    assert (flight.not_before_start(earlier), flight.not_before_start(later)) == (NOON, later)
    assert flight.as_data(earlier, 0.0, frozenset())["seconds"] == 0.0
