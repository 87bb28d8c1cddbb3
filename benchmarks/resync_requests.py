"""From a request for a resync to the handler: a first one, one that preempts a run, a burst."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from itertools import islice

from benchmarks.http_load import drive, sent
from benchmarks.integrations import Integration, ours, upstream
from benchmarks.peers.port_ocean_python import NAME
from benchmarks.port import port
from benchmarks.report import OURS, Row, Target, alternate
from ocean_actors.resync.machine import MOST_QUIET_WAITS, QUIET_SECONDS

PACKAGES = ("waitress",)
ROUNDS = 15
BURST = 10_000
SMALL_BURST = 50
GAP = 0.3  # seconds without a request, after which one is no longer part of a burst
LONGEST_PAUSE = MOST_QUIET_WAITS * QUIET_SECONDS  # for which a burst postpones the next run
QUIET = 3.0  # seconds in which a further run would begin


def measure(rounds: int) -> Iterator[Row]:
    yield from preempting(rounds, 0.0, 20)
    yield from preempting(rounds, 0.05, 75)
    yield burst("wait", "that obeys its abort")
    yield burst("deaf", "that hears no abort")
    for latency in (0.0, 0.05):
        yield first_line(rounds, latency)
    yield small_burst()


def first_line(rounds: int, latency: float) -> Row:
    with (
        port(latency) as sandbox,
        ours(sandbox, "WEBHOOK") as mine,
        upstream(sandbox, "WEBHOOK", 1) as theirs,
    ):
        mine.wait_until_ready()
        theirs.wait_until_ready()
        samples = alternate(
            {
                OURS: lambda: mine.first_line() * 1000,
                NAME: lambda: theirs.first_line() * 1000,
            },
            rounds,
        )
    target = Target(60, at_most=True) if latency else Target(1 / 8, NAME, at_most=True)
    return Row(
        f"POST to handler, Port +{latency * 1000:.0f} ms",
        "from the POST that asks for a resync to the handler's first line, while nothing runs",
        "ms", samples, (target,),
    )  # fmt: skip


def preempting(rounds: int, latency: float, target: float) -> Iterator[Row]:
    cancelled, began = [], []
    with port(latency) as sandbox, ours(sandbox, "WEBHOOK", "wait") as mine:
        mine.wait_until_ready()
        with mine.resync():
            mine.program.hear("called")
        for turn in range(rounds + 1):
            time.sleep(GAP)
            with mine.resync() as begun:
                heard = mine.program.hear("cancelled"), mine.program.hear("called")
            if turn:  # the first one warms up
                cancelled.append((heard[0] - begun) * 1000)
                began.append((heard[1] - begun) * 1000)
    where = f"Port +{latency * 1000:.0f} ms"
    yield Row(
        f"second POST to cancelled, {where}",
        "from a POST while a run is in flight until its handler is cancelled",
        "ms", {OURS: cancelled}, (Target(5, at_most=True),),
    )  # fmt: skip
    yield Row(
        f"second POST to next run, {where}",
        "from the same POST to the first line of the handler in the run that follows",
        "ms", {OURS: began}, (Target(target, at_most=True),),
    )  # fmt: skip


def burst(mode: str, what: str) -> Row:
    with port() as sandbox, ours(sandbox, "WEBHOOK", mode) as mine:
        mine.wait_until_ready()
        with mine.resync():
            mine.program.hear("called")
        seconds = BURST / drive(mine.port, list(islice(mine.calls, BURST)), b"202")
        if mode == "deaf":
            mine.program.tell("end of the run in flight")
        further = mine.program.count("called", QUIET)
    reason = ""
    if seconds > LONGEST_PAUSE:
        reason = (
            f"the burst took {seconds:.0f} s; one of more than {LONGEST_PAUSE:.0f} s makes several "
            "runs"
        )
    return Row(
        f"burst, a run {what}",
        f"further runs after {BURST:,} POSTs while a run is in flight",
        "runs", {OURS: [further]}, (Target(1, at_most=True, reason=reason),),
    )  # fmt: skip


def small_burst() -> Row:
    with (
        port() as sandbox,
        ours(sandbox, "WEBHOOK") as mine,
        upstream(sandbox, "WEBHOOK", 1) as theirs,
    ):
        runs = []
        for integration in (mine, theirs):
            integration.wait_until_ready()
            runs.append(runs_of_burst(integration))
    return Row(
        f"burst of {SMALL_BURST}",
        f"runs after {SMALL_BURST} POSTs at the same moment to an idle integration; the run does "
        "nothing",
        "runs", {OURS: runs[:1], NAME: runs[1:]}, (Target(2, at_most=True),),
    )  # fmt: skip


def runs_of_burst(integration: Integration) -> float:
    with contextlib.ExitStack() as stack:
        for call in islice(integration.calls, SMALL_BURST):
            stack.enter_context(sent(integration.port, call))
        integration.program.hear("called")
        return 1 + integration.program.count("called", QUIET)
