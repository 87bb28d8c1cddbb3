"""When an instance under KAFKA takes the role that the group has assigned to it."""

from __future__ import annotations

import pytest

from ocean_actors.actors import Message
from ocean_actors.leader.lease import TimedLease
from ocean_actors.leader.role import LeaseChanged
from ocean_actors.listeners.kafka.offsets import OffsetTracker
from ocean_actors.listeners.kafka.role import Role
from ocean_actors.testing import ManualClock

TOPIC = "org.change.log"
SESSION = 30.0  # seconds; the lease lasts two thirds of it


class Member:
    """A member of the group that has joined, and what its listener was told."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.told: list[Message] = []
        offsets = OffsetTracker()
        self.role = Role(offsets, SESSION, self.told.append, self.clock)
        self.role.join(TOPIC)
        offsets.assign((TOPIC, 0))

    def lease(self) -> TimedLease | None:
        last = self.told[-1]
        assert isinstance(last, LeaseChanged)
        return last.lease


@pytest.fixture
def member() -> Member:
    return Member()


def test_the_role_is_taken_right_after_a_short_join(member: Member) -> None:
    asked_at = member.clock.monotonic()
    member.clock.advance(1)
    member.role.confirm(asked_at)
    member.role.take()
    lease = member.lease()
    assert lease is not None
    assert lease.remaining() == pytest.approx(19)


def test_after_a_long_join_the_role_is_taken_with_the_first_heartbeat(member: Member) -> None:
    asked_at = member.clock.monotonic()
    member.clock.advance(19.9)  # the group waited for a member that died
    member.role.confirm(asked_at)
    member.role.take()
    assert member.told == []  # the lease would end before a heartbeat is answered
    member.role.confirm(member.clock.monotonic())
    member.role.take()
    lease = member.lease()
    assert lease is not None
    assert lease.remaining() == pytest.approx(20)


def test_without_the_partition_or_a_confirmation_the_role_is_not_taken(member: Member) -> None:
    member.role.take()
    assert member.told == []
    member.role.join("another topic")
    member.role.confirm(member.clock.monotonic())
    member.role.take()
    assert member.told == []


def test_the_role_ends_once(member: Member) -> None:
    member.role.confirm(member.clock.monotonic())
    member.role.take()
    lease = member.lease()
    member.role.end()
    member.role.end()
    assert len(member.told) == 2
    assert member.lease() is None
    assert lease is not None
    assert not lease.valid()
