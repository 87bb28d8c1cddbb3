"""A histogram for metrics."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from itertools import accumulate


@dataclass(frozen=True)
class Histogram:
    """How many values fell into which bucket, and their sum.

    `bounds` are the upper bounds of the buckets, inclusive and rising; one more bucket takes
    what is larger.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...] = ()
    total: float = 0.0

    def plus(self, value: float) -> Histogram:
        """Returns the histogram with one more value."""
        counts = list(self.counts or [0] * (len(self.bounds) + 1))
        counts[bisect_left(self.bounds, value)] += 1
        return replace(self, counts=tuple(counts), total=self.total + value)

    def cumulative(self) -> tuple[tuple[float, int], ...]:
        """Returns each upper bound, the last of which is infinite, and how many values are
        at most as large.
        """
        counts = self.counts or (0,) * (len(self.bounds) + 1)
        return tuple(zip((*self.bounds, float("inf")), accumulate(counts), strict=True))
