"""Whether a partition is still ours, as far as can be known."""

from dataclasses import dataclass

import pytest

from ocean_actors.listeners.kafka.consumer import Tenure
from ocean_actors.testing import ManualClock


@dataclass
class Beats:
    last_send: float = 0.0
    last_receive: float = 0.0


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def tenure(clock):
    return Tenure(clock, session_seconds=10)


def test_it_holds_while_the_reader_goes_round(tenure, clock):
    for _ in range(20):
        clock.advance(1.0)
        tenure.tick(Beats())
        assert tenure.holds()


def test_after_a_sleep_it_holds_when_a_heartbeat_sent_since_was_answered(tenure, clock):
    slept_at = clock.monotonic()
    clock.advance(6.0)
    assert not tenure.holds()  # whoever wakes first
    woke_at = clock.monotonic()
    tenure.tick(Beats(slept_at, slept_at))
    assert not tenure.holds()
    clock.advance(0.1)
    tenure.tick(Beats(slept_at, woke_at + 0.05))  # an answer of before the sleep, read after it
    assert not tenure.holds()
    tenure.tick(Beats(woke_at + 0.1, woke_at + 0.05))  # on its way
    assert not tenure.holds()
    tenure.tick(Beats(woke_at + 0.1, woke_at + 0.1))
    assert tenure.holds()


def test_once_over_it_never_holds_again(tenure, clock):
    tenure.end()
    tenure.tick(Beats(clock.monotonic() + 1, clock.monotonic() + 1))
    assert not tenure.holds()
