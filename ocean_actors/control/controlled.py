"""What the control server needs of an integration that it shows and steers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ocean_actors.control.events import EventRing
from ocean_actors.errors import OceanError
from ocean_actors.messages import Policy
from ocean_actors.text import one_line

OWNER = "api"
"""Who owns a pause that was asked for over HTTP."""


class UnknownKind(OceanError, LookupError):
    """Raised for a kind that no handler of the integration has; the text names those it has."""

    def __init__(self, kind: str, known: Sequence[str]) -> None:
        super().__init__(kind, known)
        self.kind = kind
        self.known = known

    def __str__(self) -> str:
        """Returns one line."""
        known = ", ".join(self.known) or "none: its handlers name no kinds"
        return f"unknown kind {one_line(self.kind, 60)}; the kinds here are {known}"


class Controlled(Protocol):
    """An integration. Any thread may call it, and no call waits longer than some seconds.

    Calls raise RuntimeError unless the integration is running, and MailboxFull if it is flooded.
    """

    @property
    def name(self) -> str:
        """The integration's identifier."""

    @property
    def events(self) -> EventRing:
        """The latest events."""

    def status(self) -> Mapping[str, Any]:
        """See `OceanSystem.status`: plain JSON-able data without secrets; works in any state."""

    def request_resync(
        self,
        reason: str,
        *,
        kinds: Sequence[str] | None,
        parameters: Mapping[str, Any] | None,
        policy: Policy | None,
    ) -> str:
        """Request a resync of `kinds` (None: all); returns the request's id. Raises UnknownKind."""

    def abort(self, reason: str) -> bool:
        """Abort the run in flight; returns whether there was one."""

    def pause(self, reason: str, *, owner: str, abort: bool) -> None:
        """Start no more runs, and abort the one in flight if `abort`, until `owner` resumes."""

    def resume(self, reason: str, *, owner: str) -> None:
        """Lift the pause of `owner`."""
