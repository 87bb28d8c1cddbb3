"""One round of the mapping, in Python of either side: `python jq_round.py ours|upstream`.

It imports nothing of the benchmarks, as the Python of port-ocean does not have them.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from hashlib import sha256
from typing import Any

ITEMS = 2_000
BATCH = 100

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


def result(seconds: float, entities: list[dict[str, Any]]) -> dict[str, float]:
    """Returns the items a second, and a hash of the entities to compare."""
    text = json.dumps(entities, sort_keys=True)
    return {"rate": ITEMS / seconds, "digest": int(sha256(text.encode()).hexdigest()[:12], 16)}


def ours() -> dict[str, float]:
    """Returns the result of ocean_actors."""
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
        return result(time.perf_counter() - began, entities)
    finally:
        mapping.close()
        clock.close()


def upstream() -> dict[str, float]:
    """Returns the result of port-ocean's own processor of entities."""
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
    return result(time.perf_counter() - began, entities)


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"ours": ours, "upstream": upstream}[sys.argv[1]]()) + "\n")
