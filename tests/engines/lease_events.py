"""What happened to the Leases, for those who watch: the part of the API server that etcd is."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
MOST = 1_000  # events that are known
EXPIRED = {
    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
    "reason": "Expired", "code": 410,
}  # fmt: skip


@dataclass(frozen=True)
class Selection:
    """Which Leases are watched, and since when. Pure."""

    namespace: str
    name: str | None
    since: int | None
    seconds: float

    @classmethod
    def of(cls, namespace: str, query: Mapping[str, str]) -> Selection:
        """Read the query of a call with `watch=true`."""
        field, _, name = query.get("fieldSelector", "").partition("=")
        version = query.get("resourceVersion") or "0"
        return cls(
            namespace,
            name if field == "metadata.name" else None,
            None if version == "0" else int(version),
            float(query.get("timeoutSeconds") or 1800.0),
        )

    def has(self, lease: Json) -> bool:
        metadata = lease["metadata"]
        return metadata["namespace"] == self.namespace and self.name in (None, metadata["name"])


class Events:
    """Events in the order of their versions. Any thread may call the methods."""

    def __init__(self) -> None:
        self._events: list[tuple[int, str, Json]] = []
        self._forgotten = 0  # the newest version that is no longer known
        self._changed = threading.Condition()

    def add(self, kind: str, lease: Json) -> None:
        with self._changed:
            self._events.append((int(lease["metadata"]["resourceVersion"]), kind, lease))
            self._forget(len(self._events) - MOST)
            self._changed.notify_all()

    def forget(self) -> None:
        """Compact the history, as etcd does every five minutes."""
        with self._changed:
            self._forget(len(self._events))

    def _forget(self, count: int) -> None:
        if count > 0:
            self._forgotten = self._events[count - 1][0]
            del self._events[:count]

    def watch(
        self,
        selection: Selection,
        existing: Callable[[], tuple[int, list[Json]]],
        over: Callable[[], bool],
    ) -> Iterator[bytes]:
        """Yields a line for each event until `over`.

        Without a version it begins with what there is: `existing` returns the newest version and
        the Leases.
        """
        since = selection.since
        if since is None:
            since, leases = existing()
            yield from (line("ADDED", each) for each in leases if selection.has(each))
        while not over():
            news = self._after(since)
            if news is None:
                told = f"too old resource version: {since} ({self._forgotten})"
                yield line("ERROR", {**EXPIRED, "message": told})
                return
            for version, kind, lease in news:
                since = version
                if selection.has(lease):
                    yield line(kind, lease)

    def _after(self, version: int) -> list[tuple[int, str, Json]] | None:
        """Returns newer events, after a while at the latest; None if some are not known."""
        with self._changed:
            if version < self._forgotten:
                return None
            if not self._events or self._events[-1][0] <= version:
                self._changed.wait(0.01)
            return [event for event in self._events if event[0] > version]


def line(kind: str, lease: Json) -> bytes:
    return json.dumps({"type": kind, "object": lease}).encode() + b"\n"
