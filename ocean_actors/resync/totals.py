"""What the coordinator has counted since it started, for metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from ocean_actors.actors import Query
from ocean_actors.counts import Counts
from ocean_actors.histogram import Histogram
from ocean_actors.messages import Progress, RunEnded, Written

RUN_SECONDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0)
"""Upper bounds of the buckets for the durations of runs."""

JOINED = "joined"
"""The outcome of a request that another one stands for."""


@dataclass(frozen=True)
class Totals:
    """Counters that only grow. Bounded: see `Counts`."""

    arrived: Counts = field(default_factory=Counts)  # requests, by trigger
    settled: Counts = field(default_factory=Counts)  # requests, by trigger and outcome
    runs: Counts = field(default_factory=Counts)  # by trigger and outcome
    durations: Histogram = field(default_factory=lambda: Histogram(RUN_SECONDS))  # of runs, seconds
    written: Written = field(default_factory=Written)  # by the runs that ended
    last_completed: datetime | None = None

    def with_request(self, trigger: str) -> Totals:
        """Returns the totals with one more request that arrived."""
        return replace(self, arrived=self.arrived.plus(trigger))

    def with_settled(self, trigger: str, outcome: str) -> Totals:
        """Returns the totals with one more request that needs nothing more, or was refused."""
        return replace(self, settled=self.settled.plus(self.arrived.name_for(trigger), outcome))

    def with_run(self, event: RunEnded) -> Totals:
        """Returns the totals with one more run."""
        completed = event.status == "completed"
        return replace(
            self,
            runs=self.runs.plus(self.arrived.name_for(event.run.trigger), event.status),
            durations=self.durations.plus((event.ended_at - event.run.started_at).total_seconds()),
            written=added(self.written, event.written),
            last_completed=event.ended_at if completed else self.last_completed,
        )

    def requests(self, waiting: Iterable[str]) -> Mapping[tuple[str, ...], int]:
        """Returns the requests by trigger and outcome.

        `waiting` are the triggers of those that are pending or that the run in flight covers:
        they have no outcome yet. All remaining requests count as `JOINED`.
        """
        left = Counter({trigger: count for (trigger,), count in self.arrived.values.items()})
        left.subtract(self.arrived.name_for(trigger) for trigger in waiting)
        for (trigger, _), count in self.settled.values.items():
            left[trigger] -= count
        joined: dict[tuple[str, ...], int] = {
            (trigger, JOINED): count for trigger, count in left.items() if count > 0
        }
        return {**self.settled.values, **joined}


@dataclass(frozen=True)
class ResyncMetrics:
    """What the coordinator counts and sees now.

    `active`: this instance runs the resyncs. `waiting`: see `Totals.requests`. `written`: by the
    run in flight. `progress` is the share that each handler of that run has done, from 0 to 1,
    where it can be told. `shards` counts the shards of each `ShardedHandler` by state (`done`,
    `running`, `waiting`), and `shard_entities` the entities of those that run. `waited` are the
    seconds that calls of each handler waited for rate limits.
    """

    active: bool
    totals: Totals
    waiting: tuple[str, ...] = ()
    written: Written = field(default_factory=Written)
    progress: Mapping[str, float] = field(default_factory=dict)
    shards: Mapping[tuple[str, str], int] = field(default_factory=dict)
    shard_entities: Mapping[str, int] = field(default_factory=dict)
    waited: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class GetMetrics(Query[ResyncMetrics]):
    """To the coordinator: answer what it counts and sees now."""


def added(one: Written, other: Written) -> Written:
    """Returns the sums of both."""
    return Written(
        one.upserted + other.upserted,
        one.failed + other.failed,
        one.deleted + other.deleted,
        superseded=one.superseded + other.superseded,
    )


def shard_counts(progress: Mapping[str, Progress]) -> dict[tuple[str, str], int]:
    """Returns the shards by handler and state, of the handlers that have shards."""
    counts: dict[tuple[str, str], int] = {}
    for name, said in progress.items():
        if said.shards is not None:
            done, running = int(said.done), len(said.shards)
            waiting = max(0, int(said.total or 0) - done - running)
            counts |= {(name, "done"): done, (name, "running"): running, (name, "waiting"): waiting}
    return counts


def shard_entities(progress: Mapping[str, Progress]) -> dict[str, int]:
    """Returns how many entities the shards that run have yielded, by handler."""
    return {
        name: sum(each.items for each in said.shards)
        for name, said in progress.items()
        if said.shards is not None
    }


def progress_ratios(
    handlers: Iterable[str], working: frozenset[str], progress: Mapping[str, Progress]
) -> dict[str, float]:
    """Returns the share of its work that each handler has done: 1 for one that has returned.

    A handler that has not said how much there is to do is left out.
    """
    ratios = {}
    for name in handlers:
        said = progress.get(name)
        if name not in working:
            ratios[name] = 1.0
        elif said is not None and said.total is not None and said.total > 0:
            ratios[name] = min(1.0, max(0.0, said.done / said.total))
    return ratios
