"""The scheduled resync, beside whichever listener is configured."""

from __future__ import annotations

from dataclasses import dataclass

from ocean_actors.actors import Message, handles
from ocean_actors.context import Actor
from ocean_actors.messages import Policy


@dataclass(frozen=True)
class Beat(Message):
    """A scheduled time has come."""


class ScheduleListener(Actor):
    """Requests a resync every `minutes`, counted from `anchor` (monotonic seconds).

    The first one comes after one interval. A restart of this actor keeps the times. `policy`
    (`resync.onScheduledResync`) says what the requests do to a run in flight.
    """

    def __init__(self, minutes: int, anchor: float, policy: Policy) -> None:
        super().__init__()
        self._policy = policy
        self._seconds = minutes * 60.0
        self._anchor = anchor

    def on_start(self) -> None:
        """Set the timer, in phase with the anchor."""
        elapsed = self.context.clock.monotonic() - self._anchor
        self.context.schedule_every(
            self._seconds, Beat(), first=self._seconds - elapsed % self._seconds
        )

    @handles(Beat)
    def on_beat(self, _message: Beat) -> None:
        """Request a resync."""
        self.context.request_resync("scheduled", policy=self._policy)
