"""An engine within the process, as a package would bring one: `leader: {type: MEMORY}`.

Tests steer it: it can go away, and somebody else can take the lead.
"""

from __future__ import annotations

import threading
from typing import Literal

from ocean_actors.actors import Clock
from ocean_actors.leader.spec import ElectionError, LeaderSpec, Seat
from ocean_actors.settings import LeaderSettings


class MemoryServer:
    """Knows who leads, and until when."""

    def __init__(self) -> None:
        self._away = False
        self._news = 0
        self.bug: Exception | None = None
        self.answers = threading.Event()
        """While it is not set, no question is answered, nor can it be interrupted."""
        self.answers.set()
        self.asked = threading.Event()
        self._holders: dict[str, tuple[object, float]] = {}
        self._changed = threading.Condition()

    def campaign(self, who: object, seat: Seat, ttl: float, clock: Clock) -> float | None:
        self.asked.set()
        self.answers.wait()
        with self._changed:
            if self.bug is not None:
                bug, self.bug = self.bug, None
                raise bug
            if self.away:
                raise ElectionError("nobody answers at 127.0.0.1")
            now = clock.monotonic()
            holder, until = self._holders.get(seat.name, (who, now))
            if holder is not who and now < until:
                return None
            self._holders[seat.name] = (who, now + ttl)
            return now

    def wait(self, seconds: float) -> None:
        """Wait for news."""
        with self._changed:
            seen = self._news
            self._changed.wait_for(lambda: self._news != seen, seconds)

    def tell(self) -> None:
        """End all waits."""
        with self._changed:
            self._news += 1
            self._changed.notify_all()

    @property
    def away(self) -> bool:
        return self._away

    @away.setter
    def away(self, away: bool) -> None:
        self._away = away
        self.tell()

    def free(self, who: object) -> None:
        """Have `who` lead nothing any more."""
        with self._changed:
            held = self._holders.items()
            self._holders = {seat: each for seat, each in held if each[0] is not who}
        self.tell()

    def give_to(self, who: object) -> None:
        """Have somebody else lead everything, for ever."""
        with self._changed:
            self._holders = dict.fromkeys(self._holders, (who, float("inf")))
        self.tell()


SERVER = MemoryServer()


class MemorySettings(LeaderSettings):
    type: Literal["MEMORY"] = "MEMORY"
    ttl: float = 60.0


class MemoryElection:
    def __init__(self, server: MemoryServer, ttl: float, clock: Clock) -> None:
        self.ttl = ttl
        self._server = server
        self._clock = clock
        self._leads = self._stood_by = False

    def campaign(self, seat: Seat, seconds: float) -> float | None:
        if self._leads and self._clock.runs:
            self._server.wait(seconds)
        asked_at = self._server.campaign(self, seat, self.ttl, self._clock)
        if asked_at is None and self._clock.runs:
            self._server.wait(seconds if self._stood_by else 0.0)
            asked_at = self._server.campaign(self, seat, self.ttl, self._clock)
        self._leads, self._stood_by = asked_at is not None, asked_at is None
        return asked_at

    def resign(self) -> None:
        self._leads = False
        self._server.free(self)

    def interrupt(self) -> None:
        self._server.tell()


SPEC = LeaderSpec(
    "MEMORY",
    MemorySettings,
    lambda settings, clock: MemoryElection(SERVER, settings.ttl, clock),
)
