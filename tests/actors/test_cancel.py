"""Cancelling what an actor is in the middle of."""

from __future__ import annotations

import threading

import pytest

from ocean_actors.actors import Cancelled, CancelToken
from ocean_actors.testing import ManualClock


class WorkCancelled(Cancelled):
    pass


def test_check_raises_the_error_of_the_token_with_the_first_reason() -> None:
    token = CancelToken(WorkCancelled)
    token.check()
    assert not token.cancelled
    token.cancel("first")
    token.cancel("second")
    with pytest.raises(WorkCancelled, match="first") as caught:
        token.check()
    assert (token.cancelled, caught.value.reason) == (True, "first")
    assert not isinstance(caught.value, Exception)


def test_callbacks_run_once_and_at_once_if_it_is_too_late() -> None:
    token, called = CancelToken(), []
    token.on_cancel(lambda: called.append("kept"))
    forget = token.on_cancel(lambda: called.append("forgotten"))
    forget()
    token.cancel("now")
    token.cancel("again")
    token.on_cancel(lambda: called.append("late"))()
    assert called == ["kept", "late"]


def test_a_failing_callback_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    token, called = CancelToken(), []
    token.on_cancel(lambda: called.append(1 / 0))
    token.on_cancel(lambda: called.append(1))
    token.cancel("now")
    assert called == [1]
    assert "ZeroDivisionError" in caplog.text
    caplog.clear()
    token.on_cancel(lambda: called.append(1 / 0))()  # called at once, as it is too late
    assert "ZeroDivisionError" in caplog.text


def sleeper(token: CancelToken, clock: ManualClock) -> tuple[threading.Thread, list[object]]:
    asleep = threading.Event()
    outcome: list[object] = []
    clock.on_sleep.add(asleep.set)

    def sleep() -> None:
        try:
            token.sleep(10.0, clock)
            outcome.append(clock.now())
        except Cancelled as error:
            outcome.append(error.reason)

    thread = threading.Thread(target=sleep)
    thread.start()
    assert asleep.wait(30)
    return thread, outcome


def test_sleep_lasts_as_long_as_the_clock_says(clock: ManualClock) -> None:
    began = clock.now()
    token = CancelToken()
    thread, outcome = sleeper(token, clock)
    clock.advance(9.999)
    assert outcome == []
    clock.advance(0.001)
    thread.join(30)
    (woken,) = outcome
    assert (woken - began).total_seconds() == 10.0  # type: ignore[operator]
    assert clock.pending() == 0
    assert token._callbacks == {}


def test_cancelling_ends_a_sleep_at_once(clock: ManualClock) -> None:
    token = CancelToken()
    thread, outcome = sleeper(token, clock)
    token.cancel("enough")
    thread.join(30)
    assert outcome == ["enough"]
    assert clock.pending() == 0
    with pytest.raises(Cancelled):
        token.sleep(10.0, clock)
