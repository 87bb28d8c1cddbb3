"""An integration as the control server sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ocean_actors.control.events import EventRing
from ocean_actors.messages import Policy


class Steerable(Protocol):
    """The methods of `OceanSystem` that are used here; see there.

    Any thread may call them, and none waits longer than some seconds. All but `status` raise
    RuntimeError unless the integration is running.
    """

    def status(self) -> Mapping[str, Any]:
        """Returns plain JSON-able data without secrets, in any state."""

    def request_resync(
        self,
        reason: str,
        *,
        kinds: Sequence[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        policy: Policy | None = None,
    ) -> str:
        """Request a resync; returns its id. Raises UnknownKind, and MailboxFull if flooded."""

    def abort(self, reason: str) -> bool:
        """Abort the run in flight; returns whether there was one."""

    def pause(self, reason: str, *, owner: str, abort: bool) -> None:
        """Start no more runs until `owner` resumes; with `abort`, abort the one in flight."""

    def resume(self, reason: str, *, owner: str) -> None:
        """Lift the pause of `owner`."""


@dataclass(frozen=True)
class Controlled:
    """An integration that is shown and steered, under its identifier.

    An `EventRecorder` in its system adds to `events`.
    """

    name: str
    system: Steerable
    events: EventRing
