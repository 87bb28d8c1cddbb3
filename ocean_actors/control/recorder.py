"""The actor that keeps the latest events for whoever asks over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ocean_actors.actors import Actor, AtLimit, MailboxPolicy, Message, handles
from ocean_actors.control.events import SHOWN, EventLine, EventRing, line_of
from ocean_actors.control.incidents import IncidentCounts, incident_counts, incidents
from ocean_actors.messages import RunEnded, RunProgressed
from ocean_actors.text import one_line

PROGRESS_SECONDS = 30.0  # between two lines on the progress of one handler
LOOK_SECONDS = 2.0  # between two looks at the actors

Snapshot = Callable[[], tuple[list[dict[str, Any]], Mapping[str, int]]]
"""Returns the actors and the dead letters, as in `OceanSystem.status()`."""


@dataclass(frozen=True)
class LookAtActors(Message):
    """Look for actors that were restarted or hang, and for dead letters."""


class EventRecorder(Actor):
    """Adds a line to `ring` for each event that is shown, and for each incident of an actor."""

    subscribes_to: ClassVar[tuple[type[Message], ...]] = SHOWN
    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(
        limit=1_000, at_limit={Message: AtLimit.DROP_OLDEST}
    )

    def __init__(self, ring: EventRing, snapshot: Snapshot) -> None:
        super().__init__()
        self._ring = ring
        self._snapshot = snapshot
        self._before = IncidentCounts()
        self._shown_at: dict[str, float] = {}  # when the progress of each handler was last shown

    def on_start(self) -> None:
        """Look at the actors from now on."""
        self.context.schedule_every(LOOK_SECONDS, LookAtActors())

    @handles(Message)
    def on_event(self, event: Message) -> None:
        """Keep an event; of the progress of a handler, only some."""
        if isinstance(event, RunEnded):
            self._shown_at.clear()
        try:
            due = not isinstance(event, RunProgressed) or self._is_due(event.progress.handler)
            line = line_of(event) if due else None
        except BaseException as error:  # noqa: BLE001  (a custom actor may publish anything)
            kind = one_line(type(event).__name__, 80)
            line = EventLine(kind, "warning", f"an event that cannot be shown: {one_line(error)}")
        if line is not None:
            self._ring.add(self.context.clock.now(), line)

    @handles(LookAtActors)
    def on_look(self, _message: LookAtActors) -> None:
        """Compare with the last look."""
        actors, dead_letters = self._snapshot()
        now = incident_counts(actors, dead_letters)
        failures = {actor["name"]: actor["failure"] for actor in actors}
        for line in incidents(self._before, now, failures):
            self._ring.add(self.context.clock.now(), line)
        self._before = now

    def _is_due(self, handler: str) -> bool:
        now = self.context.clock.monotonic()
        if now < self._shown_at.get(handler, float("-inf")) + PROGRESS_SECONDS:
            return False
        self._shown_at[handler] = now
        return True
