"""A run's config is the one that Port was asked for, whatever Port's clock does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from scripted import Quick
from simulation import NOON
from stage import Stage

from ocean_actors import RunStarted
from ocean_actors.frozen import FrozenDict
from ocean_actors.messages import ConfigSnapshot, ConfigUpdated, ResyncRequested
from ocean_actors.resync.commands import ConfigFetched, FetchConfig
from ocean_actors.settings import ResyncSettings


def snapshot(name: str, minutes: int) -> ConfigSnapshot:
    return ConfigSnapshot(FrozenDict(name=name), NOON + timedelta(minutes=minutes))


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage(ResyncSettings(debounce=0.0), {"quick": Quick})
    yield stage
    stage.close()


def push(stage: Stage, pushed: Any) -> None:
    stage.coordinator.ask(
        ConfigUpdated(reason="pushed", trigger="kafka", requested_at=NOON, snapshot=pushed)
    )
    stage.settle()


def answer(stage: Stage, fetched: Any, *, fresh: bool = True) -> None:
    wanted = stage.port.expect(FetchConfig)
    wanted.reply_to.tell(ConfigFetched(wanted.number, fetched, fresh=fresh))
    stage.settle()


def config_of_next_run(stage: Stage) -> object:
    return stage.stream.expect(RunStarted).run.config["name"]


def test_what_was_fetched_wins_over_an_older_snapshot_with_a_later_time(stage: Stage) -> None:
    push(stage, snapshot("before Port's clock was set back", 60))
    answer(stage, snapshot("fetched", 0))
    assert config_of_next_run(stage) == "fetched"


def test_so_it_does_run_after_run(stage: Stage) -> None:
    for minutes in (60, 0):
        stage.coordinator.ask(ResyncRequested(reason="", trigger="manual", requested_at=NOON))
        stage.settle()
        answer(stage, snapshot(f"at {minutes}", minutes))
        assert config_of_next_run(stage) == f"at {minutes}"


@pytest.mark.parametrize(("minutes", "winner"), [(5, "pushed"), (-5, "fetched")])
def test_an_update_that_came_while_port_was_asked_wins_if_it_is_later(
    stage: Stage, minutes: int, winner: str
) -> None:
    stage.coordinator.ask(ResyncRequested(reason="", trigger="manual", requested_at=NOON))
    stage.settle()
    for _ in range(4):  # asked anew, as a request came meanwhile; in the end the run starts
        wanted = stage.port.expect(FetchConfig)
        push(stage, snapshot("pushed", minutes))
        wanted.reply_to.tell(ConfigFetched(wanted.number, snapshot("fetched", 0)))
        stage.settle()
        stage.clock.advance(60, settle=stage.settle)
        stage.settle()
    assert config_of_next_run(stage) == winner


def test_the_last_known_config_does_not_replace_a_newer_one_that_was_pushed(stage: Stage) -> None:
    push(stage, snapshot("pushed", 5))
    answer(stage, snapshot("last known", 0), fresh=False)
    assert config_of_next_run(stage) == "pushed"
