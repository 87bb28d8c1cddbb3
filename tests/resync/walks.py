"""Random walks through what can happen to a coordinator."""

from __future__ import annotations

from typing import Any, get_args

from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from simulation import (
    Aborted,
    Acted,
    Action,
    Answered,
    Asked,
    Passed,
    Paused,
    Resumed,
    RoleGained,
    RoleLost,
    Simulation,
    StopWanted,
    asked,
)

from ocean_actors.messages import Policy
from ocean_actors.settings import OnNewRequest, ResyncSettings, RetrySettings

ALL_SETTINGS = st.builds(
    ResyncSettings,
    on_new_request=st.sampled_from(OnNewRequest),
    abort_grace=st.sampled_from([0.0, 30.0]),
    max_consecutive_aborts=st.integers(1, 2),
    timeout=st.sampled_from([None, 100.0]),
    debounce=st.sampled_from([0.0, 5.0]),
    retry=st.builds(RetrySettings, attempts=st.integers(0, 2), backoff=st.just(10.0)),
)

POLICIES = (None, *get_args(Policy))
KINDS_ASKED = (None, ("1",), ("2",), ("both",), ("2", "1"))

MANY = 27_720  # of up to 12 actions each is as likely as another, of more nearly so

LONG = settings(
    derandomize=True,  # the same walks every time
    phases=[Phase.generate],  # a failure is told as it is: to shrink a long walk takes minutes
    suppress_health_check=list(HealthCheck),
)


class Walk(RuleBasedStateMachine):
    """All four policies, also of single requests; with time, crashes, late results, standing by,
    pauses, aborts and stops at any point.
    """

    @initialize(settings=ALL_SETTINGS, stop_after=st.integers(0, 40))
    def begin(self, settings: Any, stop_after: Any) -> None:
        self.simulation = Simulation(settings)
        self.requests = 0
        self.stop_after = stop_after
        self.done: list[Action] = []

    def do(self, action: Action) -> None:
        self.done.append(action)
        try:
            self.carry_out(action)
        except BaseException:
            note("\n".join(map(str, self.done)))
            raise
        self.requests += isinstance(action, Asked)

    def carry_out(self, action: Action) -> None:
        self.simulation.do(action)

    @precondition(lambda self: not self.simulation.seen.stopped)
    @rule(
        own=st.sampled_from(POLICIES),
        kinds=st.sampled_from(KINDS_ASKED),
        number=st.sampled_from(range(MANY)),
    )
    def go_on(self, own: Any, kinds: Any, number: int) -> None:
        actions = self.possible(own, kinds)
        self.do(actions[number % len(actions)])

    @precondition(lambda self: self.simulation.seen.stopped)
    @rule(trigger=st.sampled_from("abc"))
    def come_too_late(self, trigger: Any) -> None:
        self.do(asked(trigger, self.requests))
        for run, handler in sorted(self.simulation.fenced):
            self.do(Acted(run, handler, "return"))

    def possible(self, own: Policy | None, kinds: tuple[str, ...] | None) -> list[Action]:
        """What can happen next, the likely more than once."""
        simulation = self.simulation
        actions: list[Action] = [
            asked(trigger, self.requests, policy, kinds)
            for trigger, policy in (("a", None), ("b", None), ("c", own))
        ]
        actions += [Answered()] * 4 if simulation.questions else []
        for run, handler in sorted(simulation.at_work):
            actions += [Acted(run, handler, what) for what in ("return", "return", "raise")]
            actions += [Acted(run, handler, what) for what in ("refuse", "later")]
        for run, handler in sorted(simulation.fenced):
            actions += [Acted(run, handler, what) for what in ("return", "raise", "later")]
        actions += [Passed(1.0), Passed(60.0)]
        if simulation.next_timer is not None:
            actions += [Passed(simulation.next_timer)] * 2
        actions += [RoleGained()] * 4 if simulation.state.standby else [RoleLost()]
        actions += [Aborted(), Paused("x"), Paused("y", abort=True)]
        for owner in sorted(simulation.state.pauses):
            actions += [Resumed(owner)] * 2
        if self.requests >= self.stop_after:
            actions.append(StopWanted())
        return actions

    def teardown(self) -> None:
        """Left alone by listeners, it serves whoever waits and comes to rest."""
        if not hasattr(self, "simulation"):
            return
        simulation = self.simulation
        self.do(RoleGained())
        for owner in sorted(simulation.state.pauses):
            self.do(Resumed(owner))
        while simulation.at_work or simulation.questions or simulation.next_timer is not None:
            if simulation.questions:
                self.do(Answered())
            elif simulation.at_work:
                self.do(Acted(*min(simulation.at_work), "return"))
            else:
                assert simulation.next_timer is not None
                self.do(Passed(simulation.next_timer))
        assert simulation.seen.stopped or not simulation.seen.unsettled
