"""A request that preempts a run is served soon, and a burst of them by one further run.

The clock is turned by hand, so the gaps between the requests of a burst are exact.
"""

from __future__ import annotations

import pytest
from scripted import Script

from ocean_actors import ResyncHandler, RunEnded
from ocean_actors.testing import ManualClock, SandboxedSystem, wait_idle

CALM = {"type": "POLLING", "interval": 86_400}
WITHIN = 30.0


class Rig(SandboxedSystem):
    """A system under `abort` whose clock is turned by hand."""

    def __init__(self, handler: type[ResyncHandler]) -> None:
        self.clock = ManualClock()
        super().__init__([handler], clock=self.clock, eventListener=CALM)

    def turn(self, seconds: float) -> None:
        """Let time pass; handlers may be at work meanwhile."""
        self.clock.advance(seconds, self.settle)
        self.settle()

    def settle(self) -> None:
        wait_idle(self.system._actors, WITHIN, parked="handler-*")


@pytest.mark.parametrize("stutter", [0.0, 0.05], ids=["at once", "with gaps of 50 ms"])
def test_a_burst_of_ten_thousand_makes_one_further_run(
    script: Script, handler: type[ResyncHandler], stutter: float
) -> None:
    with Rig(handler) as rig:
        script.wait_until_at_work()
        for number in range(10_000):
            rig.system.request_resync(f"burst {number}")
            if stutter and number % 1_000 == 500:
                rig.turn(stutter)
        assert rig.expect(RunEnded).status == "aborted"
        rig.turn(1.0)
        script.wait_until_at_work()
        script.let_finish()
        ended = rig.expect(RunEnded)
        assert (ended.run.reason, ended.status) == ("burst 9999", "completed")
        assert ended.run.number == 2
        rig.turn(60.0)
        assert rig.system.status()["resync"]["state"] == "idle"


def test_a_lone_request_starts_the_next_run_after_ten_to_twenty_milliseconds(
    script: Script, handler: type[ResyncHandler]
) -> None:
    with Rig(handler) as rig:
        for _ in range(2):
            script.wait_until_at_work()
            rig.system.request_resync("lone")
            assert rig.expect(RunEnded).status == "aborted"
            rig.turn(0.0099)
            assert rig.system.status()["resync"]["state"] == "waiting"
            rig.turn(0.0101)
        script.wait_until_at_work()
        script.let_finish()
        ended = rig.expect(RunEnded)
        assert (ended.run.number, ended.status) == (3, "completed")
