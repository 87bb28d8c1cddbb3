"""How long runs take and how often they are requested, for the warning about starvation."""

from __future__ import annotations

from dataclasses import dataclass, replace

REMEMBERED = 20


@dataclass(frozen=True)
class LoadStats:
    """The newest observations, in seconds; bounded."""

    requests: tuple[float, ...] = ()  # moments on the monotonic clock
    runs: tuple[float, ...] = ()  # durations, also of aborted runs

    def requested(self, moment: float) -> LoadStats:
        """Returns the observations with one more request."""
        return replace(self, requests=(*self.requests, moment)[-REMEMBERED:])

    def ran(self, seconds: float) -> LoadStats:
        """Returns the observations with one more run."""
        return replace(self, runs=(*self.runs, seconds)[-REMEMBERED:])

    @property
    def interval(self) -> float | None:
        """The mean time between requests; None if there were fewer than two."""
        if len(self.requests) < 2:
            return None
        return (self.requests[-1] - self.requests[0]) / (len(self.requests) - 1)

    @property
    def longest(self) -> float | None:
        """The duration of the longest run; None if there was none."""
        return max(self.runs, default=None)

    def __str__(self) -> str:
        if self.interval is None or self.longest is None:
            return "Nothing was observed yet"
        return (
            f"Runs lasted up to {self.longest:.1f} s and were requested every {self.interval:.1f} s"
        )
