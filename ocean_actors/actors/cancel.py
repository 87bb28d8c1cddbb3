"""Cancellation that does not pass through the mailbox.

An actor in the middle of long work reads no messages, so a message cannot tell it to stop. It
holds a token instead, which others cancel and which ends the waits of the work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ocean_actors.actors.clock import Clock
from ocean_actors.log import get_logger

logger = get_logger(__name__)


class Cancelled(BaseException):
    """Raised in work whose token was cancelled; `reason` says why.

    A `BaseException`, like `asyncio.CancelledError`, so that the `except Exception` of a retry
    loop does not catch it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CancelToken:
    """A switch that is set once, safe to use from any thread.

    `error` is the class that `check` raises: a subclass of `Cancelled` named for the work.
    """

    def __init__(self, error: type[Cancelled] = Cancelled) -> None:
        self.error = error
        self.reason: str | None = None
        self._callbacks: dict[object, Callable[[], object]] = {}
        self._lock = threading.Lock()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self.reason is not None

    def cancel(self, reason: str) -> None:
        """Cancel, and run the callbacks in this thread. Only the first call counts."""
        with self._lock:
            if self.reason is not None:
                return
            self.reason = reason
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
        for callback in callbacks:
            self._call(callback)

    def check(self) -> None:
        """Raise `error` if cancelled."""
        if self.reason is not None:
            raise self.error(self.reason)

    def on_cancel(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback` when the token is cancelled, at once if it is already.

        Returns a function that withdraws the callback. The callback runs in the thread that
        cancels, so it must be quick. If it raises, that is logged and the others still run.
        """
        key = object()
        with self._lock:
            if self.reason is None:
                self._callbacks[key] = callback
                return lambda: self._forget(key)
        self._call(callback)
        return lambda: None

    def sleep(self, seconds: float, clock: Clock) -> None:
        """Wait `seconds` by `clock`.

        Raises `error` as soon as the token is cancelled, and when the clock is closed: a loop
        that only sleeps would spin otherwise.
        """
        wake = threading.Event()
        forget = self.on_cancel(wake.set)
        try:
            clock.wait(seconds, wake)
        finally:
            forget()
        self.check()
        if clock.closed:
            raise self.error("the sleep ended: the actor system that owns its clock has stopped")

    @staticmethod
    def _call(callback: Callable[[], object]) -> None:
        try:
            callback()
        except BaseException:  # SystemExit too must not end the thread that cancels
            logger.exception("A callback of a cancelled token failed")

    def _forget(self, key: object) -> None:
        with self._lock:
            self._callbacks.pop(key, None)
