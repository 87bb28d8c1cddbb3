"""How costs grow with the number of handlers in a system, and of systems in a process."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import psutil

from benchmarks.port import port
from benchmarks.programs import MIB, module, result_of
from benchmarks.report import OURS, Row, Target
from ocean_actors import OceanSystem, ResyncHandler, ResyncRun, Settings
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing.sandboxed import port_of

PACKAGES = ("pykka",)
ROUNDS = 3
HANDLERS = (10, 100, 1_000)
SYSTEMS = (1, 5, 20)
RUNS = 5
LINEAR = 1.3  # by how much one more may cost more among many than among few


class Quick(ResyncHandler):
    def resync(self, run: ResyncRun) -> None:
        """Do nothing."""


def system(sandbox: Sandbox, name: str, handlers: int = 1) -> OceanSystem:
    settings = {
        "port": port_of(sandbox),
        "integration": {"identifier": name},
        "eventListener": {"type": "POLLING", "interval": 3600, "resyncOnStart": False},
    }
    kinds = [type(f"Quick{number}", (Quick,), {}) for number in range(handlers)]
    return OceanSystem(Settings.from_dict(settings, {}), kinds, serve_http=False)


def wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError("waited for too long")
        time.sleep(0.002)


def ended(sandbox: Sandbox, runs: int) -> bool:
    return len(sandbox.statuses("scale")) >= 2 * runs


# -- one measurement, in a process of its own ------------------------------------------------------


def of_handlers(count: int) -> dict[str, float]:
    with port(integrations=()) as sandbox, system(sandbox, "scale", count) as running:
        wait(lambda: bool(running.status()["registered"]))
        before = psutil.Process().memory_info().rss
        seconds = []
        for number in range(RUNS):
            begun = time.perf_counter()
            running.request_resync("scale")
            wait(partial(ended, sandbox, number + 1))
            seconds.append(time.perf_counter() - begun)
    return {"run": 1000 * min(seconds), "memory": before / MIB}


def of_systems(count: int) -> dict[str, float]:
    process = psutil.Process()
    with port(integrations=()) as sandbox:
        systems = [system(sandbox, f"scale-{number}") for number in range(count)]
        before = process.num_threads()
        begun = time.perf_counter()
        for each in systems:
            each.start()
        wait(lambda: all(each.status()["registered"] for each in systems))
        seconds = time.perf_counter() - begun
        threads = process.num_threads() - before
        memory = process.memory_info().rss / MIB
        for each in systems:
            each.stop()
    return {"start": 1000 * seconds, "memory": memory, "threads": threads}


# -- all of them -----------------------------------------------------------------------------------


def measure(rounds: int) -> Iterator[Row]:
    found = [
        {count: result_of(module("scale", "handlers", str(count))) for count in HANDLERS}
        for _ in range(rounds)
    ]
    for count in HANDLERS:
        yield Row(
            f"run of {count:,} handlers", "from the request to Port's `completed`; they do nothing",
            "ms", {OURS: [each[count]["run"] for each in found]},
        )  # fmt: skip
    for what, unit, scale in (("run", "us", 1000), ("memory", "KiB", 1024)):
        yield slope(
            f"one more handler, {what}", unit, HANDLERS, partial(_scaled, found, what, scale)
        )
    several = [
        {count: result_of(module("scale", "systems", str(count))) for count in SYSTEMS}
        for _ in range(rounds)
    ]
    for what, unit in (("start", "ms"), ("memory", "MiB"), ("threads", "threads")):
        yield slope(f"one more system, {what}", unit, SYSTEMS, partial(_scaled, several, what, 1))


def _scaled(
    found: list[dict[int, dict[str, float]]], what: str, scale: float, count: int
) -> list[float]:
    return [scale * each[count][what] for each in found]


def slope(
    name: str, unit: str, counts: tuple[int, int, int], values: Callable[[int], list[float]]
) -> Row:
    """Returns the row that compares what one more costs among many and among few."""
    few, some, many = counts
    slopes = {
        f"{low:,} to {high:,}": [
            (above - below) / (high - low)
            for below, above in zip(values(low), values(high), strict=True)
        ]
        for low, high in ((some, many), (few, some))
    }
    among_few = f"{few:,} to {some:,}"
    target = Target(LINEAR, among_few, at_most=True)
    return Row(
        name, f"from {some:,} to {many:,}, beside {few:,} to {some:,}: linear if the ratio is 1",
        unit, slopes, (target,),
    )  # fmt: skip


if __name__ == "__main__":
    of = {"handlers": of_handlers, "systems": of_systems}[sys.argv[1]]
    print(json.dumps(of(int(sys.argv[2]))))
