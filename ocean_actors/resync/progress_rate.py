"""How fast a handler makes progress, computed from its reports. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

SPACING = 2.0  # seconds at least between two samples that are kept
KEPT = 30  # samples: the rate is that of the last minute or more
SHORTEST = 1.0  # seconds; a shorter time gives no rate


@dataclass(frozen=True)
class ProgressRate:
    """The progress of one handler: samples of (moment, done), the moments in monotonic seconds."""

    samples: tuple[tuple[float, float], ...] = ()
    done: float = 0.0
    total: float | None = None

    def observed(self, moment: float, done: float, total: float | None) -> ProgressRate:
        """Returns the rate after one more report. A `done` that falls begins anew."""
        samples = () if done < self.done else self.samples
        if not samples or moment - samples[-1][0] >= SPACING:
            samples = (*samples, (moment, done))[-KEPT:]
        return replace(self, samples=samples, done=done, total=total)

    def rate(self, now: float) -> float | None:
        """Returns units per second up to `now`; None if that cannot be told yet."""
        if not self.samples or now - self.samples[0][0] < SHORTEST:
            return None
        began, first = self.samples[0]
        return (self.done - first) / (now - began)

    def seconds_left(self, now: float) -> float | None:
        """Returns how long the rest takes at this rate; None if that cannot be told."""
        rate = self.rate(now)
        if self.total is None or not rate:
            return None
        return max(0.0, self.total - self.done) / rate
