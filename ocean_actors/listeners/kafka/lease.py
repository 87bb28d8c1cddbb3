"""The right to run resyncs, as far as this process can prove that it still has it. Pure."""

from __future__ import annotations

from ocean_actors.actors import Clock

SHARE = 2 / 3  # of the session; the rest is left for the run in flight to end


class Lease:
    """Is valid while the broker cannot have given our partitions to another instance.

    The broker does that once it has received no heartbeat for the session timeout. A heartbeat
    that it answered therefore proves that the partitions stay ours until the session timeout
    after the heartbeat was *sent*. The lease ends after two thirds of that time, so that the run
    is aborted, and nothing more is reported, before another instance can start one.

    A lease that has run out, or was ended, never becomes valid again. Times are seconds of
    `clock.monotonic()`. Any thread may call the methods.
    """

    def __init__(self, clock: Clock, confirmed_at: float, session_seconds: float) -> None:
        """Begin with an answered heartbeat (or join request) that was sent at `confirmed_at`."""
        self._clock = clock
        self._seconds = session_seconds * SHARE
        self._until = confirmed_at + self._seconds
        self._ended = False

    def renew(self, confirmed_at: float) -> None:
        """Extend the lease: a heartbeat that was sent at `confirmed_at` has been answered."""
        if self.valid():
            self._until = max(self._until, confirmed_at + self._seconds)

    def end(self) -> None:
        """End the lease for good."""
        self._ended = True

    def remaining(self) -> float:
        """Return for how many more seconds the lease is valid; 0 if it is not."""
        return 0.0 if self._ended else max(0.0, self._until - self._clock.monotonic())

    def valid(self) -> bool:
        """Return whether this instance still has the right to run resyncs."""
        return self.remaining() > 0.0
