"""The child process that evaluates JQ. It reads and writes JSON, one value a line.

Each request is answered before the next is read. `{"compile": n, "plan": ...}` compiles a plan,
which later requests name by n; the answer is null or why it cannot be compiled.
`{"evaluate": n, "items": m}` is followed by m lines, one for each item. The answer has a list of
outcomes for each of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

from ocean_actors.mapping.entry import Expression, Plan
from ocean_actors.mapping.evaluate import Evaluation, Mapped, MappingOutcome, NotMapped, Skipped
from ocean_actors.mapping.programs import CannotParse, Programs

KEPT_VARIABLES = ("TZ", "LANG", "LC_ALL", "LC_TIME")
"""What JQ's functions of time need."""

DEEPEST = 500
"""Levels of nesting, well below what the process that reads the answer can take."""


def main(descriptor: int, seconds: int, memory: int) -> None:
    """Serve the socket until the other side closes it.

    A request that takes more than `seconds` ends the process by SIGALRM, even while C code runs.
    The process gets at most `memory` bytes of address space.
    """
    import jq  # the extra `jq`, which ocean_actors.mapping.process has found

    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    os.environ.clear()
    os.environ.update(kept)
    with contextlib.suppress(ValueError, OSError):  # not all systems have this limit
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    sys.setrecursionlimit(DEEPEST)
    programs = Programs(jq.compile)
    plans: dict[int, Evaluation] = {}
    with socket.socket(fileno=descriptor) as connection, connection.makefile("rwb") as stream:
        while header := stream.readline():
            request: dict[str, Any] = json.loads(header)
            items = [stream.readline().decode() for _ in range(request.get("items", 0))]
            signal.alarm(seconds)
            answer = _answer(request, items, programs, plans)
            signal.alarm(0)
            stream.write(answer.encode() + b"\n")
            stream.flush()


def _answer(
    request: Mapping[str, Any], items: list[str], programs: Programs, plans: dict[int, Evaluation]
) -> str:
    if "evaluate" in request:
        evaluation = plans[request["evaluate"]]
        return f"[{','.join(_outcomes(evaluation, item) for item in items)}]"
    problem = None
    try:
        plans[request["compile"]] = Evaluation(_plan(request["plan"]), programs)
    except CannotParse as error:
        problem = str(error)
    return json.dumps(problem)


def _outcomes(evaluation: Evaluation, item: str) -> str:
    try:
        return json.dumps([_data(outcome) for outcome in evaluation.outcomes(item)])
    except RecursionError:
        return json.dumps([_data(NotMapped("a value is nested too deeply"))])


def _plan(data: Mapping[str, Any]) -> Plan:
    """Returns the plan from which `data` was made with `dataclasses.asdict`."""
    items, transform = data["items"], data["transform"]
    return Plan(
        Expression(**data["selector"]),
        tuple(Expression(**each) for each in data["expressions"]),
        data["tree"],
        items and Expression(**items),
        transform and Expression(**transform),
        data["name"],
    )


def _data(outcome: MappingOutcome) -> list[Any]:
    match outcome:
        case Mapped(entity, failed):
            return [entity, failed]
        case NotMapped(reason):
            return [reason]
        case Skipped():
            return []
