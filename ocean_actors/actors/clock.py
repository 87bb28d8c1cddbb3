"""Time as a dependency: what tells it and what wakes us, so that tests can turn it by hand."""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime, timezone
from typing import ClassVar

logger = logging.getLogger(__name__)

JOIN_TIMEOUT = 5.0  # seconds; callbacks are quick
LONGEST_WAIT = 86_400.0  # seconds; a condition takes no more than some centuries, or fewer


class Timer:
    """A pending call. `cancel` drops it; cancelling late or twice does nothing.

    Raises ValueError if `due` is NaN: it would be at no place among the others, and hold them up.
    """

    __slots__ = ("callback", "clock", "due", "order")

    def __init__(self, clock: Clock, due: float, callback: Callable[[], object]) -> None:
        if math.isnan(due):
            raise ValueError("a timer is due at some time: nan is none")
        self.clock = clock
        self.due = due
        self.order = 0
        self.callback: Callable[[], object] | None = callback

    def __lt__(self, other: Timer) -> bool:
        """Earlier first; of two due at once, the one added first."""
        return (self.due, self.order) < (other.due, other.order)

    def cancel(self) -> None:
        """Drop the call if it has not begun."""
        self.clock.drop(self)


class Clock(ABC):
    """Tells the time and keeps the pending timers, however many, in one heap.

    Callbacks run in the thread that turns the clock, so they must be quick: send a message,
    set an event. One that raises is logged and costs the others nothing.
    """

    runs: ClassVar[bool] = True
    """Whether it goes on by itself, so that who waits by it will move again."""

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._cancelled = 0
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._sleepers: dict[int, threading.Event] = {}
        self.on_sleep: set[Callable[[], object]] = set()
        """Called when a thread begins to wait by this clock; for tests that wait for that."""

    @abstractmethod
    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""

    @abstractmethod
    def now(self) -> datetime:
        """The wall clock, in UTC."""

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` once, `seconds` from now."""
        return self.call_at(self.monotonic() + seconds, callback)

    def call_at(self, due: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` once, when `monotonic()` reaches `due`."""
        timer = Timer(self, due, callback)
        self.add(timer)
        return timer

    def add(self, timer: Timer) -> None:
        """Let `timer` wait for its moment; after `close` it never comes."""
        with self._changed:
            if self._closed:
                timer.callback = None
                return
            timer.order = next(self._order)
            heapq.heappush(self._heap, timer)
            if self._heap[0] is timer:
                self._changed.notify()

    def drop(self, timer: Timer) -> None:
        """Forget `timer`; nothing if its moment has come already."""
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
        """Wait until somebody sets `wake`, which the clock does after `seconds` or at `close`."""
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
        """What the thread of that identity waits for in `wait`, unless it was woken already."""
        wake = self._sleepers.get(thread) if thread is not None else None
        return None if wake is None or wake.is_set() else wake

    def pending(self) -> int:
        """How many timers wait."""
        with self._changed:
            return len(self._heap) - self._cancelled

    def close(self) -> None:
        """Drop every timer, wake whoever waits, and stop what turns the clock."""
        with self._changed:
            self._closed = True
            for timer in self._heap:
                timer.callback = None
            self._heap.clear()
            self._cancelled = 0
            self._changed.notify()
        for wake in list(self._sleepers.values()):
            wake.set()

    def _pop_due(self, until: float) -> tuple[float, Callable[[], object]] | None:
        """Take the earliest call due at or before `until`, with the moment it was due."""
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
        except BaseException:  # whatever it is, the other timers go on
            logger.exception("A timer's callback failed")


class SystemClock(Clock):
    """The machine's clock. Its one thread starts with the first timer and ends with `close`."""

    def __init__(self) -> None:
        super().__init__()
        self._thread: threading.Thread | None = None

    monotonic = staticmethod(time.monotonic)

    def now(self) -> datetime:
        """See `datetime.now`."""
        return datetime.now(timezone.utc)

    def add(self, timer: Timer) -> None:
        """Let `timer` be called in the clock's own thread."""
        with self._changed:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._turn, name="timers", daemon=True)
                self._thread.start()
        super().add(timer)

    def close(self) -> None:
        """Drop every timer and end the thread; returns once it has ended."""
        super().close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(JOIN_TIMEOUT)

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
