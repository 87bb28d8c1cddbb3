"""A run's config is the one that Port was asked for, whatever Port's clock does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from coordinator_rig import CoordinatorRig
from scripted import Quick
from simulation import NOON

from ocean_actors import RunStarted
from ocean_actors.frozen import FrozenDict
from ocean_actors.messages import ConfigSnapshot, ConfigUpdated, ResyncRequested
from ocean_actors.resync.commands import ConfigFetched, FetchConfig
from ocean_actors.settings import ResyncSettings


def snapshot(name: str, minutes: int) -> ConfigSnapshot:
    return ConfigSnapshot(FrozenDict(name=name), NOON + timedelta(minutes=minutes))


@pytest.fixture
def rig() -> Iterator[CoordinatorRig]:
    rig = CoordinatorRig(ResyncSettings(debounce=0.0), {"quick": Quick})
    yield rig
    rig.close()


def push(rig: CoordinatorRig, pushed: Any) -> None:
    rig.coordinator.ask(
        ConfigUpdated(reason="pushed", trigger="kafka", requested_at=NOON, snapshot=pushed)
    )
    rig.settle()


def answer(rig: CoordinatorRig, fetched: Any, *, fresh: bool = True) -> None:
    wanted = rig.port.expect(FetchConfig)
    wanted.reply_to.tell(ConfigFetched(wanted.number, fetched, fresh=fresh))
    rig.settle()


def config_of_next_run(rig: CoordinatorRig) -> object:
    return rig.stream.expect(RunStarted).run.config["name"]


def test_what_was_fetched_wins_over_an_older_snapshot_with_a_later_time(
    rig: CoordinatorRig,
) -> None:
    push(rig, snapshot("before Port's clock was set back", 60))
    answer(rig, snapshot("fetched", 0))
    assert config_of_next_run(rig) == "fetched"


def test_so_it_does_run_after_run(rig: CoordinatorRig) -> None:
    for minutes in (60, 0):
        rig.coordinator.ask(ResyncRequested(reason="", trigger="manual", requested_at=NOON))
        rig.settle()
        answer(rig, snapshot(f"at {minutes}", minutes))
        assert config_of_next_run(rig) == f"at {minutes}"


@pytest.mark.parametrize(("minutes", "winner"), [(5, "pushed"), (-5, "fetched")])
def test_an_update_that_came_while_port_was_asked_wins_if_it_is_later(
    rig: CoordinatorRig, minutes: int, winner: str
) -> None:
    rig.coordinator.ask(ResyncRequested(reason="", trigger="manual", requested_at=NOON))
    rig.settle()
    for _ in range(4):  # asked anew, as a request came meanwhile; in the end the run starts
        wanted = rig.port.expect(FetchConfig)
        push(rig, snapshot("pushed", minutes))
        wanted.reply_to.tell(ConfigFetched(wanted.number, snapshot("fetched", 0)))
        rig.settle()
        rig.clock.advance(60, settle=rig.settle)
        rig.settle()
    assert config_of_next_run(rig) == winner


def test_the_last_known_config_does_not_replace_a_newer_one_that_was_pushed(
    rig: CoordinatorRig,
) -> None:
    push(rig, snapshot("pushed", 5))
    answer(rig, snapshot("last known", 0), fresh=False)
    assert config_of_next_run(rig) == "pushed"
