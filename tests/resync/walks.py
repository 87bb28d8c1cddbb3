"""Random walks through what can happen to a coordinator."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from simulation import (
    Acted,
    Action,
    Answered,
    Passed,
    RoleGained,
    RoleLost,
    Simulation,
    StopWanted,
    asked,
)

from ocean_actors.settings import OnNewRequest, ResyncSettings, RetrySettings

ALL_SETTINGS = st.builds(
    ResyncSettings,
    on_new_request=st.sampled_from(OnNewRequest),
    abort_grace=st.sampled_from([0.0, 30.0]),
    max_consecutive_aborts=st.integers(1, 3),
    timeout=st.sampled_from([None, 100.0]),
    debounce=st.sampled_from([0.0, 5.0]),
    retry=st.builds(RetrySettings, attempts=st.integers(0, 2), backoff=st.just(10.0)),
)
WHAT = st.sampled_from(["return", "return", "return", "raise", "later"])


class Walk(RuleBasedStateMachine):
    """All four policies, with time, crashes, late results, standing by, and stops at any point."""

    @initialize(settings=ALL_SETTINGS)
    def begin(self, settings):
        self.simulation = Simulation(settings)
        self.requests = 0

    def do(self, action: Action) -> None:
        self.simulation.do(action)

    @rule(trigger=st.sampled_from("abc"), burst=st.integers(1, 3))
    def ask(self, trigger, burst):
        for _ in range(burst):
            self.requests += 1
            self.do(asked(trigger, self.requests))

    @precondition(lambda self: self.simulation.questions)
    @rule()
    def answer(self):
        self.do(Answered())

    @precondition(lambda self: self.simulation.at_work)
    @rule(data=st.data(), what=WHAT)
    def act(self, data, what):
        self.do(Acted(*data.draw(st.sampled_from(sorted(self.simulation.at_work))), what))

    @rule(what=WHAT)
    def finish(self, what):
        """What is prepared starts, and what runs ends."""
        while self.simulation.questions:
            self.do(Answered())
        for run, handler in sorted(self.simulation.at_work):
            self.do(Acted(run, handler, what))

    @precondition(lambda self: self.simulation.fenced)
    @rule(data=st.data(), what=WHAT)
    def act_late(self, data, what):
        self.do(Acted(*data.draw(st.sampled_from(sorted(self.simulation.fenced))), what))

    @rule(seconds=st.sampled_from([1.0, 4.0, 20.0, 60.0]))
    def wait(self, seconds):
        self.do(Passed(seconds))

    @precondition(lambda self: self.simulation.next_timer is not None)
    @rule()
    def wait_for_a_timer(self):
        self.do(Passed(self.simulation.next_timer))

    @precondition(lambda self: self.requests % 7 == 6)
    @rule()
    def lose_the_role(self):
        self.do(RoleLost())

    @precondition(lambda self: self.simulation.state.standby)
    @rule()
    def gain_the_role(self):
        self.do(RoleGained())

    @precondition(lambda self: self.requests % 13 == 12)
    @rule()
    def stop(self):
        self.do(StopWanted())

    def teardown(self):
        """Left alone by listeners, it serves whoever waits and comes to rest."""
        if not hasattr(self, "simulation"):
            return
        simulation = self.simulation
        self.do(RoleGained())
        while simulation.at_work or simulation.questions or simulation.next_timer is not None:
            if simulation.questions:
                self.do(Answered())
            elif simulation.at_work:
                self.do(Acted(*min(simulation.at_work), "return"))
            else:
                self.do(Passed(simulation.next_timer))
        assert simulation.seen.stopped or not simulation.seen.owed
