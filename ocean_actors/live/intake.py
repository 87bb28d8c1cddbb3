"""Where the web server's threads hand calls to the router of their path, and see its counts."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from ocean_actors.actors import Message, Ref
from ocean_actors.live.call import LiveCall
from ocean_actors.live.handler import LiveSpec
from ocean_actors.live.room import Room
from ocean_actors.log import get_logger

logger = get_logger(__name__)

LiveReception = Literal["queued", "full", "unavailable"]
"""What became of a call."""


@dataclass(frozen=True)
class LiveCounts:
    """What `status()["live"]` shows of one path.

    `queued` events wait, also for their next attempt, and `running` ones are at work. The others
    count since the start: events that were `accepted`, `handled` or given up (`dead`), attempts
    that were `retried`, and calls that were `refused` as the queue was full.
    """

    queued: int = 0
    running: int = 0
    accepted: int = 0
    handled: int = 0
    retried: int = 0
    dead: int = 0
    refused: int = 0

    def as_data(self) -> dict[str, int]:
        """Returns the counts by name."""
        return asdict(self)


@dataclass(frozen=True)
class CallsArrived(Message):
    """To the router: there are calls to `take`."""


class LiveIntake:
    """One path, seen from the web: it takes calls between `open` and `shut`.

    A copy in a forked process takes none, as the actors are in the process that was forked. The
    router alone writes `standby`, `running`, `handled`, `retried` and `dead`.
    """

    def __init__(self, spec: LiveSpec, *, standby: bool) -> None:
        self.spec = spec
        self.standby = standby
        self.room = Room(spec.capacity, spec.capacity_bytes)
        self.numbers = itertools.count(1)
        """Of events; a router that was restarted goes on with them."""
        self.running = self.handled = self.retried = self.dead = 0
        self._arrived: deque[tuple[LiveCall, str]] = deque()
        self._tells = True
        self._router: Ref | None = None
        self._process = os.getpid()

    @property
    def counts(self) -> LiveCounts:
        """What happened so far."""
        room = self.room
        return LiveCounts(
            max(0, room.count - self.running), self.running, room.accepted, self.handled,
            self.retried, self.dead, room.refused,
        )  # fmt: skip

    @property
    def is_open(self) -> bool:
        """Whether calls are taken in this process."""
        if self._router is None:
            return False
        if os.getpid() == self._process:
            return True
        self._router = None
        logger.error(
            "this process (%d) was forked from %d after the system was started there: calls here "
            "are answered 503. Start the system in the process that serves, after the fork",
            os.getpid(), self._process,
        )  # fmt: skip
        return False

    def open(self, router: Ref) -> None:
        """Take calls from now on."""
        self._process = os.getpid()
        self._router = router

    def shut(self) -> None:
        """Take no calls from now on."""
        self._router = None

    def accept(self, call: LiveCall, key: str) -> LiveReception:
        """Queue a call; waits for nobody."""
        router = self._router
        if router is None:
            return "unavailable"
        if not self.room.add(len(call.body)):
            return "full"
        self._arrived.append((call, key))
        if self._tells:
            self._tells = False
            router.tell(CallsArrived())
        return "queued"

    # -- for the router --------------------------------------------------------------------------

    def tell_again(self) -> None:
        """Have the router told of the next call; it has to `take` the earlier ones after this.

        Without this it is told of no call: waking it costs more than everything else that is
        done for a call, and during a flood it looks by itself.
        """
        self._tells = True

    def take(self) -> Iterator[tuple[LiveCall, str]]:
        """Yields the calls that have arrived, with their keys, until there is none."""
        with contextlib.suppress(IndexError):
            while True:
                yield self._arrived.popleft()
