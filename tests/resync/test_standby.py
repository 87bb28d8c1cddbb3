"""What becomes of requests when another instance takes over, and when it is gone again."""

from datetime import datetime, timezone

from ocean_actors.actors import Actor, ActorSystem
from ocean_actors.messages import ResyncRequested
from ocean_actors.resync.machine import (
    AskConfig,
    ConfigReady,
    HandlerDone,
    Request,
    Resume,
    StandBy,
    StartRun,
    State,
    step,
)
from ocean_actors.testing import ManualClock

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def fed(state, *events):
    said = []
    for event in events:
        state, outputs = step(state, event)
        said += outputs
    return state, said


def requests():
    """One that its source would give to the other instance, and one of our own."""
    system = ActorSystem(clock=ManualClock())
    source = system.spawn(Actor, name="kafka")
    system.stop()
    replayed = ResyncRequested(
        reason="resync requested", trigger="kafka", requested_at=NOON, reply_to=source
    )
    return replayed, ResyncRequested(reason="hourly", trigger="hours", requested_at=NOON)


def test_what_the_source_gives_to_the_other_instance_is_not_run_here_again():
    replayed, own = requests()
    state, _ = fed(
        State(frozenset({"one"})),
        Request(replayed), Request(own), ConfigReady(1), ConfigReady(1),
        StandBy(), HandlerDone(1, "one"),
    )  # fmt: skip
    assert state.pending == (own,)
    state, said = fed(state, Resume(), ConfigReady(2))
    assert said == [AskConfig(2), StartRun(2, (own,))]


def test_what_comes_again_while_the_old_run_still_ends_is_kept():
    replayed, _ = requests()
    state, _ = fed(
        State(frozenset({"one"})),
        Request(replayed), ConfigReady(1), StandBy(), Request(replayed), HandlerDone(1, "one"),
    )  # fmt: skip
    assert state.pending == (replayed,)
    _, said = fed(state, Resume())
    assert said == [AskConfig(2)]
