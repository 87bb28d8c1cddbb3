"""The scheduled resync, beside whichever listener is configured."""

from __future__ import annotations

from dataclasses import dataclass

from ocean_actors.actors import Message, handles
from ocean_actors.context import Actor
from ocean_actors.messages import Policy


@dataclass(frozen=True)
class Beat(Message):
    """A scheduled moment has come."""


class ScheduleListener(Actor):
    """Requests a resync every `minutes` from `anchor` (monotonic seconds) on, first after one
    interval. The phase survives a restart of this actor.

    `policy` (`resync.onScheduledResync`) says what its requests do to a run in flight.
    """

    def __init__(self, minutes: int, anchor: float, policy: Policy) -> None:
        super().__init__()
        self._policy = policy
        self._seconds = minutes * 60.0
        self._anchor = anchor

    def on_start(self) -> None:
        """Wait for the next beat."""
        elapsed = self.context.clock.monotonic() - self._anchor
        self.context.schedule_every(
            self._seconds, Beat(), first=self._seconds - elapsed % self._seconds
        )

    @handles(Beat)
    def on_beat(self, _message: Beat) -> None:
        """Request a resync like anybody else."""
        self.context.request_resync("scheduled", policy=self._policy)
