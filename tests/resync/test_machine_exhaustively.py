"""Every sequence of inputs up to a length, and the guarantees after each step.

Two triggers, so two requests that can be pending; two handlers, or one where requests carry a
policy. Sequences that lead to states which differ only in the numbers of runs, waits and requests
go on in the same way, so each such state is looked at once, and the sequences that lead to it are
counted. One aborted run protects the next here, and a burst ends after two waits, so that short
sequences reach both.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args

import pytest
from guarantees import Onlooker, Requests
from simulation import NOON

from ocean_actors.frozen import FrozenDict
from ocean_actors.messages import Policy, ResyncRequested
from ocean_actors.resync import machine
from ocean_actors.resync.machine import (
    Abort,
    Activate,
    AskConfig,
    ConfigReady,
    GraceOver,
    HandlerDone,
    HandlerGone,
    Input,
    Pause,
    Phase,
    Request,
    Resume,
    Run,
    StandBy,
    State,
    Step,
    Stop,
    TimeUp,
    WaitOver,
    step,
)
from ocean_actors.settings import OnNewRequest, ResyncSettings

TWO = frozenset({"one", "two"})
ONE = frozenset({"one"})
NOW, BEFORE = 1, 0  # numbers of runs and waits: the present one, one that is over

SETTINGS: dict[str, tuple[int, dict[str, Any]]] = {
    "plain": (7, {}),
    "with debounce and retry": (6, {"debounce": 5.0, "retry": {"attempts": 1}}),
}

STATES: dict[str, tuple[int, ...]] = {
    "plain": (3406, 2854, 1788, 1454),
    "with debounce and retry": (749, 627, 679, 495),
    "own abort": (1521, 1578, 1299, 1238),
    "own drop": (1578, 1211, 1074, 1028),
    "own queue": (1299, 1074, 887, 824),
    "own ignore": (1238, 1028, 824, 797),
    "steered": (2027, 1697, 1399, 1285),
    "steered, two handlers": (1189,),
    "steered, some kinds": (672,),
}
"""By what is searched: how many states are reached, for each `resync.onNewRequest`.

