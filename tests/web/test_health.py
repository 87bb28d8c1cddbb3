"""When a system counts as live and as ready, from the snapshots of its actors."""

from __future__ import annotations

from typing import Any

import pytest

from ocean_actors.web.health import health_of


def actor(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "parent": None, "state": "running", "hung": False, "message": None,
        "message_seconds": None, "details": {}, **more,
    }  # fmt: skip


def hung(name: str, **more: Any) -> dict[str, Any]:
    return actor(name, hung=True, message="Poll", message_seconds=700.4, **more)


def health(*actors: dict[str, Any], **more: Any) -> Any:
    defaults: dict[str, Any] = {
        "listener": "polling", "custom": {"Mine"}, "working": True, "failed": False, "port": True,
        "standby": False,
    }  # fmt: skip
    return health_of(actors, **{**defaults, **more})


COORDINATOR, LISTENER = actor("coordinator"), actor("polling")


def test_a_system_at_work_is_live_and_ready() -> None:
    found = health(COORDINATOR, LISTENER)
    assert (found.live, found.ready) == (True, True)


def test_port_being_away_makes_it_unready_but_not_dead() -> None:
    found = health(COORDINATOR, LISTENER, port=False)
    assert (found.live, found.ready) == (True, False)


def test_an_actor_of_ours_that_hangs_is_the_reason_of_a_failed_probe() -> None:
    found = health(COORDINATOR, hung("polling"))
    assert found.problems == ("polling has been in Poll for 700 s",)


def test_a_custom_actor_that_hangs_is_its_owners_affair() -> None:
    assert health(COORDINATOR, LISTENER, hung("Mine")).live
    assert health(COORDINATOR, LISTENER, actor("Mine"), hung("Child", parent="Mine")).live


def test_a_handler_that_was_fenced_off_does_not_count() -> None:
    assert health(COORDINATOR, LISTENER, hung("handler-A", state="abandoned")).live


@pytest.mark.parametrize("actors", [[], [actor("coordinator", state="stopped")]])
def test_a_coordinator_that_is_gone_fails_the_probe(actors: Any) -> None:
    assert health(*actors, LISTENER).problems == ("the coordinator is gone",)


def test_before_the_start_and_while_it_stops_it_is_live_and_not_ready() -> None:
    found = health(working=False)
    assert (found.live, found.ready) == (True, False)


def test_a_system_that_has_failed_is_not_live() -> None:
    assert not health(working=False, failed=True).live


@pytest.mark.parametrize("state", ["starting", "restarting", "stopped"])
def test_it_is_ready_only_while_its_listener_runs(state: str) -> None:
    assert not health(COORDINATOR, actor("polling", state=state)).ready
    assert not health(COORDINATOR).ready


def test_standing_by_is_what_the_coordinator_shows() -> None:
    standing_by = actor("coordinator", details={"standby": True})
    assert health(standing_by, LISTENER).standby
    assert not health(standing_by, LISTENER).ready
    active = actor("coordinator", details={"standby": False})
    assert not health(active, LISTENER, standby=True).standby
    assert health(COORDINATOR, LISTENER, standby=True).standby  # it has not started yet


def test_a_system_that_has_ended_as_asked_says_so() -> None:
    found = health(working=False, ended=True)
    assert (found.live, found.ready, found.ended) == (True, False, True)
