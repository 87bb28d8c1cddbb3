"""The state under its one lock, and the news of its changes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from ocean_actors.sandbox.publishers import Json, Publisher
from ocean_actors.sandbox.state import State

logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")


class Core:
    """Every change of the state happens inside `changing()`, every other look in `looking()`.

    What changes announce is handed to the publishers after the lock was let go, in the order of
    the changes. Whoever waits in `wait_for` looks again after each change.
    """

    def __init__(self, fresh: Callable[[], State]) -> None:
        self._fresh = fresh
        self._state = fresh()
        self._changed = threading.Condition(threading.RLock())
        self._publishing = threading.Lock()
        self._released = 0
        self._closed = False
        self.publishers: list[Publisher] = []

    @contextmanager
    def changing(self) -> Iterator[State]:
        """The state, for this thread alone; what changed is published at the end."""
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
        """The state, for this thread alone and only to be read."""
        with self._changed:
            yield self._state

    def reset(self) -> None:
        """Start over with a new state; calls that hang are let go."""
        with self._changed:
            self._state = self._fresh()
            self.release()

    def wait_for(self, predicate: Callable[[], ResultT], timeout: float) -> ResultT:
        """The first true value of `predicate`, which only looks; asked again after each change.

        Raises TimeoutError after `timeout` seconds.
        """
        with self._changed:
            value = self._changed.wait_for(predicate, timeout)
        if not value:
            raise TimeoutError(f"what was waited for did not happen within {timeout} s")
        return value

    def hold(self, seconds: float, releasable: bool) -> None:
        """Wait; until released as well if it may be; never longer than the sandbox runs."""
        with self._changed:
            before = self._released
            self._changed.wait_for(
                lambda: self._closed or (releasable and self._released != before), seconds
            )

    def release(self) -> None:
        """Let calls that hang go on."""
        with self._changed:
            self._released += 1
            self._changed.notify_all()

    def open(self) -> None:
        """Calls may be held."""
        with self._changed:
            self._closed = False

    def close(self) -> None:
        """Let every held call go on, and hold no other."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _publish(self) -> None:
        """One thread at a time hands on, so that the order stays; the others leave it to that one
        and wait for nothing, so that no two can wait for each other.
        """
        outbox = self._state.outbox
        while outbox and self._publishing.acquire(blocking=False):
            try:
                while outbox:
                    self._hand_on(*outbox.popleft())
            finally:
                self._publishing.release()

    def _hand_on(self, message: Json, integration: Json) -> None:
        for publisher in tuple(self.publishers):
            try:
                publisher.publish(message, integration)
            except Exception:
                logger.exception("the sandbox's %s failed", type(publisher).__name__)
