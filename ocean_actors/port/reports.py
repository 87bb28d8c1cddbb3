"""The reports of runs, and which of them still matter while Port cannot be reached."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from ocean_actors.frozen import FrozenDict
from ocean_actors.messages import RunEnded, RunStarted

KEPT_RUNS = 100


@dataclass
class Schedule:
    """The scheduled resync: every `minutes` from `anchor` on. For any thread.

    An instance that takes over goes on with the times of the one before it.
    """

    anchor: datetime
    minutes: int

    def go_on(self, next_resync: datetime | None) -> None:
        """Keep in phase with the next resync that Port's record names, if there is one."""
        if next_resync is not None:
            self.anchor = next_resync

    def seconds_to_next(self, now: datetime) -> float:
        """Returns the seconds until the next scheduled resync after `now` is due."""
        return (self.next_after(now) - now).total_seconds()

    def next_after(self, now: datetime) -> datetime:
        """Returns when the next scheduled resync after `now` is due."""
        interval = timedelta(minutes=self.minutes)
        return self.anchor + (math.floor((now - self.anchor) / interval) + 1) * interval


@dataclass(frozen=True)
class Report:
    """One PATCH of Port's resync state. `run` is the run's number, `run_id` its id.

    The kind `left` is the end of another run that Port's record shows as running, if it does.
    """

    run: int
    kind: Literal["left", "start", "end"]
    body: FrozenDict
    run_id: str = ""


def report_of(event: RunStarted | RunEnded, schedule: Schedule | None) -> Report:
    """Returns the report of an event, in Port's spelling."""
    if isinstance(event, RunEnded):
        body = _body(event.status, event.ended_at, schedule)
        return Report(event.run.number, "end", body, event.run.id)
    body = _body("running", event.run.started_at, schedule)
    return Report(event.run.number, "start", body, event.run.id)


def left_running(now: datetime, schedule: Schedule | None) -> Report:
    """Returns a report that ends whatever run Port shows as running; ours are numbered from 1."""
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
    """Returns the queue with a report appended, and without the oldest run beyond `kept`.

    Only runs of which nothing was sent are left out, and with both reports, so that Port always
    sees `running` and then an end. The first report in the queue may have arrived although its
    answer was lost, so its run stays.
    """
    longer = (*queue, report)
    known = {longer[0].run, report.run}
    whole = [item.run for item in longer if item.kind == "start" and item.run not in known]
    if len(whole) < kept:
        return longer
    return tuple(item for item in longer if item.run != whole[0])
