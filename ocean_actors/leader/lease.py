"""The right to run resyncs, as far as this process can prove that it still has it. Pure."""

from __future__ import annotations

from ocean_actors.actors import Clock

SHARE = 2 / 3  # of the time to live; the rest is left for the run in flight to end


class TimedLease:
    """Is valid while the engine cannot have given the lead to another instance.

    The engine does that once it has heard nothing of us for the time to live. A question that it
    answered with yes therefore proves that the lead stays ours for the time to live, counted
    from when the question was *sent*. The lease ends after two thirds of that time, so that the
    run is aborted, and nothing more is written, before another instance can start one. So our
    clock may also be slower than the engine's by up to a third.

    A lease that has run out, or was ended, never becomes valid again. Times are seconds of
    `clock.monotonic()`. Any thread may call the methods.
    """

    def __init__(self, clock: Clock, confirmed_at: float, ttl: float) -> None:
        """Begin with a question that was sent at `confirmed_at`, and answered with yes."""
        self._clock = clock
        self._seconds = ttl * SHARE
        self._until = confirmed_at + self._seconds
        self._ended = False

    def renew(self, confirmed_at: float) -> None:
        """Extend the lease: a question that was sent at `confirmed_at` was answered with yes."""
        if self.valid():
            self._until = max(self._until, confirmed_at + self._seconds)

    def end(self) -> None:
        """End the lease for good."""
        self._ended = True

    def remaining(self) -> float:
        """Returns for how many more seconds the lease is valid; 0 if it is not."""
        return 0.0 if self._ended else max(0.0, self._until - self._clock.monotonic())

    def valid(self) -> bool:
        """Returns whether this instance still has the right to run resyncs."""
        return self.remaining() > 0.0
