"""The state machine in a simulated world: a clock, a slow Port, handlers that do as they are told.

An onlooker checks the guarantees at every step. What the coordinator would publish is kept, so
that real actors can be held against it.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from datetime import datetime, timezone

from guarantees import Onlooker

from ocean_actors.frozen import FrozenDict
from ocean_actors.messages import Policy, ResyncRequested
from ocean_actors.resync import machine
from ocean_actors.settings import ResyncSettings

HANDLERS = frozenset({"one", "two"})
KINDS = FrozenDict(one=("1", "both"), two=("2", "both"))
LATER = 45.0  # seconds that a handler asks for with RetryLater

Event = tuple[object, ...]


@dataclass(frozen=True)
class Asked:
    """A listener asks for a resync."""

    request: ResyncRequested


@dataclass(frozen=True)
class Answered:
    """Port answers the oldest question for the config."""


@dataclass(frozen=True)
class Acted:
    """A handler of run `run`, perhaps fenced off long ago, does `what`: return, raise, refuse
    (raise what no retry can fix) or later.
    """

    run: int
    handler: str
    what: str


@dataclass(frozen=True)
class Passed:
    """Time passes."""

    seconds: float


@dataclass(frozen=True)
class RoleLost:
    """Another instance takes over."""


@dataclass(frozen=True)
class RoleGained:
    """It is gone."""


@dataclass(frozen=True)
class Aborted:
    """Somebody aborts the run in flight."""


@dataclass(frozen=True)
class Paused:
    """Somebody pauses."""

    owner: str
    abort: bool = False


@dataclass(frozen=True)
class Resumed:
    """Somebody resumes."""

    owner: str


@dataclass(frozen=True)
class StopWanted:
    """The system stops."""


Action = (
    Asked | Answered | Acted | Passed | RoleLost | RoleGained | StopWanted | Aborted | Paused
    | Resumed
)  # fmt: skip


@dataclass
class Simulation:
    """Nothing in here waits, and everything can be looked at."""

    settings: ResyncSettings
    now: float = 0.0
    questions: list[int] = field(default_factory=list)  # runs whose config Port was asked for
    at_work: set[tuple[int, str]] = field(default_factory=set)
    fenced: set[tuple[int, str]] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    late: int = 0

    def __post_init__(self) -> None:
        self.state = machine.State(HANDLERS, self.settings, KINDS)
        self.seen = Onlooker(HANDLERS, self.settings, KINDS)
        self._timers: list[tuple[float, int, machine.Input]] = []
        self._order = itertools.count()

    def do(self, action: Action) -> None:
        """Let it happen."""
        match action:
            case Asked(request):
                self._feed(machine.Request(request))
            case Answered():
                self._feed(machine.ConfigReady(self.questions.pop(0)))
            case Acted(run, handler, what):
                gone = (run, handler) in self.fenced
                self.at_work.discard((run, handler))
                self.fenced.discard((run, handler))
                later = LATER if what == "later" else None
                lasting = what == "refuse"
                self._feed(machine.HandlerDone(run, handler, what != "return", lasting, later))
                if gone:
                    self._feed(machine.HandlerGone(run, handler))
            case Passed(seconds):
                self._pass(seconds)
            case RoleLost() if not self.state.standby:
                self.events.append(("role", False))
                self._feed(machine.StandBy())
            case RoleGained() if self.state.standby:
                self.events.append(("role", True))
                self._feed(machine.Activate())
            case Aborted():
                self._feed(machine.Abort("enough"))
            case Paused(owner, abort):
                if not self.state.stopping and owner not in self.state.pauses:
                    self.events.append(("paused", owner))
                self._feed(machine.Pause(owner, "a break", abort))
            case Resumed(owner):
                if owner in self.state.pauses:
                    self.events.append(("resumed", owner))
                self._feed(machine.Resume(owner))
            case StopWanted():
                self._feed(machine.Stop())

    @property
    def paused(self) -> list[str]:
        """Who pauses, in the order in which they began."""
        owners: list[str] = []
        for event in self.events:
            if event[0] == "paused":
                owners.append(str(event[1]))
            elif event[0] == "resumed":
                owners.remove(str(event[1]))
        return owners

    @property
    def next_timer(self) -> float | None:
        """In how many seconds the next timer is due."""
        return self._timers[0][0] - self.now if self._timers else None

    def _pass(self, seconds: float) -> None:
        target = self.now + seconds
        while self._timers and self._timers[0][0] <= target:
            self.now, _, event = heapq.heappop(self._timers)
            self._feed(event)
        self.now = target

    def _later(self, seconds: float, event: machine.Input) -> None:
        heapq.heappush(self._timers, (self.now + seconds, next(self._order), event))

    def _feed(self, event: machine.Input) -> None:
        self.state, outputs = machine.step(self.state, event)
        self.seen = self.seen.saw(event, outputs)
        for output in outputs:
            self._carry_out(output)

    def _carry_out(self, output: machine.Output) -> None:
        match output:
            case machine.Wait(number, _, seconds):
                self._later(seconds, machine.WaitOver(number))
            case machine.AskConfig(number):
                self.questions.append(number)
            case machine.StartRun(number, requests, handlers):
                self.at_work = {(number, handler) for handler in handlers}
                self.events.append(("started", number, requests[-1].reason))
                if self.settings.timeout is not None:
                    self._later(self.settings.timeout, machine.TimeUp(number))
            case machine.AbortRun(number):
                self._later(self.settings.abort_grace, machine.GraceOver(number))
            case machine.FenceOff():
                self.fenced |= self.at_work
                self.at_work = set()
            case machine.EndRun(number, status):
                self.events.append(("ended", number, status))
            case machine.Settle(requests, outcome):
                self.events += [("settled", each.id, outcome) for each in requests]
            case machine.DropLate():
                self.late += 1
            case machine.Stopped():
                self.events.append(("stopped",))


def fed(state: machine.State, *events: machine.Input) -> tuple[machine.State, list[machine.Output]]:
    """Returns the state after these inputs, and all outputs."""
    said: list[machine.Output] = []
    for event in events:
        state, outputs = machine.step(state, event)
        said += outputs
    return state, said


NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def asked(
    trigger: str,
    number: int,
    policy: Policy | None = None,
    kinds: tuple[str, ...] | None = None,
) -> Asked:
    """A request with an id that says which it is."""
    return Asked(
        ResyncRequested(
            reason=f"{trigger} {number}",
            trigger=trigger,
            requested_at=NOON,
            id=f"{trigger}{number}",
            policy=policy,
            kinds=kinds,
        )
    )
