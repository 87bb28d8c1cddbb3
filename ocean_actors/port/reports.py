"""What Port is told about runs, and which of it still matters while Port cannot be reached."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from ocean_actors.frozen import FrozenDict
from ocean_actors.messages import RunEnded, RunStarted

KEPT_RUNS = 100


@dataclass(frozen=True)
class Schedule:
    """The scheduled resync: every `minutes` from `anchor` on."""

    anchor: datetime
    minutes: int

    def next_after(self, now: datetime) -> datetime:
        """The first beat after `now`."""
        interval = timedelta(minutes=self.minutes)
        return self.anchor + (math.floor((now - self.anchor) / interval) + 1) * interval


@dataclass(frozen=True)
class Report:
    """One PATCH of Port's resync state. `run` is the run's number."""

    run: int
    kind: Literal["start", "end"]
    body: FrozenDict


def report_of(event: RunStarted | RunEnded, schedule: Schedule | None) -> Report:
    """The report of an event, in Port's spelling (`intervalInMinuets` is Port's)."""
    ended = isinstance(event, RunEnded)
    moment = event.ended_at if isinstance(event, RunEnded) else event.run.started_at
    following = schedule.next_after(moment) if schedule is not None else None
    body = {
        "status": event.status if isinstance(event, RunEnded) else "running",
        "lastResyncEnd": moment.isoformat() if ended else None,
        "nextResync": following.isoformat() if following is not None else None,
        "intervalInMinuets": schedule.minutes if schedule is not None else None,
    }
    if not ended:
        body["lastResyncStart"] = moment.isoformat()
    return Report(event.run.number, "end" if ended else "start", FrozenDict(body))


def enqueue(queue: tuple[Report, ...], report: Report, kept: int = KEPT_RUNS) -> tuple[Report, ...]:
    """Append a report; beyond `kept` runs the oldest that Port has heard nothing of is left out.

    A run leaves with both its reports, so what Port sees stays legal: running, then its end.
    """
    longer = (*queue, report)
    whole = [item.run for item in longer if item.kind == "start" and item.run != report.run]
    if len(whole) < kept:
        return longer
    return tuple(item for item in longer if item.run != whole[0])
