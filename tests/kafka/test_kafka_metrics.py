"""The lag and the commits of a real consumer, as a scrape shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families
from waiting import wait_until

from ocean_actors import ResyncHandler, RunEnded
from ocean_actors.listeners.kafka import consumer
from ocean_actors.testing import SandboxedSystem

if TYPE_CHECKING:
    from tests.kafka.conftest import Organization

pytestmark = pytest.mark.xdist_group("kafka")  # one worker, one broker


def scraped(rig: SandboxedSystem, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    body, _ = rig.system.metrics()
    return {
        tuple(sample.labels[label] for label in labels): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if sample.name == name
    }


def test_the_lag_is_what_waits_in_the_topic_and_each_commit_is_counted(
    organization: Organization, quick: type[ResyncHandler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "BATCH", 1)  # so slowly that the lag can be seen
    monkeypatch.setattr(consumer, "OBSERVE_SECONDS", 0.0)
    noise = [{"action": "RESYNC", "context": {"integrationId": "other"}}] * 2000
    place = f"{organization.topic}/0"
    with organization.system(quick) as rig:
        organization.expect_state(rig, "active")
        last = organization.publish(*noise, organization.request())
        wait_until(lambda: organization.shown(rig)["lag"].get(place), "a lag")
        shown = organization.shown(rig)
        assert 0 <= shown["positions"][place] + shown["lag"][place] <= last + 1
        assert rig.expect(RunEnded).status == "completed"
        organization.expect_committed(last + 1)
        commits = ("ocean_actors_kafka_commits_total", "result")
        wait_until(lambda: scraped(rig, *commits)["succeeded",], "a commit")
        assert scraped(rig, *commits)["failed",] == 0
        lag = ("ocean_actors_kafka_lag_messages", "topic", "partition")
        wait_until(
            lambda: scraped(rig, *lag) == {(organization.topic, "0"): 0}, "an end of the lag"
        )
