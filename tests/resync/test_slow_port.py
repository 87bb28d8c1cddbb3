"""A Port that takes its time for every answer delays a run, and never puts it off for ever."""

from __future__ import annotations

import pytest
from simulation import NOON

from ocean_actors.messages import ResyncRequested
from ocean_actors.resync.machine import (
    MOST_QUIET_WAITS,
    AskConfig,
    ConfigReady,
    Request,
    StartRun,
    State,
    Wait,
    WaitOver,
    step,
)

REQUEST = Request(ResyncRequested(reason="", trigger="manual", requested_at=NOON))


@pytest.mark.parametrize("waits_too", [False, True])
def test_requests_that_come_during_every_answer_cost_four_questions_at_the_most(
    waits_too: bool,
) -> None:
    state, outputs = step(State(frozenset({"one"})), REQUEST)
    questions = waits = 0
    while not any(isinstance(output, StartRun) for output in outputs):
        (output,) = outputs
        if isinstance(output, AskConfig):
            questions += 1
            state, _ = step(state, REQUEST)  # while Port is asked
            state, outputs = step(state, ConfigReady(output.run))
        elif isinstance(output, Wait):
            waits += 1
            if waits_too:
                state, _ = step(state, REQUEST)
            state, outputs = step(state, WaitOver(output.number))
    assert questions == 4
    assert waits == (MOST_QUIET_WAITS if waits_too else 1)
