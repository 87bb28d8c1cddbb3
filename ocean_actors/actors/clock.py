"""Time as a dependency: what tells it and what wakes us, so that tests can turn it by hand."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime, timezone

logger = logging.getLogger(__name__)


class Timer:
    """A pending call. `cancel` drops it; cancelling late or twice does nothing."""

    __slots__ = ("_clock", "callback", "due", "order")

    def __init__(self, due: float, order: int, callback: Callable[[], object], clock: Clock):
        self.due = due
        self.order = order
        self.callback: Callable[[], object] | None = callback
        self._clock = clock

    def __lt__(self, other: Timer) -> bool:
        """Earlier first; of two due at once, the one made first."""
        return (self.due, self.order) < (other.due, other.order)

    def cancel(self) -> None:
        """Drop the call if it has not begun."""
        self._clock._drop(self)  # noqa: SLF001  (a timer is half of its clock)


class Clock(ABC):
    """Tells the time and keeps the pending timers, however many, in one heap.

    Callbacks run in the thread that turns the clock, so they must be quick: send a message,
    set an event. One that raises is logged and costs the others nothing.
    """

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._cancelled = 0
        self._order = itertools.count()
        self._changed = threading.Condition()

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
        timer = Timer(due, next(self._order), callback, self)
        with self._changed:
            heapq.heappush(self._heap, timer)
            if self._heap[0] is timer:
                self._changed.notify()
        return timer

    def pending(self) -> int:
        """How many timers wait."""
        return len(self._heap) - self._cancelled

    def close(self) -> None:
        """Drop every timer and stop what turns the clock."""
        with self._changed:
            self._heap.clear()
            self._cancelled = 0

    def _drop(self, timer: Timer) -> None:
        with self._changed:
            if timer.callback is None:
                return
            timer.callback = None
            self._cancelled += 1
            if self._cancelled > len(self._heap) // 2:  # keeps the heap within twice its use
                self._heap = [kept for kept in self._heap if kept.callback is not None]
                heapq.heapify(self._heap)
                self._cancelled = 0

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
        except Exception:
            logger.exception("A timer's callback failed")


class SystemClock(Clock):
    """The machine's clock. Its one thread starts with the first timer and ends with `close`."""

    def __init__(self) -> None:
        super().__init__()
        self._thread: threading.Thread | None = None
        self._closed = False

    def monotonic(self) -> float:
        """See `time.monotonic`."""
        return time.monotonic()

    def now(self) -> datetime:
        """See `datetime.now`."""
        return datetime.now(timezone.utc)

    def call_at(self, due: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` once, in the clock's own thread. After `close`: never."""
        with self._changed:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._turn, name="timers", daemon=True)
                self._thread.start()
        return super().call_at(due, callback)

    def close(self) -> None:
        """Drop every timer and end the thread; returns once it has ended."""
        super().close()
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _turn(self) -> None:
        while not self._closed:
            while (call := self._pop_due(self.monotonic())) is not None:
                self._call(call[1])
            with self._changed:
                if self._closed:
                    return
                wait = self._heap[0].due - self.monotonic() if self._heap else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
