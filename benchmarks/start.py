"""From the start of a process to the first line of its handler, under POLLING."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.integrations import ours, upstream
from benchmarks.peers.port_ocean_python import NAME
from benchmarks.port import port
from benchmarks.report import OURS, Row, Target, alternate

PACKAGES = ()
ROUNDS = 7

IMPORTS = (
    "four fifths are imports: 0.2 s of pydantic, urllib3 and PyYAML, 0.2 s of 170 frozen "
    "dataclasses, for which Python compiles methods"
)


def ours_seconds() -> float:
    with port() as sandbox, ours(sandbox, "POLLING") as integration:
        return integration.program.hear("called") - integration.program.started


def upstream_seconds() -> float:
    with port() as sandbox, upstream(sandbox, "POLLING", 1) as integration:
        return integration.program.hear("called") - integration.program.started


def measure(rounds: int) -> Iterator[Row]:
    samples = alternate({OURS: ours_seconds, NAME: upstream_seconds}, rounds)
    yield Row(
        "start to handler",
        "from the start of the process to the handler's first line; Port knows the integration "
        "and answers at once",
        "s", samples,
        (
            Target(1 / 8, NAME, at_most=True, reason=IMPORTS),
            Target(0.22, at_most=True, reason=IMPORTS),
        ),
    )  # fmt: skip
