"""The pure part: bounded counters, histograms, totals that outlive the history, labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import get_args

from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from ocean_actors.counts import LIMIT, OTHER, Counts
from ocean_actors.frozen import FrozenDict
from ocean_actors.histogram import Histogram
from ocean_actors.messages import Outcome, Progress, RunEnded, RunInfo, Status, Written
from ocean_actors.metrics.collector import SystemCollector
from ocean_actors.metrics.samples import samples
from ocean_actors.metrics.snapshot import SystemMetrics, actor_metrics
from ocean_actors.resync.history import History
from ocean_actors.resync.totals import JOINED, ResyncMetrics, Totals, progress_ratios

BEGAN = datetime(2036, 1, 1, tzinfo=timezone.utc)
IDLE = SystemMetrics(identifier="a", type="custom", listener="POLLING", version="1")


def ended(status: Status, trigger: str = "polling", seconds: float = 2.0) -> RunEnded:
    info = RunInfo("run-1", 1, trigger, "test", BEGAN, BEGAN, FrozenDict())
    return RunEnded(info, status, BEGAN + timedelta(seconds=seconds), (), Written(3, 2, 1))


@given(st.lists(st.text(max_size=3), max_size=300))
def test_counts_lose_nothing_and_keep_a_bounded_number_of_names(names: list[str]) -> None:
    counts = Counts()
    for name in names:
        counts = counts.plus(name, "done")
    assert sum(counts.values.values()) == len(names)
    assert len({name for name, _ in counts.values}) <= LIMIT + 1
    kept = {name: count for (name, _), count in counts.values.items() if name != OTHER}
    assert all(Counter(names)[name] == count for name, count in kept.items())


def test_names_beyond_the_limit_are_counted_as_other() -> None:
    counts = Counts()
    for number in range(LIMIT + 5):
        counts = counts.plus(f"n{number}")
    assert counts.values[OTHER,] == 5
    assert counts.plus("n0").values["n0",] == 2


@given(st.lists(st.floats(0, 1000), max_size=50))
def test_a_histogram_counts_what_is_at_most_as_large_as_each_bound(values: list[float]) -> None:
    histogram = Histogram((1.0, 10.0, 100.0))
    for value in values:
        histogram = histogram.plus(value)
    for bound, count in histogram.cumulative():
        assert count == sum(value <= bound for value in values)
    assert histogram.cumulative()[-1] == (float("inf"), len(values))
    assert abs(histogram.total - sum(values)) < 1e-6


def test_totals_outlive_the_runs_that_the_history_keeps() -> None:
    history = History().with_request("polling", 0.0)
    for number in range(1000):
        history = history.with_run(ended("failed" if number % 4 else "completed"))
    totals = history.totals
    assert len(history.runs) < 1000
    assert totals.runs.values == {("polling", "failed"): 750, ("polling", "completed"): 250}
    assert totals.written == Written(3000, 2000, 1000)
    assert totals.durations.cumulative()[-1][1] == 1000
    assert totals.durations.total == 2000


def test_the_last_completed_run_is_not_forgotten_for_one_that_failed() -> None:
    totals = Totals().with_run(ended("completed", seconds=5)).with_run(ended("failed", seconds=9))
    assert totals.last_completed == BEGAN + timedelta(seconds=5)


@given(st.lists(st.tuples(st.integers(0, 150), st.booleans()), max_size=400))
def test_every_request_has_one_outcome_or_waits(steps: list[tuple[int, bool]]) -> None:
    totals, waiting = Totals(), set[str]()
    for number, settles in steps:
        trigger = f"t{number}"
        if settles and trigger in waiting:
            waiting.remove(trigger)
            totals = totals.with_settled(trigger, "completed")
        else:
            before = totals.requests(sorted(waiting))
            totals = totals.with_request(trigger)
            waiting.add(trigger)
            after = totals.requests(sorted(waiting))
            assert all(after[key] >= count for key, count in before.items())  # a counter grows
    outcomes = totals.requests(sorted(waiting))
    arrived = sum(totals.arrived.values.values())
    assert sum(outcomes.values()) + len(waiting) == arrived
    assert {outcome for _, outcome in outcomes} <= {*get_args(Outcome), JOINED}


def test_a_handler_that_has_returned_is_done_and_one_without_a_total_is_left_out() -> None:
    said = {
        "half": Progress("half", 5, 10),
        "over": Progress("over", 12, 10),
        "open": Progress("open", 7),
        "empty": Progress("empty", 0, 0),
    }
    handlers = ["half", "over", "open", "empty", "silent", "back"]
    assert progress_ratios(handlers, frozenset(handlers) - {"back"}, said) == {
        "half": 0.5,
        "over": 1.0,
        "back": 1.0,
    }


def exposition(metrics: SystemMetrics) -> str:
    class One:
        def measure(self) -> SystemMetrics:
            return metrics

    return SystemCollector(One()).exposition()[0].decode()


HOSTILE: list[Callable[[SystemMetrics, str], SystemMetrics]] = [
    lambda metrics, text: replace(metrics, identifier=text, type=text),
    lambda metrics, text: replace(metrics, mailboxes=((text, 1), (text + " ", 2))),
    lambda metrics, text: replace(metrics, restarts=Counts().plus(text).plus(text + "\n")),
    lambda metrics, text: replace(
        metrics,
        resync=ResyncMetrics(True, Totals().with_request(text).with_settled(text, "failed")),
    ),
    lambda metrics, text: replace(metrics, lags={(text, "0"): 1}),
]


@given(st.text(st.characters(), max_size=200), st.sampled_from(HOSTILE))
@example("\udc80", HOSTILE[0])  # cannot be encoded
@example("a\r\nb 1.0", HOSTILE[3])
@example("a", HOSTILE[1])  # two names that become one
def test_no_name_breaks_the_exposition(
    text: str, put: Callable[[SystemMetrics, str], SystemMetrics]
) -> None:
    metrics = put(IDLE, text)
    seen = [
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in text_string_to_metric_families(exposition(metrics))
        for sample in family.samples
    ]
    assert len(seen) == len(set(seen))  # Prometheus refuses a sample that comes twice
    assert len(seen) >= len(list(samples(metrics)))


def test_the_details_of_the_listener_give_the_lag_and_nothing_else_is_believed() -> None:
    shown = {"lag": {"org.change.log/0": 7, "a/b/12": 1}, "commits": {"succeeded": 2}}
    actors = [
        {"name": "kafka", "mailbox": 3, "details": shown},
        {"name": "mine", "mailbox": 0, "details": {"lag": {"x/0": 1}, "commits": 5}},
    ]
    metrics = actor_metrics(actors, listener="kafka")
    assert metrics["lags"] == {("org.change.log", "0"): 7, ("a/b", "12"): 1}
    assert metrics["commits"] == {"succeeded": 2}
    assert metrics["mailboxes"] == (("kafka", 3), ("mine", 0))
    assert actor_metrics(actors, listener="mine")["commits"] == {}
    assert actor_metrics([], listener="kafka")["lags"] == {}
