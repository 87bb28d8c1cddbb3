"""What an earlier process of the integration still owes, told from what Port remembers."""

from __future__ import annotations

from datetime import datetime, timedelta

from ocean_actors.messages import PortRequest
from ocean_actors.port.models import Integration, ResyncState


def owed(integration: Integration, request: PortRequest | None, now: datetime) -> str | None:
    """Why a resync is owed at start, or None: the table in docs/recovery.md.

    Port keeps the state of the last run and the newest request, not which request was served.
    Where its answer leaves doubt a resync is owed: one too many is cheap, one too few is lost.
    """
    state = integration.resync_state
    if state is None or state.status is None:
        return "a resync was requested and none ever ran" if request is not None else None
    if state.status == "running":
        return "a run was left running"
    if state.status == "aborted":
        return "the last run was aborted"
    if state.status == "failed":  # perhaps it was to be tried again: Port's record does not say
        return "the last run failed"
    if request is not None and request.updated_at is not None:
        started = began(state)
        if started is None:
            return "a resync was requested"
        if request.updated_at > started:
            return "a resync was requested after the last run began"
    if (
        integration.updated_at is not None
        and state.updated_at is not None
        and integration.updated_at > state.updated_at  # equal: our own report moved it
    ):
        return "the integration was changed after the last report"
    if state.next_resync is not None and state.next_resync <= now:  # both by a client's clock
        return "a scheduled resync was missed"
    return None


def began(state: ResyncState) -> datetime | None:
    """When the last run began, for comparison with Port's own times; rather too early.

    The state's times are the client's. Where that clock was ahead of Port's, Port's receipt of
    the last report shows by how much.
    """
    running = state.status == "running"
    reported = state.last_resync_start if running else state.last_resync_end
    if state.last_resync_start is None or reported is None or state.updated_at is None:
        return state.last_resync_start
    return state.last_resync_start + min(state.updated_at - reported, timedelta(0))
