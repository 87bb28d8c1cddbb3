"""A mapping that is evaluated as in a run, but outside of one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ocean_actors.actors import CancelToken, SystemClock
from ocean_actors.frozen import freeze
from ocean_actors.log import NO_CONTEXT, RunLogger
from ocean_actors.mapping.process import JqProcess
from ocean_actors.mapping.resources import PortMapping, Resource


class Mapped:
    """A mapping, its token, and what it told about incompleteness."""

    def __init__(self, entries: list[Any], process: Callable[[CancelToken], JqProcess]) -> None:
        self.token = CancelToken()
        self.clock = SystemClock()
        self.incomplete: list[str] = []
        self.mapping = PortMapping(
            freeze({"resources": entries}), self.token, self.clock,
            RunLogger(logging.getLogger("ocean_actors.run.Test"), NO_CONTEXT),
            self.incomplete.append, process=process(self.token),
        )  # fmt: skip

    def only(self, kind: str = "thing") -> Resource:
        """The one entry of a kind."""
        (resource,) = self.mapping.resources(kind)
        return resource


def entry(mappings: Any, query: str = "true", kind: str = "thing", **port: Any) -> dict[str, Any]:
    """An entry of Port's mapping."""
    return {
        "kind": kind,
        "selector": {"query": query},
        "port": {"entity": {"mappings": mappings}, **port},
    }
