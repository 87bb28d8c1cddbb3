"""What becomes of requests when another instance takes over, and when it is gone again."""

from __future__ import annotations

from simulation import NOON, fed

from ocean_actors.actors import Actor, ActorSystem
from ocean_actors.messages import ResyncRequested
from ocean_actors.resync.machine import (
    Activate,
    AskConfig,
    ConfigReady,
    HandlerDone,
    Request,
    StandBy,
    StartRun,
    State,
    WaitOver,
)
from ocean_actors.testing import ManualClock


def requests() -> tuple[ResyncRequested, ...]:
    """One that its source would give to the other instance, and one of our own; the actors that
    requested them want to hear of their end.
    """
    system = ActorSystem(clock=ManualClock())
    asking = [(name, system.spawn(Actor, name=name)) for name in ("kafka", "hours")]
    system.stop()
    return tuple(
        ResyncRequested(reason="please", trigger=name, requested_at=NOON, reply_to=actor)
        for name, actor in asking
    )


def test_what_the_source_gives_to_the_other_instance_is_not_run_here_again() -> None:
    replayed, own = requests()
    state, _ = fed(
        State(frozenset({"one"})),
        Request(replayed), Request(own), ConfigReady(1), ConfigReady(1),
        StandBy(("kafka",)), HandlerDone(1, "one"),
    )  # fmt: skip
    assert state.pending == (own,)
    state, said = fed(state, Activate(), ConfigReady(2))
    assert said == [AskConfig(2), StartRun(2, (own,), frozenset({"one"}))]


def test_what_comes_again_while_the_old_run_still_ends_is_kept() -> None:
    replayed, _ = requests()
    state, _ = fed(
        State(frozenset({"one"})),
        Request(replayed), ConfigReady(1), StandBy(("kafka",)),
        Request(replayed), HandlerDone(1, "one"),
    )  # fmt: skip
    assert state.pending == (replayed,)
    _, said = fed(state, Activate())
    assert said == [AskConfig(2)]


def test_a_pause_for_requests_that_were_left_to_the_other_instance_is_over() -> None:
    replayed, own = requests()
    state, _ = fed(
        State(frozenset({"one"})),
        Request(replayed), ConfigReady(1), Request(replayed), HandlerDone(1, "one"),
        StandBy(("kafka",)), Request(own),
    )  # fmt: skip
    state, said = fed(state, Activate(), WaitOver(1), ConfigReady(2), HandlerDone(2, "one"))
    assert [type(each).__name__ for each in said] == ["AskConfig", "StartRun", "EndRun", "Settle"]
    assert (state.wait, state.burst.arrived) == (None, False)
