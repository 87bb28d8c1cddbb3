"""What the coordinator remembers for `status()` and for the warning about starvation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ocean_actors.messages import ResyncRequested, RunEnded, RunInfo, Written
from ocean_actors.resync.load_stats import LoadStats
from ocean_actors.resync.totals import Totals

REMEMBERED_RUNS = 200


@dataclass(frozen=True)
class History:
    """The newest runs and some counts; bounded. `runs` are plain data, the oldest first."""

    runs: tuple[dict[str, Any], ...] = ()
    requests: int = 0  # that arrived
    ignored: int = 0  # requests, under the policy `ignore` or because an actor decided so
    covered: int = 0  # requests that a run has settled
    late: int = 0  # results and progress that came after their run was over
    load: LoadStats = field(default_factory=LoadStats)
    totals: Totals = field(default_factory=Totals)

    def with_request(self, trigger: str, moment: float) -> History:
        """Returns the history with one more request, at `moment` (monotonic seconds)."""
        return replace(
            self,
            requests=self.requests + 1,
            load=self.load.requested(moment),
            totals=self.totals.with_request(trigger),
        )

    def with_settled(self, trigger: str, outcome: str) -> History:
        """Returns the history with one more request that needs nothing more, or was refused."""
        return replace(self, totals=self.totals.with_settled(trigger, outcome))

    def with_ignored(self) -> History:
        """Returns the history with one more ignored request."""
        return replace(self, ignored=self.ignored + 1)

    def with_covered(self, count: int) -> History:
        """Returns the history with `count` more requests that a run has settled."""
        return replace(self, covered=self.covered + count)

    def with_late(self) -> History:
        """Returns the history with one more late message of a handler."""
        return replace(self, late=self.late + 1)

    def with_run(self, event: RunEnded) -> History:
        """Returns the history with one more run."""
        ended = ended_data(event)
        runs = (*self.runs, ended)[-REMEMBERED_RUNS:]
        return replace(
            self,
            runs=runs,
            load=self.load.ran(ended["seconds"]),
            totals=self.totals.with_run(event),
        )

    def as_data(self) -> dict[str, Any]:
        """Returns the part of `status()` that is about the past."""
        return {
            "runs": [dict(run) for run in self.runs],
            "requests": self.requests,
            "ignored": self.ignored,
            "covered": self.covered,
            "late": self.late,
        }


def run_data(info: RunInfo) -> dict[str, Any]:
    """Returns what is known of a run when it starts, as plain data; times in ISO 8601."""
    return {
        "id": info.id,
        "number": info.number,
        "trigger": info.trigger,
        "reason": info.reason,
        "requestedAt": info.requested_at.isoformat(),
        "startedAt": info.started_at.isoformat(),
        "kinds": list(info.kinds) if info.partial else None,
        "covered": info.covered,
    }


def ended_data(event: RunEnded) -> dict[str, Any]:
    """Returns a run that ended, as plain data; `seconds` is the time between start and end."""
    return {
        **run_data(event.run),
        "status": event.status,
        "seconds": (event.ended_at - event.run.started_at).total_seconds(),
        **written_data(event.written),
        "failures": list(event.failures),
    }


def written_data(written: Written) -> dict[str, int]:
    """Returns what a run wrote, as plain data."""
    return {
        "entities": written.upserted,
        "failedEntities": written.failed,
        "deletedEntities": written.deleted,
        "supersededEntities": written.superseded,
    }


def request_data(request: ResyncRequested) -> dict[str, Any]:
    """Returns a request that waits, as plain data.

    Its parameters are left out, as they may be secret.
    """
    return {
        "id": request.id,
        "trigger": request.trigger,
        "reason": request.reason,
        "requestedAt": request.requested_at.isoformat(),
        "kinds": None if request.kinds is None else list(request.kinds),
        "policy": request.policy,
    }
