"""KUBERNETES: the instance that holds a Lease leads.

The holder renews the Lease with the leader election of the official client. Another instance
takes the Lease after its release, or if no renewal was seen for the time to live.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

from ocean_actors.actors import Clock
from ocean_actors.errors import UsageError
from ocean_actors.leader.kubernetes_api import LeaseApi, find_kubeconfig
from ocean_actors.leader.kubernetes_lock import LeaseLock
from ocean_actors.leader.spec import ElectionError, LeaderSpec, Seat
from ocean_actors.settings import KubernetesLeaderSettings

POLL_SECONDS = 0.5  # so that a Lease that is released is taken within a second
RESIGN_SECONDS = 0.8
RESIGN_CALLS = 5  # one may be interrupted, another may find that the Lease was changed meanwhile
MOST_CONFLICTS = 5  # in a row
MISSING = (
    "leader.type KUBERNETES needs the package kubernetes: pip install 'ocean-actors[kubernetes]'"
)
NOWHERE = (
    "leader.type KUBERNETES: this is not a pod (KUBERNETES_SERVICE_HOST is not set) and there is "
    "no kubeconfig; set leader.kubeconfig or KUBECONFIG"
)


class KubernetesElection:
    """This instance's part in the election; see `Election`."""

    def __init__(self, settings: KubernetesLeaderSettings, clock: Clock) -> None:
        """Connect to nothing yet. Raises UsageError without the client, and without a cluster."""
        if find_spec("kubernetes") is None:
            raise UsageError(MISSING)
        if find_kubeconfig(settings, os.environ) == "":
            raise UsageError(NOWHERE)
        self.ttl = settings.ttl
        self._settings = settings
        self._clock = clock
        self._identity = f"{socket.gethostname()}_{uuid.uuid4()}"
        self._api: LeaseApi | None = None
        self._lock: LeaseLock | None = None
        self._election: Any = None
        self._interrupted = threading.Event()

    def campaign(self, seat: Seat, seconds: float) -> float | None:
        """See `Election.campaign`."""
        self._interrupted.clear()
        lock = self._joined(seat)
        until = self._clock.monotonic() + seconds
        conflicts = 0
        while True:
            lock.asked_at = self._clock.monotonic()
            if self._election.try_acquire_or_renew():
                return lock.asked_at
            if lock.conflicted and conflicts < MOST_CONFLICTS:
                conflicts += 1  # only the next version tells who leads
                continue
            remaining = until - self._clock.monotonic()
            if remaining < POLL_SECONDS or self._interrupted.wait(POLL_SECONDS):
                return None

    def resign(self) -> None:
        """See `Election.resign`. Releases the Lease."""
        if self._api is None or self._lock is None:
            return
        until = time.monotonic() + RESIGN_SECONDS
        for _ in range(RESIGN_CALLS):
            left = until - time.monotonic()
            if self._lock.released or left <= 0:
                break
            self._api.timeout = left
            with contextlib.suppress(ElectionError):
                self._lock.release()
        self._api.close()
        self._api = self._lock = None

    def interrupt(self) -> None:
        """See `Election.interrupt`."""
        self._interrupted.set()
        if self._api is not None:
            self._api.interrupt()

    def _joined(self, seat: Seat) -> LeaseLock:
        """Returns the lock, after the first call has read the configuration."""
        if self._lock is not None:
            return self._lock
        from kubernetes.leaderelection.leaderelection import LeaderElection

        _quieten(logging.getLogger("leaderelection"))
        self._api = LeaseApi(self._settings, timeout=max(1.5, self.ttl / 3))
        self._lock = LeaseLock(self._api, seat, self._identity, self.ttl, self._clock)
        # not a Config of the client: it ends the process for a short time to live
        self._election = LeaderElection(SimpleNamespace(lock=self._lock, lease_duration=self.ttl))
        return self._lock


def _quieten(logger: logging.Logger) -> None:
    """Have the client not log every attempt, unless the program has set a level."""
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)


SPEC = LeaderSpec("KUBERNETES", KubernetesLeaderSettings, KubernetesElection)
