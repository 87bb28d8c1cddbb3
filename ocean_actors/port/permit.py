"""What a client asks right before it sends anything that changes something in Port."""

from __future__ import annotations

from collections.abc import Callable

from ocean_actors.actors import CancelToken, Clock
from ocean_actors.port.errors import PortError
from ocean_actors.resync.current_lease import CurrentLease

ABORT_SECONDS = 5.0
"""How long a run without a lease waits to be aborted, before its call fails."""

Permit = Callable[[CancelToken, Clock], float]
"""Returns for how many seconds calls may certainly be sent from now on.

If they may not, it raises PortError, or the error of the call's token.
"""


def permit(lease: CurrentLease, patience: float = 0.0) -> Permit:
    """Returns the permit to write while the lease is valid.

    Without a valid lease, the call first waits up to `patience` seconds for its token to be
    cancelled, as whoever manages the lease is about to do that.
    """

    def check(token: CancelToken, clock: Clock) -> float:
        if lease.valid():
            return lease.seconds()
        if patience:
            token.sleep(patience, clock)
        raise PortError("not sent to Port: another instance may have taken over", temporary=True)

    return check
