"""The handler that is measured, in a process of `ocean-actors run`.

BENCHMARK_MODE says what a run does: nothing (`quick`), send entities (`entities`), wait until it
is aborted (`wait`), or wait for a line on standard input and hear no abort (`deaf`).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from ocean_actors import ResyncAborted, ResyncHandler, ResyncRun


def say(event: str, seconds: float | None = None) -> None:
    """Tell the benchmark; see `programs.py`, which costs more to import."""
    value = time.perf_counter() if seconds is None else seconds
    os.write(int(os.environ["BENCHMARK_EVENTS"]), f"{event} {value}\n".encode())


class Subject(ResyncHandler):
    kinds = ("package",)

    def resync(self, run: ResyncRun) -> None:
        say("called")
        mode = os.environ["BENCHMARK_MODE"]
        if mode == "entities":
            run.port.upsert("package", entities(int(os.environ["BENCHMARK_ENTITIES"])))
            say("written")
        elif mode == "deaf":
            sys.stdin.readline()
        elif mode == "wait":
            try:
                run.sleep(3_600)
            except ResyncAborted:
                say("cancelled")
                raise


def entities(count: int) -> Iterator[dict[str, Any]]:
    """Yields entities that differ from those of the run before, as port-ocean skips equal ones."""
    salt = int(time.time() * 1000)
    for number in range(count):
        name = f"package-{number}"
        yield {"identifier": name, "title": name, "properties": {"n": salt + number}}
