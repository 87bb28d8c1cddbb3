"""The same random walks, through the real actors: they publish and show what the machine decides.

The onlooker of `guarantees.py` watches the machine, so what holds for it holds for the actors.
"""

from __future__ import annotations

from typing import Any

from coordinator_rig import CoordinatorRig
from hypothesis import settings
from walks import LONG, Walk

from ocean_actors.resync.machine import Phase, State


def shown(state: State) -> str:
    if state.standby:
        return "standby"
    return "paused" if state.pauses and state.phase is Phase.IDLE else state.phase.value


class WalkOfActors(Walk):
    rig = None

    def carry_out(self, action: Any) -> None:
        if self.rig is None:
            self.rig = CoordinatorRig(self.simulation.settings)
        super().carry_out(action)
        self.rig.do(action)
        assert self.rig.events() == self.simulation.events
        status = self.rig.status()
        state = self.simulation.state
        assert status["state"] == shown(state)
        assert [each["owner"] for each in status["pauses"]] == self.simulation.paused
        assert [each["trigger"] for each in status["pending"]] == [
            request.trigger for request in state.pending
        ]
        assert status["late"] == self.simulation.late
        handlers = sorted(handler for _, handler in self.simulation.at_work)
        assert (status["run"] or {"handlers": []})["handlers"] == handlers

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            if self.rig is not None:
                self.rig.close()


TestRealActors = WalkOfActors.TestCase
TestRealActors.settings = settings(LONG, max_examples=20, stateful_step_count=60)
