"""What becomes of an actor that failed: pure decisions, carried out by its cell."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class Backoff:
    """Exponential delays with jitter, in seconds.

    The n-th delay is drawn from the upper `jitter` share of `initial * factor**n`, which
    stops growing at `maximum`.
    """

    initial: float = 0.1
    maximum: float = 30.0
    factor: float = 2.0
    jitter: float = 0.5

    def delay(self, failures: int, jitter: float) -> float:
        """The delay after `failures` failures in a row before this one; `jitter` is in [0, 1)."""
        try:
            full = min(self.maximum, self.initial * self.factor**failures)
        except OverflowError:
            full = self.maximum
        return full * (1 - self.jitter * jitter)


class OnFailure(Enum):
    """What to do about an actor that raised."""

    RESTART = "restart"  # rebuild its state in place, after a backoff
    STOP = "stop"  # this actor only
    ESCALATE = "escalate"  # the whole system, with the cause


@dataclass(frozen=True)
class Supervision:
    """An actor's policy: a class attribute of it, or the default.

    Of an actor that is to restart, more than `limit` failures within `window` seconds escalate.
    The message that failed is handled again, before any other, up to `retries` times; else it
    is left out.
    """

    on_failure: OnFailure = OnFailure.RESTART
    backoff: Backoff = Backoff()
    limit: int = 5
    window: float = 60.0
    retries: int = 0


@dataclass(frozen=True)
class Verdict:
    """What the cell does next. `failures` are the moments that still count against the budget."""

    action: OnFailure
    delay: float
    failures: tuple[float, ...]


def judge(policy: Supervision, failures: tuple[float, ...], now: float, jitter: float) -> Verdict:
    """Decide about a failure at `now`, given the moments of earlier ones (monotonic seconds)."""
    recent = (*(moment for moment in failures if now - moment < policy.window), now)
    if policy.on_failure is OnFailure.RESTART and len(recent) > policy.limit:
        return Verdict(OnFailure.ESCALATE, 0.0, recent)
    delay = policy.backoff.delay(len(recent) - 1, jitter)
    return Verdict(policy.on_failure, delay, recent)
