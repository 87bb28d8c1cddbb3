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
    """One PATCH of Port's resync state. `run` is the run's number.

    `left` is the end of a run that a dead process left running, if Port's record shows one.
    """

    run: int
    kind: Literal["left", "start", "end"]
    body: FrozenDict


def report_of(event: RunStarted | RunEnded, schedule: Schedule | None) -> Report:
    """The report of an event, in Port's spelling."""
    if isinstance(event, RunEnded):
        body = _body(event.status, event.ended_at, schedule)
        return Report(event.run.number, "end", body)
    return Report(event.run.number, "start", _body("running", event.run.started_at, schedule))


def left_running(now: datetime, schedule: Schedule | None) -> Report:
    """The end of a run whose process died in it; runs of ours are numbered from 1."""
    return Report(0, "left", _body("aborted", now, schedule))


def _body(status: str, moment: datetime, schedule: Schedule | None) -> FrozenDict:
    running = status == "running"
    body = {
        "status": status,
        "lastResyncEnd": None if running else moment.isoformat(),
        "nextResync": None if schedule is None else schedule.next_after(moment).isoformat(),
        "intervalInMinuets": None if schedule is None else schedule.minutes,  # Port's spelling
    }
    if running:
        body["lastResyncStart"] = moment.isoformat()
    return FrozenDict(body)


def enqueue(queue: tuple[Report, ...], report: Report, kept: int = KEPT_RUNS) -> tuple[Report, ...]:
    """Append a report; beyond `kept` runs the oldest that Port has heard nothing of is left out.

    A run leaves with both its reports, so what Port sees stays legal: running, then its end.
    The first in the queue may be on its way, or have arrived without our hearing of it.
    """
    longer = (*queue, report)
    known = {longer[0].run, report.run}
    whole = [item.run for item in longer if item.kind == "start" and item.run not in known]
    if len(whole) < kept:
        return longer
    return tuple(item for item in longer if item.run != whole[0])
