"""The scheduled resync, in addition to whichever listener is configured."""

from __future__ import annotations

from dataclasses import dataclass

from ocean_actors.actors import Message, handles
from ocean_actors.context import Actor
from ocean_actors.messages import Policy
from ocean_actors.port.reports import Schedule


@dataclass(frozen=True)
class Beat(Message):
    """A scheduled time has come."""


class ScheduleListener(Actor):
    """Requests a resync at the times of `schedule`.

    A restart of this actor keeps the times. `policy` (`resync.onScheduledResync`) says what the
    requests do to a run in flight.
    """

    def __init__(self, schedule: Schedule, policy: Policy) -> None:
        super().__init__()
        self._policy = policy
        self._schedule = schedule

    def on_start(self) -> None:
        """Set the timer, in phase with the schedule."""
        first = self._schedule.seconds_to_next(self.context.clock.now())
        self.context.schedule_every(self._schedule.minutes * 60.0, Beat(), first=first)

    @handles(Beat)
    def on_beat(self, _message: Beat) -> None:
        """Request a resync."""
        self.context.request_resync("scheduled", policy=self._policy)