docs/architecture.md quotes them. A change of the machine may change them; look at why it does.
"""

Known = tuple[State, Onlooker]


Requested = Mapping[str, ResyncRequested]
Kinds = Mapping[str, tuple[str, ...]]


def requests(policy: Policy | None, kinds: Kinds | None = None) -> Requested:
    """Requests by their ids; those of trigger b carry `policy`, each the kinds of its trigger."""
    return {
        f"{trigger}{number}": ResyncRequested(
            reason="", trigger=trigger, requested_at=NOON, id=f"{trigger}{number}",
            policy=policy if trigger == "b" else None,
            kinds=None if kinds is None else kinds[trigger],
        )
        for trigger in "ab"
        for number in range(9)
    }  # fmt: skip


STEERING: list[Input] = [
    Abort("enough"), Pause("x"), Pause("y", abort=True), Resume("x"), Resume("y"),
]  # fmt: skip


def inputs(known: Requested, handlers: frozenset[str], *, steered: bool) -> list[Input]:
    """All that can be said, in time and too late; with `steered` also by somebody who steers."""
    said: list[Input] = [StandBy(), Activate(), Stop()]
    said += STEERING if steered else []
    said += [Request(known["a8"]), Request(known["b8"])]
    for number in (BEFORE, NOW):
        said += [WaitOver(number), ConfigReady(number), TimeUp(number), GraceOver(number)]
        for handler in sorted(handlers):
            said += [HandlerDone(number, handler), HandlerGone(number, handler)]
    said += [HandlerDone(NOW, handler, failed=True) for handler in sorted(handlers)]
    said += [HandlerGone(BEFORE, "one", began=False)]
    said += [HandlerDone(NOW, "one", failed=True, lasting=True)]
    said += [HandlerDone(NOW, "one", failed=True, retry_after=60.0)]
    return said


def renumbered(state: State, seen: Onlooker, known: Requested) -> Known:
    """The same with the present run and wait called NOW, runs that were dropped before it 0, -1
    and so on, and requests counted anew.
    """
    run = state.present
    present = {each.id for each in (*run.covered, *state.pending, *seen.unsettled, *seen.taken)}
    names: dict[str, ResyncRequested] = {}
    for trigger in "ab":
        mine = sorted(each for each in present if each[0] == trigger)
        names.update((each, known[f"{trigger}{rank}"]) for rank, each in enumerate(mine))
    before = sorted({number for number, _ in state.dropped if number != run.number}, reverse=True)
    numbers = {run.number: NOW, **{number: BEFORE - rank for rank, number in enumerate(before)}}

    def rename(requests: Requests) -> Requests:
        return tuple(
            names[each.id]
            if each.kinds is None
            else replace(names[each.id], kinds=tuple(sorted(each.kinds)))
            for each in requests
        )

    def renumber(dropped: machine.Dropped) -> machine.Dropped:
        return frozenset((numbers[number], handler) for number, handler in dropped)

    state = replace(
        state,
        present=replace(run, number=NOW, covered=rename(run.covered)),
        wait=None if state.wait is None else replace(state.wait, number=NOW),
        waits=NOW,
        pending=rename(state.pending),
        dropped=renumber(state.dropped),
    )
    seen = replace(
        seen,
        unsettled=rename(seen.unsettled),
        taken=rename(seen.taken),
        latest=NOW,
        ready=None if seen.ready is None else NOW,
        run=None if seen.run is None else NOW,
        wait=None if seen.wait is None else replace(seen.wait, number=NOW),
        dropped=renumber(seen.dropped),
    )
    return state, seen


FIXED = {"handlers", "settings", "kinds"}
REQUESTS = {"pending", "covered", "unsettled", "taken"}


def values_of(kind: type[State | Run | Onlooker], *others: str) -> Callable[[object], object]:
    """What gets the values that a key is made of, save for `others`, FIXED and REQUESTS."""
    left_out = {*others, *FIXED, *REQUESTS}
    return attrgetter(*(each.name for each in fields(kind) if each.name not in left_out))


STATE, RUN, SEEN = values_of(State, "present"), values_of(Run), values_of(Onlooker)


def key(known: Known) -> tuple[object, ...]:
    """What tells a state from others; its requests by their ids and kinds, for speed."""
    state, seen = known
    run = state.present
    requests = (state.pending, run.covered, seen.unsettled, seen.taken)
    return (
        STATE(state), RUN(run), SEEN(seen),
        *(tuple((each.id, each.kinds) for each in some) for some in requests),
    )  # fmt: skip


def walk(
    handlers: frozenset[str],
    settings: ResyncSettings,
    length: int,
    policy: Policy | None,
    kinds: Kinds | None = None,
    *,
    steered: bool = False,
) -> Iterator[tuple[int, int]]:
    """For each length: how many states were reached so far, by how many sequences."""
    asked = requests(policy, kinds)
    declared = FrozenDict() if kinds is None else FrozenDict(one=kinds["a"], two=kinds["b"])
    start: Known = renumbered(
        State(handlers, settings, declared), Onlooker(handlers, settings, declared), asked
    )
    states = [start]
    places = {key(start): 0}  # in `states`
    known: dict[int, Counter[int]] = {}  # for each place: how often each next one follows
    reached = Counter({0: 1})
    alphabet = inputs(asked, handlers, steered=steered)
    for _ in range(length):
        following: Counter[int] = Counter()
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
                    then = renumbered(after, seen_after, asked)
                    next_place = places.setdefault(key(then), len(states))
                    if next_place == len(states):
                        states.append(then)
                    known[place][next_place] += 1
            for next_place, ways in known[place].items():
                following[next_place] += ways * sequences
        reached = following
        yield len(states), sum(reached.values())


def bounded(state: State) -> None:
    for kept in (state.pending, state.present.covered):
        triggers = [each.trigger for each in kept]
        assert len(set(triggers)) == len(triggers), "Bounded: one request a trigger"


def check_all(
    handlers: frozenset[str],
    default: OnNewRequest,
    own: Policy | None,
    length: int,
    kinds: Kinds | None = None,
    *,
    steered: bool = False,
    **chosen: Any,
) -> int:
    """Check every sequence of `length` inputs; returns how many states they reach."""
    settings = ResyncSettings(
        on_new_request=default, timeout=100.0, max_consecutive_aborts=1, **chosen
    )
    *_, (states, sequences) = walk(handlers, settings, length, own, kinds, steered=steered)
    assert sequences == len(inputs(requests(own), handlers, steered=steered)) ** length
    return states


def states_of(search: str, default: OnNewRequest) -> int:
    """How many states a search reaches; see STATES."""
    return STATES[search][list(OnNewRequest).index(default)]


@pytest.fixture(autouse=True)
def short_bursts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MOST_QUIET_WAITS", 2)


@pytest.mark.parametrize("chosen", SETTINGS)
@pytest.mark.parametrize("default", OnNewRequest, ids=lambda policy: policy.value)
def test_every_sequence_of_inputs_keeps_the_guarantees(default: OnNewRequest, chosen: str) -> None:
    length, more = SETTINGS[chosen]
    assert check_all(TWO, default, None, length, **more) == states_of(chosen, default)


@pytest.mark.parametrize("own", get_args(Policy))
@pytest.mark.parametrize("default", OnNewRequest, ids=lambda policy: policy.value)
def test_requests_with_a_policy_of_their_own_keep_them_too(
    default: OnNewRequest, own: Policy
) -> None:
    assert check_all(ONE, default, own, 7) == states_of(f"own {own}", default)


@pytest.mark.parametrize("default", OnNewRequest, ids=lambda policy: policy.value)
def test_pauses_and_aborts_keep_them_too(default: OnNewRequest) -> None:
    reached = check_all(ONE, default, None, 6, steered=True)
    assert reached == states_of("steered", default)


def test_pauses_and_aborts_of_two_handlers_keep_them_too() -> None:
    default = OnNewRequest.ABORT
    reached = check_all(TWO, default, "drop", 5, steered=True, retry={"attempts": 1})
    assert reached == states_of("steered, two handlers", default)


def test_requests_for_some_kinds_keep_them_too() -> None:
    kinds, default = {"a": ("1",), "b": ("2", "3")}, OnNewRequest.ABORT
    reached = check_all(TWO, default, "queue", 5, kinds, steered=True)
    assert reached == states_of("steered, some kinds", default)


ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"


def test_the_architecture_quotes_how_many_states_are_reached() -> None:
    page = ARCHITECTURE.read_text()
    counts = [count for search in STATES.values() for count in search]
    assert f"{len(counts)} searches" in page
    assert f"{min(counts):,} to {max(counts):,} states" in page
    assert f"{sum(counts):,} in all" in page


def test_both_pictures_show_exactly_the_changes_of_phase_that_occur(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    occur: set[tuple[str, str]] = set()

    def observed(state: State, event: Input) -> Step:
        after, outputs = machine.step(state, event)
        asked = any(isinstance(output, AskConfig) for output in outputs)
        if after.phase is not state.phase or (asked and state.phase is Phase.PREPARING):
            occur.add((state.phase.name, after.phase.name))
        return after, outputs

    with monkeypatch.context() as patched:
        patched.setattr(sys.modules[__name__], "step", observed)
        check_all(ONE, OnNewRequest.ABORT, None, 6, steered=True)
        check_all(ONE, OnNewRequest.ABORT, "drop", 6)
    _abort_as_it_starts(observed)
    drawn = {
        (before, after)
        for before, listed in re.findall(r"^ {4}([A-Z]+) ─+▶ ([A-Z, ]+?)  ", _docstring(), re.M)
        for after in listed.split(", ")
    }
    assert drawn == occur
    shown = re.findall(r"^  ([A-Z]+) --> ([A-Z]+)", ARCHITECTURE.read_text(), re.M)
    assert set(shown) == occur


def _docstring() -> str:
    assert machine.__doc__ is not None
    return machine.__doc__


def _abort_as_it_starts(step: Callable[[State, Input], Step]) -> None:
    """Longer than the sequences of a search: a run is postponed, and requests come all the same."""
    request = iter(requests(None).values())
    state = State(ONE, ResyncSettings())
    for event in (
        Request(next(request)), Request(next(request)), ConfigReady(1), Request(next(request)),
        ConfigReady(1), WaitOver(1), Request(next(request)), ConfigReady(2),
        Request(next(request)), ConfigReady(2),
    ):  # fmt: skip
        state, _outputs = step(state, event)
    assert state.phase is Phase.ABORTING
