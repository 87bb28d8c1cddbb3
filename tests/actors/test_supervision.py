"""The decisions about failures, as values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.actors import Backoff, OnFailure, Supervision
from ocean_actors.actors.supervision import decide_after_failure


def test_delays_double_up_to_the_maximum() -> None:
    backoff = Backoff(initial=0.5, maximum=3.0, jitter=0.0)
    assert [backoff.delay(failures, 0.9) for failures in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert backoff.delay(10_000, 0.9) == 3.0
    assert Backoff(factor=1.0, jitter=0.0).delay(10_000, 0.9) == 0.1


@given(st.integers(0, 100), st.floats(0, 1, exclude_max=True))
def test_jitter_shortens_a_delay_by_its_share_at_most(failures: int, jitter: float) -> None:
    full = Backoff(jitter=0.0).delay(failures, jitter)
    assert full * 0.5 <= Backoff(jitter=0.5).delay(failures, jitter) <= full


def test_failures_within_the_window_count_and_one_above_the_limit_escalates() -> None:
    policy = Supervision(limit=2, window=10.0, backoff=Backoff(1.0, jitter=0.0))
    first = decide_after_failure(policy, (), 100.0, 0.0)
    second = decide_after_failure(policy, first.failures, 101.0, 0.0)
    third = decide_after_failure(policy, second.failures, 109.0, 0.0)
    assert [v.action for v in (first, second, third)] == [
        OnFailure.RESTART,
        OnFailure.RESTART,
        OnFailure.ESCALATE,
    ]
    assert (first.delay, second.delay) == (1.0, 2.0)
    later = decide_after_failure(policy, second.failures, 111.0, 0.0)
    assert (later.action, later.delay, later.failures) == (OnFailure.RESTART, 1.0, (111.0,))


@pytest.mark.parametrize("action", [OnFailure.STOP, OnFailure.ESCALATE])
def test_other_policies_need_no_budget(action: OnFailure) -> None:
    assert decide_after_failure(Supervision(action, limit=0), (), 1.0, 0.0).action is action
