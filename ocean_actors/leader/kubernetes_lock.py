"""The Lease that decides who leads, as the Kubernetes client's leader election handles it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ocean_actors.actors import Clock
from ocean_actors.leader.spec import ElectionError, Seat

if TYPE_CHECKING:
    from ocean_actors.leader.kubernetes_api import LeaseApi

SEAT = "ocean-actors/seat"
"""The annotation that tells which integration a Lease is for."""


@dataclass(frozen=True)
class Sighting:
    """One version of the Lease, and when this instance first saw it. Pure.

    `holder`: the identity of the leader; "" if there is none. `seconds`: for how long its last
    renewal counts; 0 if it was released. `at`: seconds of this instance's `clock.monotonic()`. The
    clocks of other instances, and the times that they write into the Lease, do not matter.
    """

    version: str
    holder: str
    seconds: float
    at: float

    def is_free(self, identity: str, now: float, ttl: float) -> bool:
        """Returns whether `identity` may take the Lease, or renew it, at `now`.

        The renewal was asked for before it was seen. So the time to live that begins when it was
        seen ends no earlier than the holder's. The longer one counts if the two differ. If the
        holder was removed by hand, its lease may still be valid.
        """
        released = not self.holder and not self.seconds
        return released or self.holder == identity or now >= self.at + max(ttl, self.seconds)


class LeaseMissing(Exception):
    """There is no such Lease. The client's leader election reads `body`."""

    body = '{"code": 404}'
    reason = "Not Found"


class LeaseLock:
    """A lock for `kubernetes.leaderelection.LeaderElection`, which calls get, create and update.

    The client's own lock turns every failure into "not the leader", and its election compares
    times of the wall clock, which may jump. This lock raises ElectionError, and decides by the
    monotonic clock whether the Lease is free. A write that is based on an outdated version is
    refused by the API server, so only one of several instances takes a free Lease.
    """

    def __init__(self, api: LeaseApi, seat: Seat, identity: str, ttl: float, clock: Clock) -> None:
        self.identity = identity
        self.name = api.name
        self.namespace = api.namespace
        self.asked_at = 0.0
        """When the attempt under way began; the election sets it."""
        self._api = api
        self._seat = seat
        self._ttl = ttl
        self._clock = clock
        self._lease: Any = None  # the V1Lease as it is; None if there is none
        self._sighting: Sighting | None = None
        self._in_doubt = False  # a write may have been carried out or not

    def get(self, _name: str, _namespace: str) -> tuple[bool, Any]:
        """Returns True and the record of the Lease, or False and the error that it is missing.

        The record has no holder if this instance may take the Lease, or if the Lease of another
        instance was deleted while its lease may still be valid. Raises ElectionError if there is
        no answer, or if the Lease is in use by another integration.
        """
        from kubernetes.leaderelection.leaderelectionrecord import LeaderElectionRecord

        lease = self._api.read()
        self._saw(lease)
        if lease is None and self._is_free():
            return False, LeaseMissing()
        if lease is None or self._is_free():
            return True, LeaderElectionRecord(None, None, None, None)  # see `update`
        self._check_seat(lease)
        spec = lease.spec
        return True, LeaderElectionRecord(
            spec.holder_identity, spec.lease_duration_seconds, spec.acquire_time, spec.renew_time
        )

    def create(self, name: str, namespace: str, election_record: Any) -> bool:
        """Create the Lease and hold it; returns False if another instance was faster."""
        from kubernetes import client

        metadata = client.V1ObjectMeta(name=name, namespace=namespace)
        lease = client.V1Lease(metadata=metadata, spec=client.V1LeaseSpec())
        return self._write(lease, election_record.holder_identity)

    def update(self, _name: str, _namespace: str, updated_record: Any) -> bool:
        """Take the Lease or renew it; returns False if it is not free or has changed meanwhile."""
        return self._is_free() and self._write(self._lease, updated_record.holder_identity)

    @property
    def conflicted(self) -> bool:
        """Whether the Lease was changed by somebody else between the last read and write."""
        return self._in_doubt

    @property
    def released(self) -> bool:
        """Whether it is certain that this instance does not hold the Lease."""
        seen = self._sighting
        held = self._lease is not None and seen is not None and seen.holder == self.identity
        return not self._in_doubt and not held

    def release(self) -> None:
        """Make one call towards `released`: a write, or a read if the newest version is unknown.

        Raises ElectionError if there is no answer.
        """
        if self._in_doubt:
            self._saw(self._api.read())
        elif not self.released:
            self._write(self._lease, "")

    def _is_free(self) -> bool:
        seen = self._sighting
        return seen is None or seen.is_free(self.identity, self.asked_at, self._ttl)

    def _saw(self, lease: Any) -> None:
        self._in_doubt = False
        self._lease = lease
        if lease is None:
            return  # the newest version that was seen still counts
        version = lease.metadata.resource_version
        if self._sighting is None or self._sighting.version != version:
            holder = lease.spec.holder_identity if lease.spec else None
            seconds = lease.spec.lease_duration_seconds if lease.spec else None
            now = self._clock.monotonic()
            self._sighting = Sighting(version, holder or "", seconds or 0, now)

    def _write(self, lease: Any, holder: str) -> bool:
        from kubernetes import client

        spec = lease.spec = lease.spec or client.V1LeaseSpec()
        now = _micro_time(self._clock.now())
        if holder and spec.holder_identity != holder:
            spec.acquire_time = now
            spec.lease_transitions = (spec.lease_transitions or 0) + (self._lease is not None)
        spec.holder_identity = holder
        spec.renew_time = now
        spec.lease_duration_seconds = math.ceil(self._ttl) if holder else None
        annotations = lease.metadata.annotations or {}
        lease.metadata.annotations = {**annotations, SEAT: self._seat.name}
        self._in_doubt = True
        written = self._api.create(lease) if self._lease is None else self._api.replace(lease)
        if written is None:
            return False
        self._saw(written)
        return True

    def _check_seat(self, lease: Any) -> None:
        seat = (lease.metadata.annotations or {}).get(SEAT, self._seat.name)
        if seat != self._seat.name:
            raise ElectionError(
                f"the Lease {self.namespace}/{self.name} is in use by another integration ({seat}, "
                f"this one is {self._seat.name}): set another leader.name"
            )


def _micro_time(now: datetime) -> datetime:
    """Returns the time with microseconds: the API server refuses a MicroTime without them."""
    return now.replace(microsecond=max(1, now.microsecond))
