"""Asking Port what is new, and telling whether it calls for a resync.

POLLING lives by it; WEBHOOK does it when somebody calls without proof, and as its safety net.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from ocean_actors.actors import Message
from ocean_actors.frozen import FrozenDict
from ocean_actors.listeners.recovery import began, owed
from ocean_actors.messages import ConfigSnapshot
from ocean_actors.port.client import PortClient
from ocean_actors.port.integration import snapshot_of
from ocean_actors.retry import ONCE


@dataclass(frozen=True)
class Observed(Message):
    """What Port answered. `requested_at` is the newest resync request's time; `last_began` is
    when the last run that Port knows of began, and `owed` why a resync is owed at start.
    """

    snapshot: ConfigSnapshot
    requested_at: datetime | None
    last_began: datetime | None
    owed: str | None

    @property
    def unanswered(self) -> datetime | None:
        """The time of the request, unless the last run began after it."""
        if self.requested_at is None or self.last_began is None:
            return self.requested_at
        return self.requested_at if self.requested_at > self.last_began else None


def observe(client: PortClient) -> Observed:
    """Ask once. Raises PortError.

    Send the answer to your own mailbox: it gets in line behind the news of runs.
    """
    integration = client.get_integration(retry=ONCE)
    request = client.get_resync_request(retry=ONCE)
    state = integration.resync_state
    return Observed(
        snapshot_of(integration),
        request.updated_at if request is not None else None,
        began(state) if state is not None else None,
        owed(integration, request, client.clock.now()),
    )


@dataclass(frozen=True)
class Seen:
    """What a resync was requested for already, or needs none: not what is settled.

    Settled is what Port's own record of the last run says; see `recovery`. Were one watermark
    used for both, a run in flight would be requested anew, and so aborted, by every look.
    """

    config: FrozenDict
    requested_at: datetime | None

    def with_request(self, requested_at: datetime | None) -> Seen:
        """The same, with a request's time if that is newer."""
        if requested_at is None or not _later(requested_at, self.requested_at):
            return self
        return replace(self, requested_at=requested_at)


def news(seen: Seen, config: FrozenDict, requested_at: datetime | None) -> str | None:
    """Why a resync is to be requested, or None.

    The config itself is compared: `updatedAt` also moves with every report of a run.
    """
    requested = requested_at is not None and _later(requested_at, seen.requested_at)
    if config != seen.config:
        return "configuration changed, resync requested" if requested else "configuration changed"
    return "resync requested" if requested else None


def _later(moment: datetime, than: datetime | None) -> bool:
    return than is None or moment > than
