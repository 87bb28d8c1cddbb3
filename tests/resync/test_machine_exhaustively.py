"""Every sequence of inputs up to a length, and the guarantees after each step.

Two handlers and two triggers, so two requests that can be pending. Sequences that lead to states
which differ only in the numbers of runs, waits and requests go on in the same way, so each such
state is looked at once, and the sequences that lead to it are counted: 20 inputs make 25.6
thousand million sequences of length 8, which reach some 1,400 to 3,500 states, by the settings;
over the eight settings tried here it is 16,000 states. A burst ends after two pauses here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import datetime, timezone

import pytest
from guarantees import Onlooker, Requests

from ocean_actors.messages import ResyncRequested
from ocean_actors.resync import machine
from ocean_actors.resync.machine import (
    ConfigReady,
    GraceOver,
    HandlerDone,
    Input,
    Request,
    Resume,
    StandBy,
    State,
    Stop,
    TimeUp,
    WaitOver,
    step,
)
from ocean_actors.settings import OnNewRequest, ResyncSettings

LENGTH = 8
HANDLERS = frozenset({"one", "two"})
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
NOW, BEFORE = 1, 0  # numbers of runs and waits: the present one, one that is over

SETTINGS = {
    "plain": {},
    "with debounce and retry": {"debounce": 5.0, "retry": {"attempts": 1}},
}

Known = tuple[State, Onlooker]


def request(trigger: str, number: int) -> ResyncRequested:
    return ResyncRequested(reason="", trigger=trigger, requested_at=NOON, id=f"{trigger}{number}")


REQUESTS = {
    each.id: each for trigger in "ab" for number in range(9) for each in [request(trigger, number)]
}
LAST = {trigger: REQUESTS[f"{trigger}8"] for trigger in "ab"}


def inputs() -> list[Input]:
    """All that can be said, in time and too late."""
    said: list[Input] = [StandBy(), Resume(), Stop()]
    said += [Request(LAST[trigger]) for trigger in "ab"]
    for number in (BEFORE, NOW):
        said += [WaitOver(number), ConfigReady(number), TimeUp(number), GraceOver(number)]
        said += [HandlerDone(number, "one"), HandlerDone(number, "two")]
    said += [HandlerDone(NOW, "one", failed=True), HandlerDone(NOW, "two", failed=True)]
    said += [HandlerDone(NOW, "one", failed=True, retry_after=60.0)]
    return said


def renumbered(state: State, seen: Onlooker) -> Known:
    """The same with the present run and wait called NOW, and requests counted anew."""
    present = {each.id for each in (*state.covered, *state.pending, *seen.owed, *seen.taken)}
    names: dict[str, ResyncRequested] = {}
    for trigger in "ab":
        mine = sorted(each for each in present if each[0] == trigger)
        names.update((each, REQUESTS[f"{trigger}{rank}"]) for rank, each in enumerate(mine))

    def rename(requests: Requests) -> Requests:
        return tuple(names[each.id] for each in requests)

    state = replace(
        state,
        run=NOW, wait=NOW, covered=rename(state.covered), pending=rename(state.pending),
    )  # fmt: skip
    seen = replace(
        seen,
        owed=rename(seen.owed),
        taken=rename(seen.taken),
        latest=NOW,
        ready=None if seen.ready is None else NOW,
        run=None if seen.run is None else NOW,
        wait=None if seen.wait is None else replace(seen.wait, wait=NOW),
    )
    return state, seen


STATE_FIELDS = [each.name for each in fields(State) if each.name not in {"handlers", "settings"}]
SEEN_FIELDS = [each.name for each in fields(Onlooker) if each.name not in {"handlers", "settings"}]


def key(known: Known) -> tuple[object, ...]:
    def jsonable(value: object) -> object:
        if isinstance(value, tuple):
            return tuple(each.id for each in value)
        return value

    state, seen = known
    return (
        *(jsonable(getattr(state, name)) for name in STATE_FIELDS),
        *(jsonable(getattr(seen, name)) for name in SEEN_FIELDS),
    )


def walk(settings: ResyncSettings, length: int) -> Iterator[tuple[int, int]]:
    """For each length: how many states were reached so far, by how many sequences."""
    start: Known = renumbered(State(HANDLERS, settings), Onlooker(HANDLERS, settings))
    known: dict[object, dict[object, int]] = {}  # for each state: how often each next one follows
    states = {key(start): start}
    reached = Counter({key(start): 1})
    alphabet = inputs()
    for _ in range(length):
        following: Counter[object] = Counter()
        for place, sequences in reached.items():
            if place not in known:
                known[place] = Counter()
                state, seen = states[place]
                for event in alphabet:
                    after, outputs = step(state, event)
                    seen_after = seen.saw(event, outputs)
                    if after is state and seen_after is seen:
                        known[place][place] += 1
                        continue
                    bounded(after)
                    then = renumbered(after, seen_after)
                    states.setdefault(key(then), then)
                    known[place][key(then)] += 1
            for then_key, ways in known[place].items():
                following[then_key] += ways * sequences
        reached = following
        yield len(states), sum(reached.values())


def bounded(state: State) -> None:
    for requests in (state.pending, state.covered):
        triggers = [each.trigger for each in requests]
        assert len(set(triggers)) == len(triggers), "Bounded: one request a trigger"
    assert state.waiting or not state.retrying


@pytest.mark.parametrize("chosen", SETTINGS)
@pytest.mark.parametrize("policy", OnNewRequest, ids=lambda policy: policy.value)
def test_every_sequence_of_inputs_keeps_the_guarantees(policy, chosen, monkeypatch):
    monkeypatch.setattr(machine, "MOST_PAUSES", 2)
    settings = ResyncSettings(
        on_new_request=policy, timeout=100.0, max_consecutive_aborts=2, **SETTINGS[chosen]
    )
    *_, (states, sequences) = walk(settings, LENGTH)
    assert sequences == len(inputs()) ** LENGTH
    assert states > 1_000
