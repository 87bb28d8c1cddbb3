"""An integration: the Python distributions of this machine, and what they require, in Port.

The config in Port says which, by name:
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


class PythonPackages(ResyncHandler):
    """Sends a page of Port's catalog for every distribution, then deletes what is no more."""

    kinds = (BLUEPRINT,)

    def resync(self, run: ResyncRun) -> None:
        """Send everything that Port's config selects."""
        pattern = wanted(run.config)
        found = {normal(item.name): item for item in distributions() if item.name}
        chosen = [found[name] for name in sorted(found) if fnmatch.fnmatch(name, pattern)]
        run.port.upsert(BLUEPRINT, entities(run, chosen), create_missing_related_entities=True)
        run.port.reconcile(max_share=1.0)


def wanted(config: dict[str, Any]) -> str:
    """The pattern of names that Port's config selects; without one: all."""
    for resource in config.get("resources", []):
        if resource.get("kind") == BLUEPRINT:
            return str(resource.get("selector", {}).get("names", "*"))
    return "*"


def entities(run: ResyncRun, chosen: Sequence[Distribution]) -> Iterator[dict[str, Any]]:
    """A page for each, made as it is sent; relations only to others that are sent."""
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
    """The names in a distribution's requirements, extras left out (PEP 508)."""
    needed = (text for text in item.requires or () if "extra ==" not in text)
    return {normal(re.split(r"[^\w.-]", text, maxsplit=1)[0]) for text in needed}


def normal(name: str) -> str:
    """A name as PyPI compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    with OceanSystem(Settings.from_file(sys.argv[1]), handlers=[PythonPackages]) as system:
        system.wait()
