"""Decides what happens to an actor that failed. Pure; its lifecycle carries the decision out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum


def _require_number(name: str, value: object) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name}: expected a number, not {value!r}")
    if not 0 <= value < math.inf:  # NaN is neither
        raise ValueError(f"{name}: expected a finite number of at least 0, not {value}")


@dataclass(frozen=True)
class Backoff:
    """Exponential delays with jitter, in seconds.

    The n-th delay is drawn from the upper `jitter` share of `initial * factor**n`, which stops
    growing at `maximum`. Raises TypeError or ValueError for values that give no delay.
    """

    initial: float = 0.1
    maximum: float = 30.0
    factor: float = 2.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        for name in ("initial", "maximum", "factor", "jitter"):
            _require_number(f"Backoff.{name}", getattr(self, name))
        if self.jitter > 1:
            raise ValueError(f"Backoff.jitter: expected a share from 0 to 1, not {self.jitter}")

    def delay(self, failures: int, jitter: float) -> float:
        """Returns the delay after `failures` earlier failures in a row; `jitter` is in [0, 1)."""
        try:
            full = min(self.maximum, self.initial * self.factor**failures)
        except OverflowError:
            full = self.maximum
        return full * (1 - self.jitter * jitter)


class OnFailure(Enum):
    """What to do with an actor that raised."""

    RESTART = "restart"  # rebuild its state in place, after a backoff
    STOP = "stop"  # end this actor only
    ESCALATE = "escalate"  # end the whole system, with the cause


@dataclass(frozen=True)
class Supervision:
    """The failure policy of an actor, as a class attribute.

    With RESTART, more than `limit` failures within `window` seconds escalate. The message that
    failed is handled again, before any other, up to `retries` times; then it is dropped. Raises
    TypeError or ValueError for values that cannot be used.
    """

    on_failure: OnFailure = OnFailure.RESTART
    backoff: Backoff = Backoff()
    limit: int = 5
    window: float = 60.0
    retries: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.on_failure, OnFailure):
            raise TypeError(
                f"Supervision.on_failure: expected an OnFailure, not {self.on_failure!r}"
            )
        if not isinstance(self.backoff, Backoff):
            raise TypeError(f"Supervision.backoff: expected a Backoff, not {self.backoff!r}")
        for name in ("limit", "window", "retries"):
            _require_number(f"Supervision.{name}", getattr(self, name))


@dataclass(frozen=True)
class Verdict:
    """What happens next. `failures` are the moments that still count against the limit."""

    action: OnFailure
    delay: float
    failures: tuple[float, ...]


def decide_after_failure(
    policy: Supervision, failures: tuple[float, ...], now: float, jitter: float
) -> Verdict:
    """Decide what follows a failure at `now`; `failures` are the moments of earlier ones.

    All moments are monotonic seconds.
    """
    recent = (*(moment for moment in failures if now - moment < policy.window), now)
    if policy.on_failure is OnFailure.RESTART and len(recent) > policy.limit:
        return Verdict(OnFailure.ESCALATE, 0.0, recent)
    delay = policy.backoff.delay(len(recent) - 1, jitter)
    return Verdict(policy.on_failure, delay, recent)
