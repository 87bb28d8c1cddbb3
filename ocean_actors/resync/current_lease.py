"""Whether this instance may write to Port now: asked before each batch and each report."""

from __future__ import annotations

import math

from ocean_actors.log import get_logger
from ocean_actors.messages import Lease

logger = get_logger(__name__)

UNKNOWN_SECONDS = 1.0


class CurrentLease:
    """The lease that this instance has now; it comes and goes with the role. For any thread.

    A role without a lease cannot be lost unnoticed, so it is valid until it ends.
    """

    def __init__(self, *, active: bool) -> None:
        self._role: tuple[bool, Lease | None] = (active, None)

    def change(self, *, active: bool, lease: Lease | None) -> None:
        """Note the role that this instance has from now on."""
        self._role = (active, lease)  # at once, so that no thread sees half of a change

    def valid(self) -> bool:
        """Returns whether this instance runs the resyncs, and no other one can do so."""
        active, lease = self._role
        return active and is_valid(lease)

    def seconds(self) -> float:
        """Returns for how many seconds a lease that is valid certainly stays so.

        Infinity if the role cannot be lost. A lease of a custom listener without `remaining`
        counts as valid for a second.
        """
        _active, lease = self._role
        if lease is None:
            return math.inf
        seconds = remaining_seconds(lease)
        return UNKNOWN_SECONDS if seconds is None else seconds


def remaining_seconds(lease: Lease) -> float | None:
    """Returns what `lease.remaining()` says; None if it is a custom lease without this method."""
    remaining: object = getattr(lease, "remaining", None)
    return float(remaining()) if callable(remaining) else None


def is_valid(lease: Lease | None) -> bool:
    """Returns whether we still hold the role. A lease that cannot be checked counts as lost.

    None: the role cannot be lost.
    """
    if lease is None:
        return True
    try:
        return bool(lease.valid())
    except BaseException:  # a lease of a custom listener may raise anything
        logger.exception("nothing is written to Port, as the lease cannot be checked")
        return False
