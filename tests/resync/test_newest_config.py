"""A run's config is the one that Port was asked for, whatever Port's clock does."""

from datetime import datetime, timedelta, timezone

import pytest
from stage import Stage

from ocean_actors import RunStarted
from ocean_actors.frozen import FrozenDict
from ocean_actors.messages import (
    ConfigFetched,
    ConfigSnapshot,
    ConfigUpdated,
    FetchConfig,
    ResyncRequested,
)
from ocean_actors.resync.run import ResyncAborted
from ocean_actors.settings import ResyncSettings

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def snapshot(name, minutes):
    return ConfigSnapshot(FrozenDict(name=name), NOON + timedelta(minutes=minutes))


def nothing():
    """A handler that has nothing to do."""

    class Nothing:
        kinds = ()

        def resync(self, run):
            raise ResyncAborted("nothing to do")

    return Nothing()


@pytest.fixture
def stage():
    stage = Stage(ResyncSettings(debounce=0.0), {"nothing": nothing})
    yield stage
    stage.close()


def push(stage, pushed):
    stage.coordinator.ask(
        ConfigUpdated(reason="pushed", trigger="kafka", requested_at=NOON, snapshot=pushed)
    )
    stage.settle()


def answer(stage, fetched, *, fresh=True):
    wanted = stage.port.expect(FetchConfig)
    wanted.reply_to.tell(ConfigFetched(wanted.number, fetched, fresh=fresh))
    stage.settle()


def config_of_next_run(stage):
    return stage.stream.expect(RunStarted).run.config["name"]


def test_what_was_fetched_wins_over_an_older_snapshot_with_a_later_time(stage):
    push(stage, snapshot("before Port's clock was set back", 60))
    answer(stage, snapshot("fetched", 0))
    assert config_of_next_run(stage) == "fetched"


def test_so_it_does_run_after_run(stage):
    for minutes in (60, 0):
        stage.coordinator.ask(ResyncRequested(reason="", trigger="manual", requested_at=NOON))
        stage.settle()
        answer(stage, snapshot(f"at {minutes}", minutes))
        assert config_of_next_run(stage) == f"at {minutes}"


@pytest.mark.parametrize(("minutes", "winner"), [(5, "pushed"), (-5, "fetched")])
def test_an_update_that_came_while_port_was_asked_wins_if_it_is_later(stage, minutes, winner):
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


def test_the_last_known_config_does_not_replace_a_newer_one_that_was_pushed(stage):
    push(stage, snapshot("pushed", 5))
    answer(stage, snapshot("last known", 0), fresh=False)
    assert config_of_next_run(stage) == "pushed"
