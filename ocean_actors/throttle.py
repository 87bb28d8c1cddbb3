"""Saying the same thing only so often: a flood of events must not flood the log."""

from __future__ import annotations

import threading

from ocean_actors.actors import Clock


class Throttle:
    """Lets `burst` events pass in each window of `seconds`, and counts those it holds back.

    Safe to use from any thread. One throttle is for one kind of event.
    """

    def __init__(self, clock: Clock, *, burst: int = 5, seconds: float = 60.0) -> None:
        self._clock = clock
        self._burst = burst
        self._seconds = seconds
        self._window_ends = float("-inf")
        self._passed = 0
        self._held_back = 0
        self._lock = threading.Lock()  # request threads share it, and a message each is the flood

    def passes(self) -> int | None:
        """None if this event is to be held back; else how many were since the last that passed."""
        now = self._clock.monotonic()
        with self._lock:
            if now >= self._window_ends:
                self._window_ends = now + self._seconds
                self._passed = 0
            if self._passed == self._burst:
                self._held_back += 1
                return None
            self._passed += 1
            held_back, self._held_back = self._held_back, 0
            return held_back
