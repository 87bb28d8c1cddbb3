"""Which event is handled next: order within a key, concurrency across keys. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from ocean_actors.actors import Backoff

ItemT = TypeVar("ItemT")


@dataclass(frozen=True)
class QueueLimits:
    """How many events may be at work, how often each is tried, and the pauses between."""

    workers: int
    attempts: int
    backoff: Backoff


@dataclass(frozen=True)
class QueuedEvent(Generic[ItemT]):
    """An event in the queue. `attempt` counts from 1."""

    number: int
    key: str
    item: ItemT
    attempt: int = 1


@dataclass(frozen=True)
class RetryIn:
    """A decision: this attempt failed, and the next one is due after `seconds`."""

    seconds: float


@dataclass(frozen=True)
class GiveUp:
    """A decision: this was the last attempt."""


class LiveQueue(Generic[ItemT]):
    """The events of one path that were accepted and not handled yet.

    An event is waiting, at work, or paused until its next attempt. The later ones of its key wait
    meanwhile. It keeps no time and starts nothing: the router does.
    """

    def __init__(self, limits: QueueLimits, numbers: Iterator[int]) -> None:
        """`numbers` gives each event its own."""
        self._limits = limits
        self._numbers = numbers
        # The first event of each key may be at work or paused.
        self._by_key: dict[str, deque[QueuedEvent[ItemT]]] = {}
        self._ready: deque[str] = deque()  # keys whose first event may be started
        self._working: dict[int, QueuedEvent[ItemT]] = {}
        self._paused: dict[int, QueuedEvent[ItemT]] = {}
        self._held = False

    def __len__(self) -> int:
        """Returns how many events there are in all."""
        return sum(map(len, self._by_key.values()))

    @property
    def working(self) -> int:
        """How many are at work."""
        return len(self._working)

    def add(self, key: str, item: ItemT) -> None:
        """Add an event."""
        line = self._by_key.setdefault(key, deque())
        line.append(QueuedEvent(next(self._numbers), key, item))
        if len(line) == 1:
            self._ready.append(key)

    def start(self, most: int | None = None) -> QueuedEvent[ItemT] | None:
        """Take the next event to be handled; None if there is none, or enough are at work.

        The limit is `workers`, or `most` if that is given.
        """
        enough = len(self._working) >= (self._limits.workers if most is None else most)
        if self._held or enough or not self._ready:
            return None
        event = self._by_key[self._ready.popleft()][0]
        self._working[event.number] = event
        return event

    def succeeded(self, number: int) -> None:
        """Remove an event that was handled."""
        self._remove(self._working.pop(number))

    def failed(
        self, number: int, jitter: float, *, lasting: bool = False, after: float | None = None
    ) -> RetryIn | GiveUp:
        """Decide about an event whose attempt failed; the queue pauses or removes it.

        `lasting`: a retry cannot help. `after`: its handler asked for so many seconds. `jitter`
        is in [0, 1).
        """
        event = self._working.pop(number)
        if lasting or event.attempt >= self._limits.attempts:
            self._remove(event)
            return GiveUp()
        self._paused[number] = event
        backoff = self._limits.backoff.delay(event.attempt - 1, jitter)
        return RetryIn(backoff if after is None else after)

    def interrupted(self, number: int) -> None:
        """Keep an event whose attempt was cut short, and do not start it again: see `hold`."""
        del self._working[number]

    def due(self, number: int) -> None:
        """The pause of an event is over; no effect if it was before."""
        event = self._paused.pop(number, None)
        if event is not None:
            self._by_key[event.key][0] = replace(event, attempt=event.attempt + 1)
            self._ready.append(event.key)

    def items(self) -> Iterator[ItemT]:
        """Yields all events."""
        for line in self._by_key.values():
            for event in line:
                yield event.item

    @property
    def held(self) -> bool:
        """Whether nothing is started any more."""
        return self._held

    def hold(self) -> None:
        """Start nothing any more; the events stay, to be counted."""
        self._held = True

    def hurry(self) -> None:
        """End all pauses, as there is little time left."""
        for number in list(self._paused):
            self.due(number)

    def _remove(self, event: QueuedEvent[ItemT]) -> None:
        line = self._by_key[event.key]
        line.popleft()
        if line:
            self._ready.append(event.key)
        else:
            del self._by_key[event.key]
