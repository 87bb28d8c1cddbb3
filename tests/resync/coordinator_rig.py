"""The real actors on a clock turned by hand, with handlers that do what a test tells them."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr
from simulation import (
    KINDS,
    LATER,
    Aborted,
    Acted,
    Action,
    Answered,
    Asked,
    Event,
    Passed,
    Paused,
    Resumed,
    RoleGained,
    RoleLost,
)

from ocean_actors import ReconcileRefused, ResyncHandler, ResyncRun
from ocean_actors.actors import ActorSystem, Message
from ocean_actors.frozen import FrozenDict
from ocean_actors.messages import (
    ConfigSnapshot,
    CoordinatorStopped,
    RequestSettled,
    ResyncsPaused,
    ResyncsResumed,
    RoleChanged,
    RunEnded,
    RunStarted,
    Written,
)
from ocean_actors.resync.commands import (
    AbortResync,
    ConfigFetched,
    FetchConfig,
    GetStatus,
    PauseResyncs,
    ResumeResyncs,
    SetRole,
    StopResyncs,
)
from ocean_actors.resync.coordinator import ResyncCoordinator
from ocean_actors.resync.handlers import HandlerSpec, RetryLater
from ocean_actors.settings import PollingSettings, PortSettings, ResyncSettings, Settings
from ocean_actors.testing import ManualClock, Probe, wait_idle

WITHIN = 30.0
FOR_EVER = 1e9
NO_PORT = PortSettings(client_id="none", client_secret=SecretStr("none"))


@dataclass
class Turn:
    """One handler in one run, held up until it is told what to do."""

    run: object
    thread: threading.Thread = field(default_factory=threading.current_thread)
    told: threading.Event = field(default_factory=threading.Event)
    what: str = "return"


class Puppet(ResyncHandler):
    """Waits by the clock, deaf to any abort, for what it is told: so it counts as at rest."""

    def __init__(self, name: str, turns: Any, clock: ManualClock) -> None:
        self.name = name
        self.turns = turns
        self.clock = clock

    def resync(self, run: ResyncRun) -> Any:
        turn = self.turns[run.info.number, self.name] = Turn(run)
        self.clock.wait(FOR_EVER, turn.told)
        if turn.what == "raise":
            raise SystemExit(self.name)
        if turn.what == "refuse":
            raise ReconcileRefused(self.name)
        if turn.what == "later":
            raise RetryLater(LATER)


class AsyncPuppet(Puppet):
    """The same as a coroutine; blocking in it, which an abort cannot end."""

    async def resync(self, run: ResyncRun) -> None:
        super().resync(run)


def handler(work: Callable[[ResyncRun], Any]) -> type[ResyncHandler]:
    """Returns the class `Working` of a handler that does `work(run)`."""
    return type("Working", (ResyncHandler,), {"resync": lambda _self, run: work(run)})


class NoPort:
    """The `run.port` of handlers that send no entities."""

    def mark_incomplete(self, reason: str) -> None:
        pass


class NoWriter:
    """The entities of a run without any."""

    def for_handler(self, name: str) -> NoPort:
        return NoPort()

    def handler_finished(self, name: str, *, ok: Any) -> None:
        pass

    def written(self) -> Written:
        return Written()

    def written_by(self, handler: str) -> tuple[()]:
        return ()

    def close(self) -> None:
        pass


class CoordinatorRig:
    """A coordinator with its handlers; no Port, no listeners."""

    def __init__(self, settings: ResyncSettings, handlers: Any = None) -> None:
        self.clock = ManualClock()
        self.system = ActorSystem(clock=self.clock, debug=True, seed=1)
        self.turns: dict[tuple[int, str], Turn] = {}
        self.port = Probe(self.system, name="integration")
        self.stream = Probe(self.system, name="stream").subscribe(
            RunStarted,
            RunEnded,
            RequestSettled,
            RoleChanged,
            CoordinatorStopped,
            ResyncsPaused,
            ResyncsResumed,
        )
        if handlers is None:
            handlers = {
                "one": functools.partial(Puppet, "one", self.turns, self.clock),
                "two": functools.partial(AsyncPuppet, "two", self.turns, self.clock),
            }
        specs = {name: HandlerSpec(build, KINDS.get(name, ())) for name, build in handlers.items()}
        self.reporter = Probe(self.system, name="reporter")
        system = Settings(port=NO_PORT, event_listener=PollingSettings(), resync=settings)
        self.coordinator = self.system.spawn(
            ResyncCoordinator, specs, system, self.port.ref, self.reporter.ref,
            lambda _run, _token: NoWriter(), "run", name="coordinator",
        )  # fmt: skip
        self.settle()
        assert self.stream.expect(RoleChanged).active  # the role at the start

    def do(self, action: Action) -> None:
        """Let it happen, and wait until nothing moves."""
        match action:
            case Asked(request):
                self.coordinator.ask(request)
            case Answered():
                self.answer()
            case Acted(run, handler, what):
                self.act(run, handler, what)
            case Passed(seconds):
                self.clock.advance(seconds, settle=self.settle)
            case RoleLost() | RoleGained():
                self.coordinator.tell(SetRole(isinstance(action, RoleGained)))
            case Aborted():
                self.coordinator.ask(AbortResync("enough"))
            case Paused(owner, abort):
                self.coordinator.tell(PauseResyncs(owner, "a break", abort))
            case Resumed(owner):
                self.coordinator.tell(ResumeResyncs(owner, "on"))
            case _:
                self.coordinator.tell(StopResyncs())
        self.settle()

    def answer(self, **config: Any) -> None:
        """Answer the oldest question for the config."""
        wanted = self.port.expect(FetchConfig)
        wanted.reply_to.tell(ConfigFetched(wanted.number, ConfigSnapshot(FrozenDict(config))))

    def act(self, run: int, handler: str, what: Any) -> None:
        """Tell a handler what to do, and wait until it has done it."""
        turn = self.turns[run, handler]
        turn.what = what
        fenced = self.status()["run"] is None or self.status()["run"]["id"] != f"run-{run}"
        turn.told.set()
        if fenced:  # its actor has nothing more to do, and nobody else waits for it
            turn.thread.join(WITHIN)
            assert not turn.thread.is_alive()

    def status(self) -> Any:
        return self.coordinator.ask(GetStatus())

    def events(self) -> list[Event]:
        """What was published so far, as the simulation writes it down."""
        return [event_of(message) for message in self.stream.received()]

    def settle(self, *, parked: Any = None) -> None:
        """Wait until nothing moves, `parked` actors aside."""
        wait_idle(self.system, WITHIN, parked=parked)

    def close(self) -> None:
        """End everything; every thread has to end, also those left behind."""
        for turn in self.turns.values():
            turn.told.set()
        self.system.stop(WITHIN)
        for turn in self.turns.values():
            turn.thread.join(WITHIN)
            assert not turn.thread.is_alive()
        self.clock.close()


def opened_rigs() -> Iterator[Callable[..., CoordinatorRig]]:
    """Yields what makes a rig for some handlers, under settings of `resync`. For a fixture."""
    rigs: list[CoordinatorRig] = []

    def build(*handlers: Any, **settings: Any) -> CoordinatorRig:
        named = {each.__name__: each for each in handlers}
        rigs.append(CoordinatorRig(ResyncSettings(**settings), named))
        return rigs[-1]

    yield build
    for rig in rigs:
        rig.close()


def event_of(message: Message) -> Event:
    match message:
        case RunStarted(run):
            return ("started", run.number, run.reason)
        case RunEnded(run, status):
            return ("ended", run.number, status)
        case RequestSettled(request, outcome):
            return ("settled", request.id, outcome)
        case RoleChanged(active):
            return ("role", active)
        case ResyncsPaused(owner):
            return ("paused", owner)
        case ResyncsResumed(owner):
            return ("resumed", owner)
        case CoordinatorStopped():
            return ("stopped",)
    raise AssertionError(message)
