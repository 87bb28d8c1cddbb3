"""Which instance runs the resyncs: the one that the group has assigned partition 0 of the topic."""

from __future__ import annotations

from collections.abc import Callable

from ocean_actors.actors import Clock, Message
from ocean_actors.leader.lease import TimedLease
from ocean_actors.leader.role import LeaseChanged
from ocean_actors.listeners.kafka.offsets import OffsetTracker


class Role:
    """Tells `LeaseChanged` when the role is taken and when it ends.

    Used by the consumer's thread, and by kafka-python's while the former waits in a poll;
    `confirm` may be called at any time.
    """

    def __init__(
        self,
        offsets: OffsetTracker,
        session_seconds: float,
        tell: Callable[[Message], None],
        clock: Clock,
    ) -> None:
        self._offsets = offsets
        self._session_seconds = session_seconds
        self._tell = tell
        self._clock = clock
        self._topic = ""
        self._lease: TimedLease | None = None  # the one that the listener was told
        self._confirmed_at = float("-inf")

    @property
    def held(self) -> bool:
        """Returns whether the listener was told that the role is ours."""
        return self._lease is not None

    @property
    def expired(self) -> bool:
        """Returns whether the role is held, but another instance may take over soon."""
        return self._lease is not None and not self._lease.valid()

    def join(self, topic: str) -> None:
        """A new membership of the group begins: nothing has confirmed it yet."""
        self._topic = topic
        self._confirmed_at = float("-inf")

    def assigned(self) -> bool:
        """Returns whether the partition that confers the role is ours."""
        return (self._topic, 0) in self._offsets.partitions

    def confirm(self, sent_at: float) -> None:
        """The broker has answered a heartbeat or a join request that was sent at `sent_at`."""
        self._confirmed_at = sent_at
        lease = self._lease
        if lease is not None:
            lease.renew(sent_at)

    def take(self) -> None:
        """Take the role if the partition is assigned and the membership was confirmed lately.

        A join may have taken nearly as long as the lease lasts, as the group waits for a member
        that died. The role is then taken after the first heartbeat, not lost before it.
        """
        lease = TimedLease(self._clock, self._confirmed_at, self._session_seconds)
        lately = lease.remaining() > self._session_seconds / 3
        if self._lease is None and self.assigned() and lately:
            self._lease = lease
            self._tell(LeaseChanged(lease))

    def end(self) -> None:
        """Give the role up, if it is held."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.end()
            self._tell(LeaseChanged(None))
