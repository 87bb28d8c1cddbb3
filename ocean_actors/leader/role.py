"""The role that a lease confers: the actor that has one tells the coordinator."""

from __future__ import annotations

from dataclasses import dataclass

from ocean_actors.actors import Message, handles
from ocean_actors.context import Actor
from ocean_actors.leader.lease import TimedLease


@dataclass(frozen=True)
class LeaseChanged(Message):
    """Resyncs may be run while `lease` is valid. None: this instance has to stand by."""

    lease: TimedLease | None


@dataclass(frozen=True)
class CheckLease(Message):
    """To itself: stand by if `lease` has run out."""

    lease: TimedLease


class RoleActor(Actor):
    """Takes the role when it is told a lease, and gives it up at the lease's end at the latest.

    `sources` are the actors whose requests then go to another instance.
    """

    def __init__(self, sources: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._sources = sources
        self._lease: TimedLease | None = None

    @handles(LeaseChanged)
    def on_lease_changed(self, changed: LeaseChanged) -> None:
        """Run the resyncs, or stand by."""
        self._lease = changed.lease
        self._set_role(changed.lease)
        if changed.lease is not None:
            self._check_later(changed.lease)

    @handles(CheckLease)
    def on_check_lease(self, check: CheckLease) -> None:
        """Stand by if the lease has run out; whoever renews it may be waiting for an answer."""
        if check.lease is not self._lease:
            return
        if check.lease.valid():
            self._check_later(check.lease)
        else:
            check.lease.end()
            self._lease = None
            self._set_role(None)

    def _set_role(self, lease: TimedLease | None) -> None:
        self.context.set_role(active=lease is not None, lease=lease, sources=self._sources)

    def _check_later(self, lease: TimedLease) -> None:
        self.context.schedule(lease.remaining(), CheckLease(lease))
