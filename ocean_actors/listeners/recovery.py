"""What an earlier process of the integration still owes, told from what Port remembers."""

from __future__ import annotations

from datetime import datetime, timedelta

from ocean_actors.messages import PortRequest
from ocean_actors.port.models import Integration, ResyncState


def owed(
    integration: Integration,
    request: PortRequest | None,
    now: datetime,
    skew: timedelta | None = None,
) -> str | None:
    """Returns why a resync is owed at start, or None: the table in docs/recovery.md.

    Port keeps the state of the last run and the newest request, not which request was served.
    Where its answer leaves a doubt, a resync is owed: an unneeded resync is cheap, a lost request
    is not. `skew` is Port's clock minus ours, as far as it is known.
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
    if request is not None:
        started = began(state, skew)
        if started is None:
            return "a resync was requested"
        if request.updated_at is None:
            return "a resync was requested, at a time that cannot be read"
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


def began(state: ResyncState, skew: timedelta | None = None) -> datetime | None:
    """Returns when the last run began by Port's clock, at the latest, or None if it is unknown.

    The times in the state are a client's. Two things show how far that clock is ahead of Port's:
    when Port received the last report, and `skew`, Port's clock minus ours as measured now. The
    first fails if the report was late, the second if the clock was set since; the earlier of the
    two results counts. Times that leave the calendar count as absent.
    """
    running = state.status == "running"
    reported = state.last_resync_start if running else state.last_resync_end
    start = state.last_resync_start
    if start is None:
        return None
    ahead = [timedelta(0)]
    try:
        if reported is not None and state.updated_at is not None:
            ahead.append(state.updated_at - reported)
        if skew is not None:
            ahead.append(skew)
        return start + min(ahead)
    except OverflowError:
        return None
