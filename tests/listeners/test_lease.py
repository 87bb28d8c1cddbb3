"""Whether a partition is still ours, as far as can be known."""

from dataclasses import dataclass

import pytest

from ocean_actors.listeners.kafka.consumer import Lease
from ocean_actors.testing import ManualClock


@dataclass
class Beats:
    last_send: float = 0.0
    last_receive: float = 0.0


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def lease(clock):
    return Lease(clock, session_seconds=10)


def test_it_holds_while_the_reader_goes_round(lease, clock):
    for _ in range(20):
        clock.advance(1.0)
        lease.tick(Beats())
        assert lease.valid()


def test_after_a_sleep_it_holds_when_a_heartbeat_sent_since_was_answered(lease, clock):
    slept_at = clock.monotonic()
    clock.advance(6.0)
    assert not lease.valid()  # whoever wakes first
    woke_at = clock.monotonic()
    lease.tick(Beats(slept_at, slept_at))
    assert not lease.valid()
    clock.advance(0.1)
    lease.tick(Beats(slept_at, woke_at + 0.05))  # an answer of before the sleep, read after it
    assert not lease.valid()
    lease.tick(Beats(woke_at + 0.1, woke_at + 0.05))  # on its way
    assert not lease.valid()
    lease.tick(Beats(woke_at + 0.1, woke_at + 0.1))
    assert lease.valid()


def test_once_over_it_never_holds_again(lease, clock):
    lease.end()
    lease.tick(Beats(clock.monotonic() + 1, clock.monotonic() + 1))
    assert not lease.valid()
