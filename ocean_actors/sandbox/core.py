"""The state under its lock, and the publishing of its changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from ocean_actors.log import get_logger
from ocean_actors.sandbox.publishers import Json, Publisher
from ocean_actors.sandbox.state import State

logger = get_logger(__name__)

ResultT = TypeVar("ResultT")


class Core:
    """Every change of the state happens within `changing()`, every read within `looking()`.

    Publishers get the messages of a change after the lock is released, in the order of the
    changes. `wait_for` evaluates its predicate after each change.
    """

    def __init__(self, fresh: Callable[[], State]) -> None:
        self._fresh = fresh
        self._state = fresh()
        self._changed = threading.Condition(threading.RLock())
        self._publishing = threading.Lock()
        self._releases = 0
        self._closed = False
        self.publishers: list[Publisher] = []

    @contextmanager
    def changing(self) -> Iterator[State]:
        """The state, locked; the messages of the change are published at the end."""
        try:
            with self.looking() as state:
                try:
                    yield state
                finally:
                    self._changed.notify_all()
        finally:
            self._publish()

    @contextmanager
    def looking(self) -> Iterator[State]:
        """The state, locked, for reading only."""
        with self._changed:
            yield self._state

    def reset(self) -> None:
        """Replace the state with a new one, and release the calls that hang."""
        with self._changed:
            self._state = self._fresh()
            self.release()

    def wait_for(self, predicate: Callable[[], ResultT], timeout: float) -> ResultT:
        """Returns the first true value of `predicate`, which only reads, after any change.

        Raises TimeoutError after `timeout` seconds.
        """
        with self._changed:
            value = self._changed.wait_for(predicate, timeout)
        if not value:
            raise TimeoutError(f"the condition did not become true within {timeout} s")
        return value

    @property
    def releases(self) -> int:
        """How often `release` was called; read it within `changing()`."""
        return self._releases

    def hold(self, seconds: float, releases: int | None) -> None:
        """Wait for `seconds`, until `close`, or until `release` was called more than `releases`
        times; None: it is not released.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or (releases is not None and self._releases > releases),
                seconds,
            )

    def release(self) -> None:
        """Release the calls that hang."""
        with self._changed:
            self._releases += 1
            self._changed.notify_all()

    def open(self) -> None:
        """Allow calls to be held."""
        with self._changed:
            self._closed = False

    def close(self) -> None:
        """Release all held calls, and hold no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _publish(self) -> None:
        """Publish what waits, unless another thread is doing so.

        One thread at a time keeps the order; the others do not wait for it, which rules out a
        deadlock.
        """
        outbox = self._state.outbox
        while outbox and self._publishing.acquire(blocking=False):
            try:
                while outbox:
                    self._send(*outbox.popleft())
            finally:
                self._publishing.release()

    def _send(self, message: Json, integration: Json) -> None:
        for publisher in tuple(self.publishers):
            try:
                publisher.publish(message, integration)
            except Exception:
                logger.exception("publisher %s of the sandbox failed", type(publisher).__name__)
