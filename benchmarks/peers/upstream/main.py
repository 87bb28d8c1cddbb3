"""An integration of Port Ocean that does what `benchmarks/subject.py` does with ocean_actors.

It runs in a Python of its own, which has port-ocean and nothing of this repository.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from typing import Any

from port_ocean.context.ocean import ocean

ENTITIES = int(os.environ["BENCHMARK_ENTITIES"])
PAGE = 100  # items, as an integration that pages would yield them


def say(event: str) -> None:
    os.write(int(os.environ["BENCHMARK_EVENTS"]), f"{event} {time.perf_counter()}\n".encode())


@ocean.on_resync("package")  # type: ignore[untyped-decorator]  # port-ocean is not installed here
async def packages(_kind: str) -> AsyncIterator[list[dict[str, Any]]]:
    say("called")
    salt = int(time.time() * 1000)  # port-ocean skips entities that are as in the run before
    for start in range(0, ENTITIES, PAGE):
        numbers = range(start, min(start + PAGE, ENTITIES))
        yield [{"name": f"package-{number}", "n": salt + number} for number in numbers]
    say("written")  # it goes on here once the last page is in Port
