"""Time as a dependency, so that tests can replace the machine's clock with one they control."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime, timezone
from typing import ClassVar

from ocean_actors.actors import fork
from ocean_actors.log import get_logger

logger = get_logger(__name__)

JOIN_TIMEOUT = 1.0  # seconds; callbacks are quick, unless the log is not read
LONGEST_WAIT = 86_400.0  # seconds; a condition refuses very long timeouts


class Timer:
    """A pending call. `cancel` drops it; cancelling late or twice has no effect.

    Raises ValueError if `due` is NaN, which has no place in the order of the timers.
    """

    __slots__ = ("callback", "clock", "due", "order")

    def __init__(self, clock: Clock, due: float, callback: Callable[[], object]) -> None:
        if math.isnan(due):
            raise ValueError("a timer has to be due at a number of seconds, not at nan")
        self.clock = clock
        self.due = due
        self.order = 0
        self.callback: Callable[[], object] | None = callback

    def __lt__(self, other: Timer) -> bool:
        """Earlier timers first; of two due at once, the one added first."""
        return (self.due, self.order) < (other.due, other.order)

    def cancel(self) -> None:
        """Drop the call unless it has begun."""
        self.clock.drop(self)


class Clock(ABC):
    """Tells the time and keeps all pending timers in one heap.

    Callbacks run in the clock's thread, so they must be quick: send a message, set an event. If
    one raises, that is logged and the other timers still run.
    """

    runs: ClassVar[bool] = True
    """Whether time passes by itself, so that a thread that waits by this clock wakes up."""

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._cancelled = 0
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._forked = False
        self._sleepers: dict[int, threading.Event] = {}
        self.on_sleep: set[Callable[[], object]] = set()
        """Called when a thread begins to wait by this clock; for tests that wait for that."""
        self.on_failure: set[Callable[[BaseException], object]] = set()
        """Called if the thread that runs the timers fails, which ends it."""
        fork.register(self)

    @property
    def closed(self) -> bool:
        """Whether `close` was called: no time passes by this clock any more."""
        return self._closed

    @abstractmethod
    def monotonic(self) -> float:
        """Returns seconds since a fixed moment; never goes back."""

    @abstractmethod
    def now(self) -> datetime:
        """Returns the time of the wall clock, in UTC."""

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` once, `seconds` from now."""
        return self.call_at(self.monotonic() + seconds, callback)

    def call_at(self, due: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` once, when `monotonic()` reaches `due`."""
        timer = Timer(self, due, callback)
        self.add(timer)
        return timer

    def add(self, timer: Timer) -> None:
        """Add a pending timer; after `close` it never runs."""
        with self._changed:
            if self._closed or self._forked:
                timer.callback = None
                return
            timer.order = next(self._order)
            heapq.heappush(self._heap, timer)
            if self._heap[0] is timer:
                self._changed.notify()

    def drop(self, timer: Timer) -> None:
        """Drop `timer`; no effect if it has run."""
        with self._changed:
            if timer.callback is None:
                return
            timer.callback = None
            self._cancelled += 1
            if self._cancelled > len(self._heap) // 2:  # keeps the heap within twice its use
                self._heap = [kept for kept in self._heap if kept.callback is not None]
                heapq.heapify(self._heap)
                self._cancelled = 0

    def wait(self, seconds: float, wake: threading.Event) -> None:
        """Wait until `wake` is set, which the clock does after `seconds` and at `close`."""
        if self._forked:  # this process has no thread that runs the timers
            wake.wait(min(seconds, LONGEST_WAIT))
            return
        timer = self.call_later(seconds, wake.set)
        thread = threading.get_ident()
        self._sleepers[thread] = wake
        try:
            if not self._closed:
                for tell in list(self.on_sleep):
                    tell()
                wake.wait()
        finally:
            del self._sleepers[thread]
            timer.cancel()

    def sleeping(self, thread: int | None) -> threading.Event | None:
        """Returns what the thread with that identity waits for in `wait`; None if it is awake."""
        wake = self._sleepers.get(thread) if thread is not None else None
        return None if wake is None or wake.is_set() else wake

    def pending(self) -> int:
        """Returns the number of pending timers."""
        with self._changed:
            return len(self._heap) - self._cancelled

    def close(self) -> None:
        """Drop all timers and wake every thread that waits by this clock."""
        with self._changed:
            self._closed = True
            for timer in self._heap:
                timer.callback = None
            self._heap.clear()
            self._cancelled = 0
            self._changed.notify()
        for wake in list(self._sleepers.values()):
            wake.set()

    def after_fork(self) -> None:
        """Drop the timers: they belong to the parent, like the thread that runs them."""
        self._forked = True
        self._changed = threading.Condition()  # another thread may have held the old one
        self._heap, self._cancelled, self._sleepers = [], 0, {}

    def _pop_due(self, until: float) -> tuple[float, Callable[[], object]] | None:
        """Take the earliest call due at or before `until`, with the time at which it was due."""
        with self._changed:
            while self._heap and self._heap[0].due <= until:
                timer = heapq.heappop(self._heap)
                if timer.callback is None:
                    self._cancelled -= 1
                    continue
                callback, timer.callback = timer.callback, None
                return timer.due, callback
        return None

    @staticmethod
    def _call(callback: Callable[[], object]) -> None:
        try:
            callback()
        except BaseException:  # even a SystemExit must not keep other timers from running
            with contextlib.suppress(BaseException):  # a logging handler may raise SystemExit
                logger.exception("the callback of a timer failed; other timers go on")


class SystemClock(Clock):
    """The machine's clock. Its thread starts with the first timer and ends with `close`."""

    def __init__(self) -> None:
        super().__init__()
        self._thread: threading.Thread | None = None

    monotonic = staticmethod(time.monotonic)

    def now(self) -> datetime:
        """See `datetime.now`."""
        return datetime.now(timezone.utc)

    def add(self, timer: Timer) -> None:
        """Add a timer that is called in the clock's own thread.

        Raises RuntimeError if that thread has to be started and cannot be.
        """
        with self._changed:
            if self._thread is None and not (self._closed or self._forked):
                thread = threading.Thread(target=self._run, name="timers", daemon=True)
                thread.start()
                self._thread = thread
        super().add(timer)

    def close(self) -> None:
        """Drop all timers and end the thread; waits for its end, `JOIN_TIMEOUT` at most."""
        if self._forked:
            return
        super().close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(JOIN_TIMEOUT)

    def _run(self) -> None:
        try:
            self._turn()
        except BaseException as error:  # noqa: BLE001  (the end of this thread has to be told)
            for tell in list(self.on_failure):
                tell(error)

    def _turn(self) -> None:
        while not self._closed:
            while (call := self._pop_due(self.monotonic())) is not None:
                self._call(call[1])
            with self._changed:
                if self._closed:
                    return
                wait = self._heap[0].due - self.monotonic() if self._heap else None
                if wait is None or wait > 0:
                    self._changed.wait(None if wait is None else min(wait, LONGEST_WAIT))
