"""How fast the mapping is evaluated: `python benchmarks/jq_mapping.py [--peer PYTHON] [--check]`.

Evaluates Port's mapping for `ITEMS` raw items: ours in this process, and Port Ocean's in the
Python that `--peer` names, which has port-ocean 0.56.2 (`tests/mapping/make_cases.py` says how to
install it). The rounds alternate, so that whatever else the machine does meets both; the medians
are compared, and the entities have to be the same. Starting the processes counts in neither, and
Port Ocean gets batches of `BATCH` items, as an integration that pages would send them. With
`--check` the exit code is 1 if ours is slower.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import time
from hashlib import sha256
from statistics import median
from typing import Any

ITEMS = 10_000
BATCH = 100
ROUNDS = 3

ENTRY: dict[str, Any] = {
    "kind": "issue",
    "selector": {"query": '.fields.status.name != "Archived"'},
    "port": {
        "entity": {
            "mappings": {
                "identifier": ".key",
                "title": ".fields.summary",
                "blueprint": '"issue"',
                "properties": {
                    "url": '"https://tracker.example/browse/" + .key',
                    "status": ".fields.status.name",
                    "priority": '.fields.priority.name // "none"',
                    "labels": ".fields.labels",
                    "created": ".fields.created",
                    "votes": ".fields.votes | tonumber",
                    "open": '.fields.status.name | test("Done|Closed") | not',
                    "description": ".fields.description",
                },
                "relations": {
                    "project": ".fields.project.key",
                    "parent": ".fields.parent.key // null",
                    "subtasks": "[.fields.subtasks[].key]",
                    "assignee": {
                        "combinator": '"and"',
                        "rules": [
                            {
                                "property": '"$identifier"',
                                "operator": '"="',
                                "value": ".fields.assignee.email",
                            }
                        ],
                    },
                },
            }
        }
    },
}


def items() -> list[dict[str, Any]]:
    """Returns raw items of about 1.5 KB."""
    return [
        {
            "id": str(number),
            "key": f"P{number % 7}-{number}",
            "fields": {
                "summary": f"Issue {number}: größer",
                "status": {"name": ("Open", "Done", "Archived")[number % 3], "id": number % 3},
                "priority": {"name": "High"} if number % 2 else None,
                "labels": ["a", "b", f"label-{number % 11}"],
                "created": "2026-11-26T03:04:05.000+0000",
                "votes": str(number),
                "description": "x" * 900,
                "project": {"key": f"P{number % 7}", "name": "Project"},
                "subtasks": [{"key": f"S-{each}", "self": "https://x"} for each in range(5)],
                "assignee": {"email": f"u{number % 13}@example.com"},
            },
        }
        for number in range(ITEMS)
    ]


def digest(entities: list[dict[str, Any]]) -> str:
    """Returns a hash of the entities, to compare."""
    return sha256(json.dumps(entities, sort_keys=True).encode()).hexdigest()


def ours() -> tuple[float, str]:
    """Returns the seconds of a round, and the digest of its entities."""
    from ocean_actors.actors import CancelToken, SystemClock
    from ocean_actors.frozen import freeze
    from ocean_actors.log import NO_CONTEXT, RunLogger
    from ocean_actors.mapping.resources import PortMapping

    logger, clock = RunLogger(logging.getLogger("benchmark"), NO_CONTEXT), SystemClock()
    mapping = PortMapping(freeze({"resources": [ENTRY]}), CancelToken(), clock, logger)
    try:
        (resource,) = mapping.resources("issue")
        raw = items()
        list(resource.entities(raw[:1]))  # starts the process
        began = time.perf_counter()
        entities = list(resource.entities(raw))
        return time.perf_counter() - began, digest(entities)
    finally:
        mapping.close()
        clock.close()


def upstream() -> tuple[float, str]:
    """Returns the same of Port Ocean's own processor of entities."""
    import asyncio
    from types import SimpleNamespace

    from loguru import logger
    from port_ocean.context.ocean import initialize_port_ocean_context
    from port_ocean.core.handlers.entity_processor.jq_entity_processor import JQEntityProcessor
    from port_ocean.core.handlers.port_app_config.models import ResourceConfig

    logger.remove()

    async def no_blueprint(*_args: object, **_more: object) -> None:
        raise LookupError

    config = SimpleNamespace(
        allow_environment_variables_jq_access=True, process_in_queue_max_workers=2,
        process_in_queue_timeout=120,
    )  # fmt: skip
    client = SimpleNamespace(get_blueprint=no_blueprint)
    initialize_port_ocean_context(SimpleNamespace(config=config, port_client=client))
    processor = JQEntityProcessor(SimpleNamespace())
    resource = ResourceConfig.parse_obj(ENTRY)

    async def evaluate(raw: list[dict[str, Any]]) -> list[dict[str, Any]]:
        entities = []
        for start in range(0, len(raw), BATCH):
            result = await processor.parse_items(resource, raw[start : start + BATCH])
            entities += [
                entity.dict(exclude_unset=True, by_alias=True)
                for entity in result.entity_selector_diff.passed
            ]
        return entities

    raw = items()
    asyncio.run(evaluate(raw[:1]))
    began = time.perf_counter()
    entities = asyncio.run(evaluate(raw))
    return time.perf_counter() - began, digest(entities)


def peer(python: str) -> tuple[float, str]:
    """Returns a round of Port Ocean's, in its own Python."""
    done = subprocess.run(
        [python, __file__, "--upstream"], capture_output=True, text=True, check=True
    )
    seconds, found = json.loads(done.stdout.splitlines()[-1])
    return seconds, found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peer", metavar="PYTHON", help="a Python that has port-ocean 0.56.2")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of each (%(default)s)")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--upstream", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.upstream:
        sys.stdout.write(json.dumps(upstream()) + "\n")
        return 0
    mine, theirs, digests = [], [], set()
    for _ in range(options.rounds):
        seconds, found = ours()
        mine.append(seconds)
        digests.add(found)
        if options.peer:
            seconds, found = peer(options.peer)
            theirs.append(seconds)
            digests.add(found)
    sys.stdout.write(f"{ITEMS} items, ours: {median(mine):.2f} s\n")
    if theirs:
        sys.stdout.write(
            f"{ITEMS} items, Port Ocean's: {median(theirs):.2f} s, "
            f"{median(theirs) / median(mine):.1f} times as long\n"
        )
    if len(digests) != 1:
        sys.stdout.write("the entities differ\n")
    slower = bool(theirs) and median(mine) > median(theirs)
    return int(options.check and (slower or len(digests) != 1))


if __name__ == "__main__":
    sys.exit(main())
