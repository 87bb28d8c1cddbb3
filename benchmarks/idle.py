"""Memory and processor of integrations that have nothing to do but to ask Port each second."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from benchmarks.integrations import many, ours, upstream
from benchmarks.peers.port_ocean_python import NAME
from benchmarks.port import is_idle, port
from benchmarks.programs import Program
from benchmarks.report import OURS, Row, Target

PACKAGES = ("pykka", "requests", "pydantic", "waitress")
ROUNDS = 3
WINDOW = 20.0  # seconds
INTERVAL = 1.0
MANY = 20
IMPORTS = "Python with pydantic, urllib3, PyYAML, waitress and pykka takes 33 MiB"


def measure(rounds: int) -> Iterator[Row]:
    names = ("ours", "upstream", *(f"ours-{number}" for number in range(MANY)))
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(port(integrations=names))
        mine = stack.enter_context(ours(sandbox, "POLLING", interval=INTERVAL))
        theirs = stack.enter_context(upstream(sandbox, "POLLING", 1, INTERVAL))
        several = f"{MANY} in one process"
        programs = {
            OURS: mine.program,
            NAME: theirs.program,
            several: stack.enter_context(many(sandbox, MANY, INTERVAL)),
        }
        for name, program in programs.items():
            for _ in range(MANY if name == several else 1):
                program.hear("called")
        sandbox.wait_for(lambda: all(is_idle(sandbox, name) for name in names), 60)
        time.sleep(2 * INTERVAL)  # whatever starting left to do
        memory, cpu = watched(programs, rounds)
        resident = {name: values for name, values in memory.items() if name != several}
        used = {name: values for name, values in cpu.items() if name != several}
        yield Row(
            "idle memory", "resident memory of the process and its children",
            "MiB", resident, (Target(40, at_most=True, reason=IMPORTS),),
        )  # fmt: skip
        yield Row(
            "idle processor",
            f"share of a core over {WINDOW:.0f} s, in which each asks Port every {INTERVAL:g} s",
            "%", used, (Target(1 / 5, NAME, at_most=True),),
        )  # fmt: skip
        yield Row(
            f"idle memory of {MANY}", f"the same of {MANY} integrations in one process",
            "MiB", {OURS: memory[several]}, (Target(55, at_most=True, reason=IMPORTS),),
        )  # fmt: skip
        yield Row(
            f"idle processor of {MANY}",
            f"the same of {MANY} integrations in one process, beside {MANY} times that of one",
            "%",
            {OURS: cpu[several], f"{MANY} x one": [MANY * value for value in cpu[OURS]]},
            (Target(1.1, f"{MANY} x one", at_most=True),),
        )


def watched(
    programs: dict[str, Program], rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Returns memory in MiB and processor in %, all programs being watched at the same time."""
    memory: dict[str, list[float]] = {name: [] for name in programs}
    used: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        before = {name: program.cpu() for name, program in programs.items()}
        begun = time.perf_counter()
        time.sleep(WINDOW)
        seconds = time.perf_counter() - begun
        for name, program in programs.items():
            used[name].append(100 * (program.cpu() - before[name]) / seconds)
            memory[name].append(program.resident())
    return memory, used
