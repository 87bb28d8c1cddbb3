"""What the coordinator remembers for `status()` and for the warning about starvation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ocean_actors.messages import RunEnded, RunInfo
from ocean_actors.resync.load_stats import LoadStats
from ocean_actors.resync.totals import Totals

REMEMBERED_RUNS = 20


@dataclass(frozen=True)
class History:
    """The newest runs and some counts; bounded. `runs` are plain data, the oldest first."""

    runs: tuple[dict[str, Any], ...] = ()
    requests: int = 0  # that arrived
    ignored: int = 0  # requests, under the policy `ignore`
    late: int = 0  # results and progress that came after their run was over
    load: LoadStats = field(default_factory=LoadStats)
    totals: Totals = field(default_factory=Totals)

    def with_request(self, trigger: str, moment: float) -> History:
        """With one more request, which arrived at `moment` (monotonic seconds)."""
        return replace(
            self,
            requests=self.requests + 1,
            load=self.load.requested(moment),
            totals=self.totals.with_request(trigger),
        )

    def with_settled(self, trigger: str, outcome: str) -> History:
        """With one more request that needs nothing more, or was refused."""
        return replace(self, totals=self.totals.with_settled(trigger, outcome))

    def with_ignored(self) -> History:
        """With one more ignored request."""
        return replace(self, ignored=self.ignored + 1)

    def with_late(self) -> History:
        """With one more late message of a handler."""
        return replace(self, late=self.late + 1)

    def with_run(self, event: RunEnded) -> History:
        """With one more run."""
        ended = ended_data(event)
        runs = (*self.runs, ended)[-REMEMBERED_RUNS:]
        return replace(
            self,
            runs=runs,
            load=self.load.ran(ended["seconds"]),
            totals=self.totals.with_run(event),
        )

    def as_data(self) -> dict[str, Any]:
        """The part of `status()` that is about the past."""
        return {
            "runs": [dict(run) for run in self.runs],
            "requests": self.requests,
            "ignored": self.ignored,
            "late": self.late,
        }


def run_data(info: RunInfo) -> dict[str, Any]:
    """Returns what is known of a run when it starts, as plain data; times in ISO 8601."""
    return {
        "id": info.id,
        "trigger": info.trigger,
        "reason": info.reason,
        "requestedAt": info.requested_at.isoformat(),
        "startedAt": info.started_at.isoformat(),
    }


def ended_data(event: RunEnded) -> dict[str, Any]:
    """Returns a run that ended, as plain data; `seconds` is the time between start and end."""
    return {
        **run_data(event.run),
        "status": event.status,
        "seconds": (event.ended_at - event.run.started_at).total_seconds(),
        "entities": event.written.upserted,
        "failedEntities": event.written.failed,
        "deletedEntities": event.written.deleted,
        "failures": list(event.failures),
    }
