"""Asking Port what is new, and telling whether it calls for a resync.

POLLING lives by it; WEBHOOK does it when somebody calls without proof, and as its safety net.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from ocean_actors.actors import Message
from ocean_actors.frozen import FrozenDict
from ocean_actors.listeners.recovery import owed
from ocean_actors.messages import ConfigSnapshot, RunInfo
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.integration import snapshot_of
from ocean_actors.retry import ONCE


@dataclass(frozen=True)
class Observed(Message):
    """What Port answered. `requested_at` is the newest resync request's time; `owed` is why a
    resync is owed at start.
    """

    snapshot: ConfigSnapshot
    requested_at: datetime | None
    owed: str | None


def observe(client: PortClient) -> Observed:
    """Ask once. Raises PortError.

    Send the answer to your own mailbox: it gets in line behind the news of runs.
    """
    integration = client.get_integration(retry=ONCE)
    request = client.get_resync_request(retry=ONCE)
    return Observed(
        snapshot_of(integration),
        request.updated_at if request is not None else None,
        owed(integration, request, client.clock.now()),
    )


def next_look(error: PortError, backoff: float) -> float:
    """In how many seconds to ask again after a failure: the backoff, or as long as Port asks."""
    return max(backoff, min(error.asked_wait or 0.0, ONCE.longest))


@dataclass(frozen=True)
class Watermark:
    """What a resync was requested for already, or needs none: not what is settled.

    Settled is what Port's own record of the last run says; see `recovery`. Were one watermark
    used for both, a run in flight would be requested anew, and so aborted, by every look.
    """

    config: FrozenDict | None = None  # None: nothing was seen yet
    requested_at: datetime | None = None
    overtaken: bool = False  # a run started while Port was asked

    def asking(self) -> Watermark:
        """Port is asked now."""
        return replace(self, overtaken=False)

    def ran(self, run: RunInfo) -> Watermark:
        """A run answers for the config that it was given, and for Port's requests up to then."""
        return Watermark(run.config, _latest(self.requested_at, run.answers), overtaken=True)

    def advance(self, observed: Observed, first: str | None) -> tuple[Watermark, str | None]:
        """What is seen then, and why a resync is to be requested, or None.

        `first` is the reason if nothing was seen before. The config itself is compared:
        `updatedAt` also moves with every report of a run. Not for an answer that was overtaken:
        the run's config may be newer.
        """
        config = observed.snapshot.config
        newest = _latest(self.requested_at, observed.requested_at)
        seen = replace(self, config=config, requested_at=newest)
        if self.config is None:
            return seen, first
        requested = newest != self.requested_at
        if config != self.config:
            suffix = ", resync requested" if requested else ""
            return seen, f"configuration changed{suffix}"
        return seen, "resync requested" if requested else None


def _latest(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((each for each in (one, other) if each is not None), default=None)
