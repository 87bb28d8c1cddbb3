"""Several instances: at most one runs and reports, also when networks and partitions change."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from kafka.admin import NewPartitions
from kafka.structs import TopicPartition
from scripted import Script
from waiting import wait_until

from ocean_actors import ResyncHandler
from ocean_actors.listeners.kafka import kafka_python
from ocean_actors.messages import RunEnded

if TYPE_CHECKING:
    from tests.kafka.conftest import Organization, Proxy

pytestmark = pytest.mark.xdist_group("kafka")

LEGAL = ["running", "aborted", "running", "completed"]


@pytest.mark.parametrize("heartbeats_only", [False, True])
def test_an_instance_that_is_cut_off_gives_way_before_another_takes_over(
    organization: Organization,
    script: Script,
    scripted: type[ResyncHandler],
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    heartbeats_only: bool,
) -> None:
    listener = {"sessionTimeout": 6}
    with contextlib.ExitStack() as stack:
        monkeypatch.setitem(kafka_python.OPTIONS, "proxy_url", proxy.url)
        first = stack.enter_context(organization.system(scripted, listener=listener))
        organization.expect_state(first, "active")
        monkeypatch.delitem(kafka_python.OPTIONS, "proxy_url")
        second = stack.enter_context(organization.system(scripted, listener=listener))
        organization.expect_state(second, "standby")
        monkeypatch.setitem(kafka_python.OPTIONS, "proxy_url", proxy.url)  # if first reconnects
        organization.publish(organization.request())
        run = script.wait_until_at_work()
        organization.sandbox.wait_for(
            lambda: organization.sandbox.statuses("under-test") == ["running"]
        )
        proxy.cut(heartbeats_only=heartbeats_only)
        again = script.wait_until_at_work()
        assert again.id != run.id
        assert run.aborted  # before the other one started
        assert first.system.status()["resync"]["state"] == "standby"
        script.let_finish()
        assert second.expect(RunEnded).status == "completed"
        organization.expect_committed(1)
        proxy.mend()
        organization.expect_state(first, "standby")
        assert script.entered.empty()
    assert organization.sandbox.statuses("under-test") == LEGAL


def test_more_partitions_make_no_second_instance_active(
    organization: Organization,
    script: Script,
    scripted: type[ResyncHandler],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(kafka_python.OPTIONS, "metadata_max_age_ms", 500)
    with organization.system(scripted) as first:
        organization.expect_state(first, "active")
        with organization.system(scripted) as second:
            organization.expect_state(second, "standby")
            organization.publish(organization.request())
            run = script.wait_until_at_work()
            organization.admin.create_partitions({organization.topic: NewPartitions(3)})
            wait_until(
                lambda: len(organization.shown(first)["positions"]) == 3, "the three partitions"
            )
            organization.expect_state(second, "standby")
            assert not run.aborted
            script.let_finish()
            assert first.expect(RunEnded).status == "completed"
            organization.publish(organization.request(), partition=2)
            script.wait_until_at_work()
            script.let_finish()
            assert first.expect(RunEnded).status == "completed"
            last = TopicPartition(organization.topic, 2)
            wait_until(lambda: organization.committed(last) == 1, "the commit")
            first.system.stop()  # the other one gets all of them
            organization.expect_state(second, "active")
            organization.publish(organization.request(), partition=1)
            script.wait_until_at_work()
            script.let_finish()
            assert second.expect(RunEnded).status == "completed"
    assert organization.sandbox.statuses("under-test") == ["running", "completed"] * 3
