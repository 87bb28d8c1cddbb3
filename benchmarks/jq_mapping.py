"""Port's mapping, evaluated for raw items beside port-ocean.

Each round is a process of its own; starting it does not count. port-ocean gets batches, as an
integration that pages would send them. The entities have to be the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.peers import port_ocean_python
from benchmarks.peers.jq_round import ITEMS
from benchmarks.peers.port_ocean_python import NAME
from benchmarks.programs import result_of
from benchmarks.report import OURS, Row, Target, alternate

PACKAGES = ("jq",)
ROUNDS = 3
SCRIPT = Path(__file__).with_name("peers") / "jq_round.py"


def measure(rounds: int) -> Iterator[Row]:
    digests = set()

    def rate(python: str, side: str) -> float:
        found = result_of([python, str(SCRIPT), side])
        digests.add(found["digest"])
        return found["rate"]

    samples = alternate(
        {
            OURS: partial(rate, sys.executable, "ours"),
            NAME: partial(rate, str(port_ocean_python.python()), "upstream"),
        },
        rounds, warm=0,
    )  # fmt: skip
    if len(digests) != 1:
        raise RuntimeError("the entities differ from those of port-ocean")
    yield Row(
        "mapping", f"items a second; {ITEMS:,} items of 1.5 KB, 19 expressions, the same entities",
        "/s", samples, (Target(1, NAME),),
    )  # fmt: skip
