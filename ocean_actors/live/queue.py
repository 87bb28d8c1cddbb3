"""Which event is handled next: order within a key, concurrency across keys. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from ocean_actors.actors import Backoff

ItemT = TypeVar("ItemT")


@dataclass(frozen=True)
class Limits:
    """How many events may be at work, how often each is tried, and the pauses between."""

    workers: int
    attempts: int
    backoff: Backoff


@dataclass(frozen=True)
class Ticket(Generic[ItemT]):
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

    def __init__(self, limits: Limits, numbers: Iterator[int]) -> None:
        """`numbers` gives each event its own."""
        self._limits = limits
        self._numbers = numbers
        self._by_key: dict[str, deque[Ticket[ItemT]]] = {}  # the first may be at work or paused
        self._ready: deque[str] = deque()  # keys whose first event may be started
        self._working: dict[int, Ticket[ItemT]] = {}
        self._paused: dict[int, Ticket[ItemT]] = {}
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
        line.append(Ticket(next(self._numbers), key, item))
        if len(line) == 1:
            self._ready.append(key)

    def start(self, most: int | None = None) -> Ticket[ItemT] | None:
        """Take the next event to be handled; None if there is none, or enough are at work.

        The limit is `workers`, or `most` if that is given.
        """
        enough = len(self._working) >= (self._limits.workers if most is None else most)
        if self._held or enough or not self._ready:
            return None
        ticket = self._by_key[self._ready.popleft()][0]
        self._working[ticket.number] = ticket
        return ticket

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
        ticket = self._working.pop(number)
        if lasting or ticket.attempt >= self._limits.attempts:
            self._remove(ticket)
            return GiveUp()
        self._paused[number] = ticket
        backoff = self._limits.backoff.delay(ticket.attempt - 1, jitter)
        return RetryIn(backoff if after is None else after)

    def interrupted(self, number: int) -> None:
        """Keep an event whose attempt was cut short, and do not start it again: see `hold`."""
        del self._working[number]

    def due(self, number: int) -> None:
        """The pause of an event is over; no effect if it was before."""
        ticket = self._paused.pop(number, None)
        if ticket is not None:
            self._by_key[ticket.key][0] = replace(ticket, attempt=ticket.attempt + 1)
            self._ready.append(ticket.key)

    def items(self) -> Iterator[ItemT]:
        """Yields all events."""
        for line in self._by_key.values():
            for ticket in line:
                yield ticket.item

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

    def _remove(self, ticket: Ticket[ItemT]) -> None:
        line = self._by_key[ticket.key]
        line.popleft()
        if line:
            self._ready.append(ticket.key)
        else:
            del self._by_key[ticket.key]
