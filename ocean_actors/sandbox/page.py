"""What Port's page of an integration would show: sync metrics, heartbeats and logs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

KEPT = 10_000

Json = dict[str, Any]


def _kept() -> deque[Json]:
    return deque(maxlen=KEPT)


@dataclass
class Page:
    """What arrived for one integration, the last 10,000 of each, oldest first.

    Returned dicts never change.
    """

    rows: deque[Json] = field(default_factory=_kept)
    heartbeats: deque[Json] = field(default_factory=_kept)
    logs: deque[Json] = field(default_factory=_kept)

    def add_rows(self, method: str, rows: Iterable[Json], at: str) -> None:
        """Keep sync metrics of kinds that came in one call."""
        self.rows.extend({"method": method, "at": at, "kind": row} for row in rows)

    def add_heartbeat(self, event_id: str, at: str) -> None:
        """Keep a heartbeat of a run."""
        self.heartbeats.append({"eventId": event_id, "at": at})

    def add_logs(self, lines: Iterable[Json]) -> None:
        """Keep lines of a log."""
        self.logs.extend(lines)
