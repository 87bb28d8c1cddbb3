"""From the values of a system to the samples of its metrics. Pure; knows no Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from ocean_actors.counts import LIMIT, OTHER
from ocean_actors.histogram import Histogram
from ocean_actors.messages import Status, Written
from ocean_actors.metrics.snapshot import SystemMetrics
from ocean_actors.resync.totals import ResyncMetrics, Totals, added
from ocean_actors.text import one_line

LONGEST_LABEL = 120  # characters
LIVE_OUTCOMES = ("accepted", "refused", "handled", "retried", "dead")

Labels = tuple[str, ...]
"""Values in the order of the metric's labels."""


@dataclass(frozen=True)
class Sample:
    """One value of the metric `name` of the catalog."""

    name: str
    labels: Labels
    value: float | Histogram


def samples(system: SystemMetrics) -> Iterator[Sample]:
    """Yields the samples of a system; no two of one metric have the same labels."""
    identity = (system.identifier, system.type, system.listener, system.version)
    yield from _values("info", {identity: 1})
    if system.resync is not None:
        yield from _resync(system.resync)
    answers = system.calls.answers.values.items()
    yield from _values(
        "port_requests_total", {(method, code): count for (code, method), count in answers}
    )
    yield Sample("port_request_duration_seconds", (), system.calls.durations)
    yield Sample("port_retries_total", (), system.calls.retries)
    yield from _values("kafka_lag_messages", system.lags)
    yield from _values("kafka_commits_total", {(key,): n for key, n in system.commits.items()})
    yield from _live(system.live)
    yield from _actors(system)
    yield Sample("dead_letters_total", (), system.dead_letters)
    yield Sample("left_behind_threads", (), system.left_behind)


def _resync(resync: ResyncMetrics) -> Iterator[Sample]:
    totals = resync.totals
    yield Sample("active", (), int(resync.active))
    yield from _values("runs_total", _runs(totals))
    yield Sample("run_duration_seconds", (), totals.durations)
    ended = totals.last_completed
    yield Sample(
        "last_completed_run_timestamp_seconds", (), 0 if ended is None else ended.timestamp()
    )
    yield from _values("requests_total", totals.requests(resync.waiting))
    yield from _values(
        "handler_progress_ratio", {(name,): ratio for name, ratio in resync.progress.items()}
    )
    yield from _values(
        "shards", {(name, state): count for (name, state), count in resync.shards.items()}
    )
    yield from _values(
        "shard_entities", {(name,): count for name, count in resync.shard_entities.items()}
    )
    yield from _values(
        "rate_limit_wait_seconds_total", {(name,): each for name, each in resync.waited.items()}
    )
    yield from _values("entities_total", _by_result(added(totals.written, resync.written)))


def _live(paths: Mapping[str, Mapping[str, int]]) -> Iterator[Sample]:
    yield from _values(
        "live_events_total",
        {(path, each): counts[each] for path, counts in paths.items() for each in LIVE_OUTCOMES},
    )
    yield from _values(
        "live_queue",
        {(path,): counts["queued"] + counts["running"] for path, counts in paths.items()},
    )


def _runs(totals: Totals) -> dict[Labels, int]:
    """Returns the runs by outcome and trigger, including zeros.

    A counter that begins with its first failure would hide that one from Prometheus' `increase`.
    """
    triggers = [trigger for (trigger,) in totals.arrived.values]
    none: dict[Labels, int] = {
        (outcome, trigger): 0 for trigger in triggers for outcome in get_args(Status)
    }
    runs = totals.runs.values.items()
    return {**none, **{(outcome, trigger): count for (trigger, outcome), count in runs}}


def _by_result(written: Written) -> dict[Labels, int]:
    return {
        ("upserted",): written.upserted,
        ("failed",): written.failed,
        ("deleted",): written.deleted,
    }


def _actors(system: SystemMetrics) -> Iterator[Sample]:
    """Yields what is known by actor: the oldest by name, the others together as `OTHER`."""
    waiting: Counter[Labels] = Counter()
    for position, (name, count) in enumerate(system.mailboxes):
        waiting[(name if position < LIMIT else OTHER,)] += count
    yield from _values("mailbox_messages", waiting)
    restarts = {**dict.fromkeys(waiting, 0), **system.restarts.values}  # zeros: see `_runs`
    yield from _values("actor_restarts_total", restarts)


def _values(name: str, values: Mapping[Labels, float]) -> Iterator[Sample]:
    """Yields a sample for each set of labels; each label is one line of printable text.

    Values whose labels become the same are added, as Prometheus refuses an exposition that has
    a sample twice.
    """
    printable: dict[Labels, float] = {}
    for labels, value in values.items():
        line = _printable(labels)
        printable[line] = printable.get(line, 0) + value
    for labels, value in printable.items():
        yield Sample(name, labels, value)


def _printable(labels: Iterable[str]) -> Labels:
    return tuple(one_line(label, LONGEST_LABEL) for label in labels)
