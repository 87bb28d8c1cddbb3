"""Where an actor's letters wait."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Protocol

import pykka


class Envelope(Protocol):
    """A message and, if somebody asked, where the answer goes. Pykka's own has this shape."""

    message: Any
    reply_to: pykka.Future[Any] | None


class Mailbox:
    """A FIFO that can be closed: from then on nothing enters, and `get` answers None at once.

    Closing overtakes the letters that wait; pykka's stop queues behind them. Put and close
    exclude each other, so no letter slips in after the last one was taken out and is lost.
    """

    def __init__(self) -> None:
        self._letters: deque[Envelope] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._closed = False

    def put(self, envelope: Envelope) -> bool:
        """Append a letter. False if the box is closed."""
        with self._changed:
            if self._closed:
                return False
            self._letters.append(envelope)
            self._changed.notify()
            return True

    def get(self) -> Envelope | None:
        """Wait for the next letter; None once closed. Bounded by `close`, which the owner calls."""
        with self._changed:
            while not self._letters and not self._closed:
                self._changed.wait()
            return None if self._closed else self._letters.popleft()

    def close(self) -> None:
        """Let nothing in from now on and wake whoever waits in `get`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def drain(self) -> list[Envelope]:
        """Take out everything that was left."""
        with self._changed:
            left = list(self._letters)
            self._letters.clear()
            return left

    def empty(self) -> bool:
        """Whether nothing waits (part of pykka's inbox protocol)."""
        return not self._letters

    def __len__(self) -> int:
        return len(self._letters)
