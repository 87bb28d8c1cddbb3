"""Which batches of a run may be on their way to Port at the same time: pure decisions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

SPACING = 1.0  # seconds
"""The shortest time between two cuts of the window: batches that were sent together are often
refused together."""

SLOW_FACTOR = 3.0
SLOW_SECONDS = 1.0
"""An answer is slow if it took this much more than `SLOW_FACTOR` times the usual time. Small
variations must not cut the window."""

WEIGHT = 1 / 8  # of a new answer in the usual time


@dataclass(frozen=True)
class Claim:
    """The entities of one batch: none of them may be in two batches in flight.

    `whole`: the batch may write any entity of the blueprint, as identifiers of it are search
    queries.
    """

    blueprint: str
    names: frozenset[str] = frozenset()
    whole: bool = False

    def conflicts(self, other: Claim) -> bool:
        """Returns whether both batches may write the same entity."""
        return self.blueprint == other.blueprint and (
            self.whole or other.whole or not self.names.isdisjoint(other.names)
        )


@dataclass(frozen=True)
class Window:
    """The batches in flight and those that wait, by number, and how many may be in flight.

    `size` starts at `limit`. It is halved, down to 1, when Port refuses a call temporarily
    (`refused`) or answers slowly, and grows by 1 for each `size` answers afterwards. Times are
    monotonic seconds.
    """

    limit: int
    size: float = math.nan
    in_flight: Mapping[int, Claim] = field(default_factory=dict)
    waiting: Mapping[int, Claim] = field(default_factory=dict)
    last: int = 0
    cut_at: float = -math.inf
    usual: float | None = None
    """The usual seconds until an answer."""

    def __post_init__(self) -> None:
        if math.isnan(self.size):
            object.__setattr__(self, "size", float(self.limit))

    @property
    def room(self) -> int:
        """How many more batches may be read now."""
        return int(self.size) - len(self.in_flight) - len(self.waiting)

    def asked(self, claim: Claim) -> Window:
        """Returns the window with one more batch, whose number is `last`: in flight or waiting."""
        number = self.last + 1
        return self._granted(dict(self.in_flight), {**self.waiting, number: claim}, number)

    def refused(self, now: float) -> Window:
        """Returns the window after Port has temporarily refused a call."""
        if now - self.cut_at < SPACING:
            return self
        return replace(self, size=max(1.0, self.size / 2), cut_at=now)

    def ended(self, number: int, began: float, now: float, *, answered: bool) -> Window:
        """Returns the window without a batch that was in flight from `began` on."""
        after = self._observed(began, now) if answered else self
        return after.without(number)

    def without(self, number: int) -> Window:
        """Returns the window without a batch."""
        in_flight = {key: each for key, each in self.in_flight.items() if key != number}
        waiting = {key: each for key, each in self.waiting.items() if key != number}
        return self._granted(in_flight, waiting, self.last)

    def _observed(self, began: float, now: float) -> Window:
        """Learn from the time that an answer took; not if it was sent before the last cut."""
        if began < self.cut_at:
            return self
        seconds = now - began
        usual = seconds if self.usual is None else self.usual
        slow = seconds > usual * SLOW_FACTOR + SLOW_SECONDS
        after = replace(self, usual=usual + (seconds - usual) * WEIGHT)
        if slow:
            return after.refused(now)
        return replace(after, size=min(float(self.limit), self.size + 1 / self.size))

    def _granted(
        self, in_flight: dict[int, Claim], waiting: Mapping[int, Claim], last: int
    ) -> Window:
        """Send what may go, in the order in which it came."""
        held: dict[int, Claim] = {}
        for number, claim in waiting.items():
            before = (*in_flight.values(), *held.values())
            if len(in_flight) < int(self.size) and not any(map(claim.conflicts, before)):
                in_flight[number] = claim
            else:
                held[number] = claim
        return replace(self, in_flight=in_flight, waiting=held, last=last)
