"""An integration of port-ocean inside ocean_actors, beside the same one in its own process."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

from benchmarks.integrations import Integration, inside, upstream
from benchmarks.peers.port_ocean_python import NAME
from benchmarks.port import port
from benchmarks.report import OURS, Row, Target, alternate

PACKAGES = ("pykka", "waitress")
ROUNDS = 10
GAP = 0.3  # seconds without a request, after which one is no longer part of a burst
CALLED = "the first line of its resync function"


def measure(rounds: int) -> Iterator[Row]:
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(port(integrations=("inside", "upstream")))
        mine = stack.enter_context(inside(sandbox))
        theirs = stack.enter_context(upstream(sandbox, "WEBHOOK", 1))
        for each in (mine, theirs):
            each.wait_until_ready()
        yield Row(
            "POST to resync function",
            f"from the POST that asks for a resync to {CALLED}, while nothing runs",
            "ms",
            alternate(
                {
                    OURS: lambda: mine.first_line() * 1000,
                    NAME: lambda: theirs.first_line() * 1000,
                },
                rounds,
            ),
            (Target(1.5, NAME, at_most=True),),
        )
        yield Row(
            "idle memory inside",
            "resident memory of the process and its children, after these runs",
            "MiB",
            {OURS: [mine.program.resident()], NAME: [theirs.program.resident()]},
        )
    yield preempting(rounds)


def preempting(rounds: int) -> Row:
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(port(integrations=("inside", "upstream")))
        mine = stack.enter_context(inside(sandbox, "wait"))
        theirs = stack.enter_context(upstream(sandbox, "WEBHOOK", 1, mode="wait"))
        for each in (mine, theirs):
            each.wait_until_ready()
        for each in (mine, theirs):
            preempted(each)  # there is a resync to abort from now on
        samples = alternate(
            {OURS: lambda: preempted(mine), NAME: lambda: preempted(theirs)}, rounds
        )
    return Row(
        "abort to next run",
        f"from a POST while a resync waits, which aborts it, to {CALLED} in the next one",
        "ms", samples, (Target(1.5, NAME, at_most=True),),
    )  # fmt: skip


def preempted(integration: Integration) -> float:
    """Returns the milliseconds from a POST to the resync function; the resync then waits.

    port-ocean answers the POST when the resync has ended, so the answer is not waited for.
    """
    time.sleep(GAP)
    with socket.create_connection(("127.0.0.1", integration.port), 30) as connection:
        begun = time.perf_counter()
        connection.sendall(next(integration.calls))
        return (integration.program.hear("called") - begun) * 1000
