"""Makes `cases.json`: what Port Ocean itself does with the mappings and items of `case_inputs.py`.

Run it with a Python (3.12 or later) that has port-ocean 0.56.2, which pip installs only if a pin
of its dependencies is overridden:

    echo 'certifi>=2026.5' > overrides.txt
    uv pip install --override overrides.txt port-ocean==0.56.2
    python tests/mapping/make_cases.py > tests/mapping/cases.json

It calls port-ocean's own processor of entities and its own expansion of `itemsToParse`, item by
item, with `allowEnvironmentVariablesJqAccess: false`. The tests compare ours with the result and
do not need port-ocean.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

from case_inputs import CASES, Json


def main() -> None:
    from loguru import logger
    from port_ocean.context.ocean import initialize_port_ocean_context
    from port_ocean.core.handlers.entity_processor.jq_entity_processor import JQEntityProcessor

    async def no_blueprint(*_args: object, **_more: object) -> None:
        raise LookupError

    async def no_flags(*_args: object, **_more: object) -> list[str]:
        return []

    app = SimpleNamespace(
        config=SimpleNamespace(
            allow_environment_variables_jq_access=False, process_in_queue_max_workers=1,
            process_in_queue_timeout=60, yield_items_to_parse_batch_size=200,
        ),
        port_client=SimpleNamespace(
            get_blueprint=no_blueprint, get_organization_feature_flags=no_flags
        ),
        integration=SimpleNamespace(),
    )  # fmt: skip
    initialize_port_ocean_context(app)
    app.integration.entity_processor = JQEntityProcessor(SimpleNamespace())
    logger.remove()
    table = [
        {"name": name, "entry": each, "items": items, **asyncio.run(results(each, items))}
        for name, (each, items) in CASES.items()
    ]
    lines = ",\n".join(json.dumps(each) for each in table)
    sys.stdout.write(f"[\n{lines}\n]\n")


async def results(each: Json, items: list[Json]) -> Json:
    """Returns what upstream makes of each item, or that it refuses the mapping."""
    from port_ocean.core.handlers.port_app_config.models import ResourceConfig

    try:
        resource = ResourceConfig.parse_obj(each)
    except ValueError:
        return {"refused": True}
    return {
        "unparsable": not all(map(compiles, expressions(each))),
        "results": [await result(resource, item) for item in items],
    }


async def result(resource: Any, item: Json) -> Json:
    from loguru import logger
    from port_ocean.context.ocean import ocean
    from port_ocean.core.integrations.mixins.utils import handle_items_to_parse

    log = io.StringIO()
    sink = logger.add(log, level="WARNING", format="{message}")
    raw = [item]
    processor = ocean.app.integration.entity_processor
    try:
        if resource.port.items_to_parse:
            port = resource.port
            raw = [
                each
                async for batch in handle_items_to_parse(
                    [item], port.items_to_parse_name, port.items_to_parse,
                    port.items_to_parse_top_level_transform,
                )
                for each in batch
            ]  # fmt: skip
    finally:
        logger.remove(sink)
    dropped = "kipping" in log.getvalue()
    entities, failed, nulls = [], int(dropped), set()
    for each in raw:
        try:
            calculated = await processor.parse_items(resource, [each])
            selected = calculated.errors or await processor._search_as_bool(
                each, resource.selector.query
            )
        except Exception:  # noqa: BLE001  (pydantic's, for a part of the wrong type)
            failed += 1
            continue
        passed = calculated.entity_selector_diff.passed
        missing = set(calculated.misconfigured_entity_keys)
        entities += [entity.dict(exclude_unset=True, by_alias=True) for entity in passed]
        failed += bool(selected) and not passed
        nulls |= missing
    return {"entities": entities, "failed": failed, "nulls": sorted(nulls)}


def expressions(value: object) -> Iterator[str]:
    """Yields the JQ expressions of an entry."""
    if not isinstance(value, dict):
        return
    yield str(value["selector"]["query"])
    yield from filter(None, [value["port"].get("itemsToParse")])
    yield from texts(value["port"]["entity"]["mappings"])


def texts(value: object) -> Iterator[str]:
    children: Iterable[object] = ()
    if isinstance(value, dict):
        children = [each for key, each in value.items() if key != "nonsense"]
    elif isinstance(value, list):
        children = value
    elif value is not None:
        yield str(value)
    for child in children:
        yield from texts(child)


def compiles(expression: str) -> bool:
    from port_ocean.context.ocean import ocean

    with contextlib.suppress(Exception):
        ocean.app.integration.entity_processor._compile(expression)
        return True
    return False


if __name__ == "__main__":
    main()
