"""A system with a sharded handler, which runs as a test says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil
from sharded import BLUEPRINT, Sharded
from workshop import Kind

from ocean_actors import RunEnded
from ocean_actors.testing import SandboxedSystem


def children() -> set[int]:
    return {each.pid for each in psutil.Process().children(recursive=True)}


class Rig(SandboxedSystem):
    """A system that runs as the test says, with shards as it says."""

    def __init__(self, kind: Kind, folder: Path, **more: Any) -> None:
        self.file = folder / "shards.json"
        self.file.write_text("[]")
        integration = {"identifier": "under-test", "config": {"file": str(self.file)}}
        super().__init__(
            more.pop("handlers", [Sharded]),
            blueprints=(BLUEPRINT,),
            mapping={"entityDeletionThreshold": 1, "resources": []},
            resync={"executor": kind.name, "workers": 2, **more.pop("resync", {})},
            integration=integration,
            eventListener={"type": "POLLING", "interval": 3600, "resyncOnStart": False},
            **kind.settings,
            **more,
        )

    def begin(self, *shards: object, **request: Any) -> None:
        self.file.write_text(json.dumps(shards))
        self.system.request_resync("a test", **request)

    def run(self, *shards: object) -> RunEnded:
        self.begin(*shards)
        return self.expect(RunEnded)

    def identifiers(self) -> set[str]:
        return {entity["identifier"] for entity in self.sandbox.entities("thing")}
