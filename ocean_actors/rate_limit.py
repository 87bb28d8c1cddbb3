"""The rate limit of `run.session.limit`, which all calls of a run share."""

from __future__ import annotations

import contextlib
import math
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ocean_actors.actors import CancelToken, Clock
from ocean_actors.text import one_line


@dataclass(frozen=True)
class Pacing:
    """When the next call may begin: calls begin at least `interval` seconds apart.

    Times are monotonic seconds. As calls are spaced evenly, no second has more of them than the
    limit allows, wherever it begins.
    """

    interval: float = 0.0
    next_at: float = -math.inf

    def limited(self, per_second: float) -> Pacing:
        """Returns the stricter of this pacing and `per_second`."""
        return replace(self, interval=max(self.interval, 1 / per_second))

    def reserve(self, now: float) -> tuple[float, Pacing]:
        """Returns when a call that asks at `now` may begin, and the pacing of the next call."""
        at = max(now, self.next_at)
        return at, replace(self, next_at=at + self.interval)


class WaitTally:
    """How long the calls of one handler waited for their turn. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # the handler's threads wait at the same time
        self._waiting = 0
        self._seconds = 0.0  # of the waits that are over
        self._began = 0.0  # the sum of the moments at which the others began

    @property
    def waiting(self) -> int:
        """How many calls wait now."""
        return self._waiting

    def seconds(self, now: float) -> float:
        """Returns the seconds of all waits until `now` (monotonic), those under way included."""
        with self._lock:
            return max(0.0, self._seconds + self._waiting * now - self._began)

    @contextlib.contextmanager
    def wait(self, clock: Clock) -> Iterator[None]:
        """Count the time of a `with` block as a wait."""
        began = clock.monotonic()
        with self._lock:
            self._waiting += 1
            self._began += began
        try:
            yield
        finally:
            ended = clock.monotonic()
            with self._lock:
                self._waiting -= 1
                self._began = self._began - began if self._waiting else 0.0
                self._seconds += ended - began


@dataclass(eq=False)
class _Turn:
    """One call's place in the queue; `at` is when it may begin, None while it is in the queue."""

    at: float | None = None
    granted: threading.Event = field(default_factory=threading.Event)


class RateLimiter:
    """Lets calls begin in the order in which they came. Safe to use from any thread.

    Without a `limit` each call begins at once.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # held for a few instructions, never while a call waits
        self._pacing = Pacing()
        self._concurrency: int | None = None
        self._under_way = 0
        self._queue: deque[_Turn] = deque()
        self._calling = threading.local()  # `now`: whether this thread has a turn

    def limit(self, *, per_second: float | None = None, concurrency: int | None = None) -> None:
        """Limit the calls that begin from now on; of several limits, the strictest counts.

        Raises ValueError for values that are no limit.
        """
        if per_second is None and concurrency is None:
            raise ValueError("limit: expected per_second, concurrency or both")
        _check(per_second, concurrency)
        with self._lock:
            if per_second is not None:
                self._pacing = self._pacing.limited(per_second)
            if concurrency is not None:
                self._concurrency = min(concurrency, self._concurrency or concurrency)

    @property
    def limits(self) -> tuple[float | None, int | None]:
        """The calls that may begin in a second, and be under way; None: any number."""
        with self._lock:
            interval = self._pacing.interval
            return (1 / interval if interval else None), self._concurrency

    @contextlib.contextmanager
    def turn(self, token: CancelToken, waits: WaitTally) -> Iterator[float]:
        """Wait for the turn of a call, which the `with` block makes; yields the seconds waited.

        A call within the block, such as one of a hook of `requests`, is under way together with
        the outer one: waiting for that to end would be a deadlock. Raises the token's error as
        soon as that is cancelled.
        """
        came = self._clock.monotonic()
        nested = getattr(self._calling, "now", False)
        turn = _Turn()
        with self._lock:
            if nested:
                self._admit(turn)
            else:
                self._queue.append(turn)
                self._grant()
        try:
            if turn.at is None or turn.at > self._clock.monotonic():
                with waits.wait(self._clock):
                    self._wait(turn, token)
            self._calling.now = True
            yield self._clock.monotonic() - came
        finally:
            self._calling.now = nested
            with self._lock:
                if turn.at is None:
                    self._queue.remove(turn)
                else:
                    self._under_way -= 1
                self._grant()

    def _wait(self, turn: _Turn, token: CancelToken) -> None:
        if turn.at is None:  # until a call before it ends, which its own deadline limits
            forget = token.on_cancel(turn.granted.set)
            try:
                turn.granted.wait()
            finally:
                forget()
        token.check()
        if turn.at is not None:
            seconds = turn.at - self._clock.monotonic()
            if seconds > 0:
                token.sleep(seconds, self._clock)

    def _grant(self) -> None:
        """Give their turns to the first in the queue, with the lock held."""
        while self._queue and (self._concurrency is None or self._under_way < self._concurrency):
            self._admit(self._queue.popleft())

    def _admit(self, turn: _Turn) -> None:
        self._under_way += 1
        turn.at, self._pacing = self._pacing.reserve(self._clock.monotonic())
        turn.granted.set()


class PartialRateLimiter(RateLimiter):
    """Takes one of `parts` equal parts of each limit: each of several processes has one.

    At least one call may be under way.
    """

    def __init__(self, clock: Clock, parts: int) -> None:
        super().__init__(clock)
        self._parts = parts

    def limit(self, *, per_second: float | None = None, concurrency: int | None = None) -> None:
        """See `RateLimiter.limit`; the limit is for all parts together."""
        _check(per_second, concurrency)
        super().limit(
            per_second=None if per_second is None else per_second / self._parts,
            concurrency=None if concurrency is None else max(1, concurrency // self._parts),
        )


def _check(per_second: object, concurrency: object) -> None:
    if per_second is not None and not _is_rate(per_second):
        shown = one_line(repr(per_second), 40)
        raise ValueError(f"limit: per_second: expected a number above 0, got {shown}")
    if concurrency is not None and (type(concurrency) is not int or concurrency < 1):
        shown = one_line(repr(concurrency), 40)
        raise ValueError(f"limit: concurrency: expected a whole number above 0, got {shown}")


def _is_rate(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return 0 < value < math.inf and math.isfinite(1 / value)
    except OverflowError:  # an int that no float can hold
        return False
