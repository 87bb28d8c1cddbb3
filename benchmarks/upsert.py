"""Entities a second that one resync writes to Port, 0 and 50 ms away.

The time runs from the handler's first line until all are written. The sandbox stands in for Port on
the same machine, so without latency all candidates compete with it for the processor.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.integrations import Integration, ours, upstream
from benchmarks.peers.port_ocean_python import NAME
from benchmarks.port import batches, port
from benchmarks.programs import Program, module
from benchmarks.report import OURS, Row, Target, alternate
from ocean_actors.sandbox import Sandbox

PACKAGES = ("requests",)
ROUNDS = 3
ENTITIES = 4_000
BATCH = 20
WIDTH = 8  # `port.concurrency` by default
POOL = f"{WIDTH} threads with requests"
SHARED = "all compete with Port's stand-in for two cores; see the row of the bare threads"


def rate_of(integration: Integration) -> float:
    """Returns the entities a second of one resync."""
    with integration.resync():
        rate = written(integration.sandbox, integration.program)
        integration.wait_until_idle()
    return rate


def rate_of_pool(sandbox: Sandbox, pool: Program) -> float:
    pool.tell("go")
    return written(sandbox, pool)


def written(sandbox: Sandbox, program: Program) -> float:
    before = sandbox.call_count
    began = program.hear("called")
    seconds = program.hear("written", 300) - began
    if (found := batches(sandbox, before)) < ENTITIES // BATCH - WIDTH:
        raise RuntimeError(f"Port got {found} batches of entities, expected {ENTITIES // BATCH}")
    return ENTITIES / seconds


def measure(rounds: int) -> Iterator[Row]:
    for latency in (0.0, 0.05):
        with (
            port(latency) as sandbox,
            ours(sandbox, "WEBHOOK", "entities", ENTITIES) as mine,
            upstream(sandbox, "WEBHOOK", ENTITIES) as theirs,
            Program(
                module("peers.pool", sandbox.url, sandbox.client_id, sandbox.client_secret,
                       str(ENTITIES), str(WIDTH))
            ) as pool,
        ):  # fmt: skip
            mine.wait_until_ready()
            theirs.wait_until_ready()
            pool.hear("ready")
            samples = alternate(
                {
                    OURS: partial(rate_of, mine),
                    NAME: partial(rate_of, theirs),
                    POOL: partial(rate_of_pool, sandbox, pool),
                },
                rounds,
            )
        targets = [Target(6, NAME) if latency else Target(15, NAME, reason=SHARED)]
        if latency:  # without latency, all compete with Port's stand-in for the processor
            targets.append(Target(0.9, POOL))
        yield Row(
            f"entities, Port +{latency * 1000:.0f} ms",
            f"entities a second of a resync that sends {ENTITIES:,} of one kind",
            "/s", samples, tuple(targets),
        )  # fmt: skip
