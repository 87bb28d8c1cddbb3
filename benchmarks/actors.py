"""The actor runtime beside bare pykka.

Bare: a `ThreadingActor` with `on_receive`. Ours: an `Actor` with `@handles` in an `ActorSystem`,
with supervision, mailbox limit and watchdog as they are by default.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import psutil
import pykka

from benchmarks.programs import module, result_of
from benchmarks.report import OURS, Row, Samples, Target, alternate
from ocean_actors.actors import Actor, ActorSystem, Message, handles

PACKAGES = ("pykka",)
ROUNDS = 11
TELLS = 20_000
ASKS = 3_000
WAKES = 2_000
ACTORS = 1_000
TIMERS = 10_000
IDLE_SECONDS = 1.0
PYKKA = "pykka"
SWITCHES = "varies with how the interpreter switches between the two threads; see the range"


@dataclass(frozen=True)
class Ping(Message):
    """One message for both sides; `last` ends a burst."""

    sent: float = 0.0
    last: bool = False


class Sink:
    """What both actors do with a message: note the delay, say when a burst is over."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.delay = 0.0

    def take(self, message: Ping) -> bool:
        if message.last:
            self.delay = time.perf_counter() - message.sent
            self.done.set()
        return True


class Bare(pykka.ThreadingActor):
    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink

    def on_receive(self, message: Ping) -> bool:
        return self._sink.take(message)


class Ours(Actor):
    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink

    @handles(Ping)
    def on_ping(self, message: Ping) -> bool:
        return self._sink.take(message)


# -- what is measured ------------------------------------------------------------------------------


def tells(ref: Any, sink: Sink) -> float:
    """Returns the messages a second of a burst, until the last was handled."""
    tell, ping = ref.tell, Ping()
    sink.done.clear()
    began = time.perf_counter()
    for _ in range(TELLS - 1):
        tell(ping)
    tell(Ping(last=True))
    sink.done.wait(60)
    return TELLS / (time.perf_counter() - began)


def asks(ref: Any, _sink: Sink) -> float:
    """Returns the questions a second, one after the other."""
    ask, ping = ref.ask, Ping()
    began = time.perf_counter()
    for _ in range(ASKS):
        ask(ping)
    return ASKS / (time.perf_counter() - began)


def wakes(ref: Any, sink: Sink) -> float:
    """Returns the median microseconds from `tell` until an idle actor has the message."""
    delays = []
    for _ in range(WAKES):
        sink.done.clear()
        ref.tell(Ping(sent=time.perf_counter(), last=True))
        sink.done.wait(60)
        delays.append(sink.delay)
    return 1e6 * median(delays)


def side_by_side(measure: Callable[[Any, Sink], float], rounds: int) -> Samples:
    sink = Sink()
    bare = Bare.start(sink)
    system = ActorSystem()
    ours = system.spawn(Ours, sink)
    try:
        return alternate(
            {OURS: partial(measure, ours, sink), PYKKA: partial(measure, bare, sink)}, rounds
        )
    finally:
        bare.stop()
        system.stop()


def many(kind: str) -> dict[str, float]:
    """Returns milliseconds and KiB for starting `ACTORS` actors, in a process of its own."""
    sink = Sink()
    Bare.start(sink).stop()  # both sides have loaded everything
    system = ActorSystem()
    system.stop_actor(system.spawn(Ours, sink))
    before = psutil.Process().memory_info().rss
    began = time.perf_counter()
    if kind == PYKKA:
        refs: list[Any] = [Bare.start(sink) for _ in range(ACTORS)]
    else:
        refs = [system.spawn(Ours, sink) for _ in range(ACTORS)]
    took = time.perf_counter() - began
    for ref in refs:
        ref.ask(Ping())  # so that every one of them has run
    grown = psutil.Process().memory_info().rss - before
    if kind == PYKKA:
        for ref in refs:
            ref.stop(block=False)
    system.stop()
    return {"start": 1000 * took, "memory": grown / 1024 / ACTORS}


def idle_cpu(timers: int) -> float:
    """Returns the milliseconds of an idle second with that many timers pending."""
    system = ActorSystem()
    for number in range(timers):
        system.clock.call_later(3_600 + number, lambda: None)
    system.spawn(Ours, Sink()).ask(Ping())
    threading.Event().wait(0.1)  # whatever starting left to do
    began = time.process_time()
    threading.Event().wait(IDLE_SECONDS)
    used = time.process_time() - began
    system.stop()
    return 1000 * used


def measure(rounds: int) -> Iterator[Row]:
    yield Row(
        "tell", f"messages a second of a burst of {TELLS:,}, until the last is handled",
        "/s", side_by_side(tells, rounds), (Target(1.5, PYKKA, reason=SWITCHES),),
    )  # fmt: skip
    yield Row(
        "ask", "questions a second, one after the other",
        "/s", side_by_side(asks, rounds), (Target(0.95, PYKKA),),
    )  # fmt: skip
    yield Row(
        "tell to receive", "from `tell` until an idle actor has the message",
        "us", side_by_side(wakes, rounds), (Target(1.25, PYKKA, at_most=True),),
    )  # fmt: skip
    found: dict[str, list[dict[str, float]]] = {OURS: [], PYKKA: []}
    for _ in range(min(rounds, 5)):
        for kind, results in found.items():
            results.append(result_of(module("actors", kind)))
    starts, memory = (
        {kind: [each[what] for each in results] for kind, results in found.items()}
        for what in ("start", "memory")
    )
    yield Row(
        f"start {ACTORS:,} actors", "from the first to the last, in a new process",
        "ms", starts, (Target(1.3, PYKKA, at_most=True),),
    )  # fmt: skip
    yield Row(
        "memory of an actor", f"resident, one of {ACTORS:,}",
        "KiB", memory, (Target(2, PYKKA, at_most=True),),
    )  # fmt: skip
    yield Row(
        "idle actor system",
        f"processor time of a second with {TIMERS:,} timers pending, beside none",
        "ms",
        alternate({OURS: lambda: idle_cpu(TIMERS), "no timers": lambda: idle_cpu(0)}, 3, warm=0),
        (Target(4, at_most=True),),
    )  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(many(sys.argv[1])))
