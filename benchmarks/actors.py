"""The actor runtime beside bare pykka, in one run: `python benchmarks/actors.py [--check]`.

Rounds alternate between the two, so that whatever else the machine does meets both; medians are
compared. Bare pykka: a `ThreadingActor` with `on_receive`. Ours: an `Actor` with `@handles`, in
an `ActorSystem` with supervision, mailbox limit and watchdog as they are by default. With
`--check` the exit code is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import platform
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median
from typing import Any

import pykka

from ocean_actors.actors import Actor, ActorSystem, Message, handles

ROUNDS = 11
TELLS = 20_000
ASKS = 3_000
WAKES = 2_000
ACTORS = 1_000
TIMERS = 10_000
IDLE_SECONDS = 1.0


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


# -- what is measured: seconds ---------------------------------------------------------------------


def tells(ref: Any, sink: Sink) -> float:
    """A burst of messages, from the first `tell` until the last was handled."""
    tell, ping = ref.tell, Ping()
    sink.done.clear()
    began = time.perf_counter()
    for _ in range(TELLS - 1):
        tell(ping)
    tell(Ping(last=True))
    sink.done.wait(60)
    return (time.perf_counter() - began) / TELLS


def asks(ref: Any, _sink: Sink) -> float:
    """One question after the other."""
    ask, ping = ref.ask, Ping()
    began = time.perf_counter()
    for _ in range(ASKS):
        ask(ping)
    return (time.perf_counter() - began) / ASKS


def wakes(ref: Any, sink: Sink) -> float:
    """From `tell` until an idle actor has the message: the median."""
    delays = []
    for _ in range(WAKES):
        sink.done.clear()
        ref.tell(Ping(sent=time.perf_counter(), last=True))
        sink.done.wait(60)
        delays.append(sink.delay)
    return median(delays)


def side_by_side(measure: Callable[[Any, Sink], float]) -> tuple[float, float]:
    """The medians of bare pykka's rounds and of ours."""
    sink = Sink()
    bare = Bare.start(sink)
    system = ActorSystem()
    ours = system.spawn(Ours, sink)
    times: dict[Any, list[float]] = {bare: [], ours: []}
    try:
        for number in range(ROUNDS + 1):
            for ref in (bare, ours) if number % 2 else (ours, bare):
                took = measure(ref, sink)
                if number:  # the first round warms up
                    times[ref].append(took)
    finally:
        bare.stop()
        system.stop()
    return median(times[bare]), median(times[ours])


# -- starting many: in a fresh process each -------------------------------------------------------


def start_many(kind: str) -> None:
    """Start `ACTORS` actors and print the seconds and the bytes of each."""
    sink = Sink()
    Bare.start(sink).stop()  # both sides have loaded everything
    system = ActorSystem()
    system.stop_actor(system.spawn(Ours, sink))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    if kind == "bare":
        refs: list[Any] = [Bare.start(sink) for _ in range(ACTORS)]
    else:
        refs = [system.spawn(Ours, sink) for _ in range(ACTORS)]
    took = time.perf_counter() - began
    for ref in refs:
        ref.ask(Ping())  # so that every one of them has run
    unit = 1 if sys.platform == "darwin" else 1024
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit
    print(took / ACTORS, grown / ACTORS)
    if kind == "bare":
        for ref in refs:
            ref.stop(block=False)
    system.stop()


def started() -> dict[str, tuple[float, float]]:
    """The medians of seconds and bytes per actor."""
    results: dict[str, list[tuple[float, ...]]] = {"bare": [], "ours": []}
    for _ in range(5):
        for kind, found in results.items():
            command = [sys.executable, __file__, "--start-many", kind]
            output = subprocess.run(command, capture_output=True, check=True, text=True)
            found.append(tuple(float(word) for word in output.stdout.split()))
    return {
        kind: (median(each[0] for each in found), median(each[1] for each in found))
        for kind, found in results.items()
    }


def idle_cpu(timers: int) -> float:
    """The process time of an idle second with that many timers pending."""
    system = ActorSystem()
    for number in range(timers):
        system.clock.call_later(3_600 + number, lambda: None)
    system.spawn(Ours, Sink()).ask(Ping())
    threading.Event().wait(0.1)  # whatever starting left to do
    began = time.process_time()
    threading.Event().wait(IDLE_SECONDS)
    used = time.process_time() - began
    system.stop()
    return used


# -- the report ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    name: str
    bare: str
    ours: str
    ratio: float
    target: str
    held: bool


def at_least(name: str, bare: float, ours: float, target: float) -> Result:
    """Compare rates, given seconds for one."""
    ratio = bare / ours
    return Result(
        name, f"{1 / bare:,.0f}/s", f"{1 / ours:,.0f}/s", ratio, f">= {target}", ratio >= target
    )


def at_most(name: str, bare: float, ours: float, target: float, scale: float, unit: str) -> Result:
    """Compare amounts."""
    ratio = ours / bare
    return Result(
        name,
        f"{bare * scale:,.1f} {unit}",
        f"{ours * scale:,.1f} {unit}",
        ratio,
        f"<= {target}",
        ratio <= target,
    )


def results() -> list[Result]:
    many = started()
    calm = median(idle_cpu(0) for _ in range(3))
    pending = median(idle_cpu(TIMERS) for _ in range(3))
    more = pending - calm
    return [
        at_least("tell", *side_by_side(tells), 0.8),
        at_least("ask", *side_by_side(asks), 0.8),
        at_most("tell to receive", *side_by_side(wakes), 1.25, 1e6, "us"),
        at_most("start an actor", many["bare"][0], many["ours"][0], 2, 1e6, "us"),
        at_most("memory of an actor", many["bare"][1], many["ours"][1], 2, 1 / 1024, "KiB"),
        Result(
            f"idle CPU, {TIMERS:,} timers",
            f"{calm * 1000:.2f} ms/s",
            f"{pending * 1000:.2f} ms/s",
            pending / calm if calm else 1.0,
            "+ <= 2 ms/s",
            more <= 0.002,
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit 1 if a target is missed")
    parser.add_argument("--start-many", choices=("bare", "ours"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.start_many:
        start_many(arguments.start_many)
        return 0
    print(f"Python {platform.python_version()}, pykka {version('pykka')}, {platform.machine()}")
    print(f"{'':24}{'bare':>14}{'ours':>14}{'ratio':>8}  target")
    found = results()
    for result in found:
        mark = "" if result.held else "  MISSED"
        print(
            f"{result.name:24}{result.bare:>14}{result.ours:>14}{result.ratio:>8.2f}  "
            f"{result.target}{mark}"
        )
    return 1 if arguments.check and not all(result.held for result in found) else 0


if __name__ == "__main__":
    sys.exit(main())
