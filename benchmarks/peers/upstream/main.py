"""An integration of Port Ocean that does what `benchmarks/subject.py` does with ocean_actors.

It runs in a Python of its own, which has port-ocean and nothing of this repository, by itself or
(BENCHMARK_INSIDE) inside ocean_actors. With the BENCHMARK_MODE `wait` a resync waits until it is
aborted.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from typing import Any

from port_ocean.context.ocean import ocean

ENTITIES = int(os.environ["BENCHMARK_ENTITIES"])
PAGE = 100  # items, as an integration that pages would yield them


def events() -> int:
    """Returns the descriptor to write to; inside, the parent has it open."""
    number = int(os.environ["BENCHMARK_EVENTS"])
    if "BENCHMARK_INSIDE" not in os.environ:
        return number
    return os.open(f"/proc/{os.getppid()}/fd/{number}", os.O_WRONLY)


EVENTS = events()


def say(event: str) -> None:
    os.write(EVENTS, f"{event} {time.perf_counter()}\n".encode())


@ocean.on_resync("package")  # type: ignore[untyped-decorator]  # port-ocean is not installed here
async def packages(_kind: str) -> AsyncIterator[list[dict[str, Any]]]:
    say("called")
    if os.environ.get("BENCHMARK_MODE") == "wait":
        await asyncio.sleep(3_600)
    salt = int(time.time() * 1000)  # port-ocean skips entities that are as in the run before
    for start in range(0, ENTITIES, PAGE):
        numbers = range(start, min(start + PAGE, ENTITIES))
        yield [{"name": f"package-{number}", "n": salt + number} for number in numbers]
    say("written")  # it goes on here once the last page is in Port
