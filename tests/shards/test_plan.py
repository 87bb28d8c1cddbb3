"""The plan, in any order of what may happen to its attempts."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.shards.outcome import Cancelled, Completed, Failed, Lost, ShardOutcome
from ocean_actors.shards.plan import Attempt, Plan, failure_text

OUTCOMES: st.SearchStrategy[ShardOutcome] = st.sampled_from(
    [Completed(1), Failed("it raised"), Lost("killed")]
)
PLANS = st.builds(
    Plan, total=st.integers(0, 8), workers=st.integers(1, 4), retries=st.integers(0, 3)
)


class Walk:
    """Carries a plan out, and keeps what an observer sees."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.started: list[Attempt] = []
        self.ended: list[tuple[Attempt, ShardOutcome]] = []
        self.start()

    def start(self) -> None:
        self.plan, attempts = self.plan.start()
        self.started += attempts
        assert len(self.plan.running) <= self.plan.workers

    def end(self, attempt: Attempt, outcome: ShardOutcome) -> None:
        self.plan = self.plan.ended(attempt, outcome)
        self.ended.append((attempt, outcome))
        self.start()

    def outcomes_of(self, shard: int) -> list[ShardOutcome]:
        return [outcome for attempt, outcome in self.ended if attempt.shard == shard]


def walked(plan: Plan, data: st.DataObject, *, stop_after: int | None = None) -> Walk:
    walk = Walk(plan)
    while walk.plan.running:
        if stop_after is not None and len(walk.ended) == stop_after:
            walk.plan = walk.plan.stop()
        running = sorted(walk.plan.running, key=lambda each: (each.shard, each.number))
        attempt = data.draw(st.sampled_from(running))
        outcome = data.draw(OUTCOMES)
        walk.end(attempt, Cancelled() if walk.plan.stopped else outcome)
    assert walk.plan.over
    return walk


@given(PLANS, st.data())
def test_every_shard_is_completed_or_failed_in_the_end(plan: Plan, data: st.DataObject) -> None:
    walk = walked(plan, data)
    failed = {each.shard for each in walk.plan.failures}
    assert walk.plan.completed + len(failed) == plan.total
    for shard in range(plan.total):
        *before, last = walk.outcomes_of(shard)
        assert before == [Lost("killed")] * len(before)  # only a lost worker is a reason to retry
        assert len(before) <= plan.retries
        assert isinstance(last, Completed) != (shard in failed)
        if isinstance(last, Lost):
            assert len(before) == plan.retries


@given(PLANS, st.data())
def test_no_attempt_is_started_twice_and_their_numbers_count(
    plan: Plan, data: st.DataObject
) -> None:
    walk = walked(plan, data)
    assert max(Counter(walk.started).values(), default=1) == 1
    for shard in range(plan.total):
        numbers = [each.number for each in walk.started if each.shard == shard]
        assert numbers == list(range(1, len(numbers) + 1))


@given(PLANS, st.data())
def test_all_workers_are_used_while_there_is_work(plan: Plan, data: st.DataObject) -> None:
    walk = Walk(plan)
    while walk.plan.running:
        left = plan.total - walk.plan.started + len(walk.plan.again)
        assert len(walk.plan.running) == plan.workers or left == 0
        attempt = data.draw(st.sampled_from(sorted(walk.plan.running, key=lambda e: e.shard)))
        walk.end(attempt, data.draw(OUTCOMES))


@given(PLANS, st.data())
def test_a_shard_is_tried_again_only_after_all_others_were_started(
    plan: Plan, data: st.DataObject
) -> None:
    walk = walked(plan, data)
    first = [each for each in walk.started if each.number == 1]
    assert [each.shard for each in first] == list(range(plan.total))
    assert walk.started[: plan.total] == first


@given(PLANS, st.data(), st.integers(0, 12))
def test_a_stopped_plan_starts_nothing_and_is_over_with_what_runs(
    plan: Plan, data: st.DataObject, stop_after: int
) -> None:
    walk = walked(plan, data, stop_after=stop_after)
    if walk.plan.stopped:
        assert len(walk.started) <= stop_after + plan.workers
        assert walk.plan.start() == (walk.plan, ())


def test_an_attempt_that_does_not_run_cannot_end() -> None:
    with pytest.raises(ValueError, match="was not running"):
        Plan(1, 1).ended(Attempt(0), Completed())


def test_a_plan_without_shards_is_over() -> None:
    assert Plan(0, 4).over


def test_the_text_of_failures_names_the_first_shards() -> None:
    plan, attempts = Plan(5, 5, retries=0).start()
    for attempt in attempts:
        plan = plan.ended(attempt, Lost("killed"))
    names = ["a", "b", "c", "d", "e"]
    assert failure_text(names, plan.failures, plan.total) == (
        "5 of 5 shards failed: a: killed; b: killed; c: killed; and 2 more"
    )
