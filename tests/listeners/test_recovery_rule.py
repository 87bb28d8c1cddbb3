"""What is owed at start, row by row of `docs/recovery.md`; minutes count from the run's start."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, overload

import pytest

from ocean_actors.listeners.recovery import owed
from ocean_actors.messages import PortRequest
from ocean_actors.port.models import Integration, ResyncState

START = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
END = 10  # minutes


@overload
def at(minutes: int) -> datetime: ...
@overload
def at(minutes: int | None) -> datetime | None: ...
def at(minutes: int | None) -> datetime | None:
    return None if minutes is None else START + timedelta(minutes=minutes)


def integration(
    status: str, *, changed: int = END, ahead: int = 0, next_resync: int | None = None
) -> Integration:
    """Its last run; `ahead`: by how much our clock was ahead of Port's."""
    running = status == "running"
    state = ResyncState(
        status=status,
        last_resync_start=at(ahead),
        last_resync_end=None if running else at(END + ahead),
        next_resync=at(next_resync),
        updated_at=at(0 if running else END),
    )
    return Integration(identifier="x", config={}, updated_at=at(changed), resync_state=state)


def why(known: Integration, request: int | None = None, now: int = 60) -> str | None:
    asked = None if request is None else PortRequest("r", at(request))
    return owed(known, asked, at(now))


NEVER_RAN = Integration(identifier="x", config={}, updated_at=at(0), resync_state=None)


@pytest.mark.parametrize(
    ("known", "request_at", "expected"),
    [
        (NEVER_RAN, None, None),
        (NEVER_RAN, 5, "a resync was requested and none ever ran"),
        (integration("running"), None, "a run was left running"),
        (integration("aborted"), None, "the last run was aborted"),
        (integration("failed"), None, "the last run failed"),
        (integration("completed"), None, None),
        (integration("completed"), -1, None),
        (integration("completed"), 0, None),
        (integration("completed"), 5, "a resync was requested after the last run began"),
        (integration("completed"), 15, "a resync was requested after the last run began"),
        (
            integration("completed", changed=15),
            None,
            "the integration was changed after the last report",
        ),
        (integration("completed", next_resync=30), None, "a scheduled resync was missed"),
        (integration("completed", next_resync=60), None, "a scheduled resync was missed"),
        (integration("completed", next_resync=90), None, None),
    ],
)
def test_what_port_says_tells_what_is_owed(
    known: Any, request_at: int | None, expected: str | None
) -> None:
    assert why(known, request_at) == expected


def test_a_clock_ahead_of_port_s_hides_no_request() -> None:
    assert why(integration("completed", ahead=7), request=5) is not None


def test_a_clock_behind_port_s_costs_one_resync_at_most() -> None:
    assert why(integration("completed", ahead=-7), request=-5) is not None
    assert why(integration("completed", ahead=-7), request=5) is not None


def test_a_state_without_times_leaves_a_doubt_and_so_a_resync() -> None:
    known = Integration(
        identifier="x",
        config={},
        updated_at=None,
        resync_state=ResyncState(status="completed"),
    )
    assert why(known, request=5) == "a resync was requested"
    assert why(known) is None


def test_a_late_report_to_a_port_whose_clock_is_behind_hides_no_request() -> None:
    """Port's clock is 20 s behind ours, and the end was reported 20 s late."""
    state = ResyncState(
        status="completed",
        last_resync_start=START,
        last_resync_end=START + timedelta(seconds=60),
        updated_at=START + timedelta(seconds=60),
    )
    known = Integration(identifier="x", config={}, updated_at=None, resync_state=state)
    asked = PortRequest("r", START - timedelta(seconds=10))  # 10 s after the start, by our clock
    now = START + timedelta(hours=1)
    assert owed(known, asked, now, timedelta(seconds=-20)) is not None
    assert owed(known, PortRequest("r", START - timedelta(seconds=21)), now, None) is None


def test_a_request_whose_time_cannot_be_read_is_owed() -> None:
    asked = PortRequest("r", None)
    expected = "a resync was requested, at a time that cannot be read"
    assert owed(integration("completed"), asked, at(60)) == expected


@pytest.mark.parametrize("skew", [None, timedelta(days=-1), timedelta(days=1)])
@pytest.mark.parametrize("moment", [datetime.min, datetime.max])
def test_a_time_at_the_end_of_the_calendar_counts_as_absent(moment: Any, skew: Any) -> None:
    edge = moment.replace(tzinfo=timezone.utc)
    state = ResyncState("completed", edge, datetime.max.replace(tzinfo=timezone.utc), None, START)
    known = Integration(identifier="x", config={}, updated_at=at(END), resync_state=state)
    assert owed(known, PortRequest("r", START), at(60), skew) in {
        None, "a resync was requested", "a resync was requested after the last run began",
        "the integration was changed after the last report",
    }  # fmt: skip
