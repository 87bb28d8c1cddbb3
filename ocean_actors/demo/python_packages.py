"""An integration: the Python distributions of this machine, with their requirements, in Port.

The config in Port selects them by name:
{"resources": [{"kind": "pythonPackage", "selector": {"names": "a*"}}]}
"""

import fnmatch
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, distributions
from typing import Any

from ocean_actors import OceanSystem, ResyncHandler, ResyncRun, Settings

BLUEPRINT = "pythonPackage"
TEXT = {"type": "string"}


class PythonPackages(ResyncHandler):
    """Sends an entity for each distribution, then deletes those that no longer exist."""

    kinds = (BLUEPRINT,)
    blueprints = (
        {
            "identifier": BLUEPRINT,
            "title": "Python package",
            "schema": {"properties": {"version": TEXT, "summary": TEXT}},
            "relations": {"requires": {"target": BLUEPRINT, "many": True, "required": False}},
        },
    )

    def resync(self, run: ResyncRun) -> None:
        """Send all distributions that Port's config selects."""
        pattern = wanted(run.config)
        found = {normal(item.name): item for item in distributions() if item.name}
        chosen = [found[name] for name in sorted(found) if fnmatch.fnmatch(name, pattern)]
        run.port.upsert(BLUEPRINT, entities(run, chosen), create_missing_related_entities=True)
        run.port.reconcile(max_share=1.0)


def wanted(config: dict[str, Any]) -> str:
    """Returns the pattern of names in Port's config; without one, the pattern of all."""
    for resource in config.get("resources", []):
        if resource.get("kind") == BLUEPRINT:
            return str(resource.get("selector", {}).get("names", "*"))
    return "*"


def entities(run: ResyncRun, chosen: Sequence[Distribution]) -> Iterator[dict[str, Any]]:
    """Yields an entity for each while it is sent; it relates only to others that are sent."""
    names = {normal(item.name) for item in chosen}
    for done, item in enumerate(run.guard(chosen), start=1):
        run.progress(done, len(chosen), item.name)
        yield {
            "identifier": normal(item.name),
            "title": item.name,
            "properties": {"version": item.version, "summary": item.metadata.json.get("summary")},
            "relations": {"requires": sorted(required(item) & names)},
        }


def required(item: Distribution) -> set[str]:
    """Returns the names in a distribution's requirements, without extras (PEP 508)."""
    needed = (text for text in item.requires or () if "extra ==" not in text)
    return {normal(re.split(r"[^\w.-]", text, maxsplit=1)[0]) for text in needed}


def normal(name: str) -> str:
    """Returns a name as PyPI compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    with OceanSystem(Settings.from_file(sys.argv[1]), handlers=[PythonPackages]) as system:
        system.wait()
