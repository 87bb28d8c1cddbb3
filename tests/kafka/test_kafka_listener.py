"""The KAFKA listener on a real broker, its Port played by the sandbox."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaConsumer
from kafka.errors import NoOffsetForPartitionError
from kafka.structs import MemberState, TopicPartition
from scripted import WITHIN, Script
from waiting import wait_until

from ocean_actors import ResyncHandler
from ocean_actors.listeners.kafka import kafka_python
from ocean_actors.listeners.kafka.kafka_python import GroupConsumer
from ocean_actors.listeners.kafka.offsets import Partition
from ocean_actors.listeners.kafka.subscription import REQUESTS_FLAG
from ocean_actors.messages import RunEnded, RunStarted
from ocean_actors.port_time import parse_time
from ocean_actors.testing import ManualClock

if TYPE_CHECKING:
    from tests.kafka.conftest import Organization

pytestmark = pytest.mark.xdist_group("kafka")  # one worker, one broker


def changed(config: Any, minute: int, **more: Any) -> dict[str, Any]:
    """A change of the integration in Port."""
    after = {
        "identifier": "under-test",
        "config": config,
        "updatedAt": f"2036-10-01T08:{minute:02}:00.000Z",
    }
    return {
        "action": "UPDATE",
        "resourceType": "integration",
        "diff": {"after": {**after, **more}},
        "changelogDestination": {"type": "KAFKA"},
    }


def noise(count: int) -> Any:
    return [{"action": "RESYNC", "context": {"integrationId": f"other-{n}"}} for n in range(count)]


def test_an_offset_is_committed_once_the_run_has_settled(
    organization: Organization, script: Script, scripted: type[ResyncHandler]
) -> None:
    with organization.system(scripted) as rig:
        organization.expect_state(rig, "active")
        last = organization.publish(*noise(3), organization.request())
        script.wait_until_at_work()
        # Noise goes on to be read while the run is at work, however long that takes.
        organization.publish(*noise(20))
        wait_until(lambda: organization.shown(rig)["messages"] == 24, "24 messages")
        assert organization.shown(rig)["owed"] == 1
        assert (organization.committed() or 0) <= last
        script.let_finish()
        assert rig.expect(RunEnded).status == "completed"
        organization.expect_committed(last + 21)


def test_noise_alone_is_committed_at_the_stop(
    organization: Organization, quick: type[ResyncHandler]
) -> None:
    with organization.system(quick) as rig:
        organization.expect_state(rig, "active")
        last = organization.publish(*noise(50))
        wait_until(lambda: organization.shown(rig)["messages"] == 50, "50 messages")
    assert organization.committed() == last + 1


def test_a_request_that_a_stop_left_unserved_is_served_by_the_next_start(
    organization: Organization,
    script: Script,
    scripted: type[ResyncHandler],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ocean_actors.system.FLUSH_SECONDS", 60.0)
    with organization.system(scripted) as rig:
        organization.expect_state(rig, "active")
        last = organization.publish(organization.request())
        script.wait_until_at_work()
    assert organization.sandbox.statuses("under-test") == ["running", "aborted"]
    with organization.system(scripted) as rig:
        script.wait_until_at_work()
        script.let_finish()
        assert rig.expect(RunEnded).status == "completed"
        organization.expect_committed(last + 1)
    with organization.system(scripted) as rig:
        organization.expect_state(rig, "active")
        organization.publish(*noise(1))
        wait_until(lambda: organization.shown(rig)["messages"] == 1, "a message")
        assert script.entered.empty()


def test_a_changed_config_starts_a_run_with_the_config_that_port_holds_by_then(
    organization: Organization, script: Script, scripted: type[ResyncHandler]
) -> None:
    with organization.system(scripted) as rig:
        organization.expect_state(rig, "active")
        organization.sandbox.set_config("under-test", {"resources": ["newest"]})
        organization.publish(changed({"resources": ["new"]}, 5))
        assert script.wait_until_at_work().config == {"resources": ["newest"]}
        script.let_finish()
        assert rig.expect(RunEnded).run.reason == "configuration changed"


def test_a_publisher_that_failed_starts_again_with_new_messages_only(
    organization: Organization,
) -> None:
    from ocean_actors.sandbox.kafka import KafkaPublisher

    publisher = KafkaPublisher(organization.bootstrap, "starts-again")
    listening = {"changelogDestination": {"type": "KAFKA"}}
    publisher.start()
    publisher.publish({"too": "large" * 1_000_000}, listening)
    publisher.publish({"number": 1}, listening)
    publisher.stop()
    publisher.start()
    publisher.publish({"number": 2}, listening)
    publisher.stop()
    assert first_of("starts-again.change.log", organization) == {"number": 2}


def test_what_is_published_before_the_start_is_sent_then(organization: Organization) -> None:
    from ocean_actors.sandbox.kafka import KafkaPublisher

    publisher = KafkaPublisher(organization.bootstrap, "starts-later")
    publisher.publish({"number": 0}, {"changelogDestination": {"type": "KAFKA"}})
    publisher.start()
    publisher.stop()
    assert first_of("starts-later.change.log", organization) == {"number": 0}


def first_of(topic: str, organization: Organization) -> Any:
    """Returns the first message of a topic."""
    with contextlib.closing(
        KafkaConsumer(
            topic, bootstrap_servers=organization.bootstrap,
            auto_offset_reset="earliest", consumer_timeout_ms=WITHIN * 1000,
        )
    ) as consumer:  # fmt: skip
        return json.loads(next(consumer).value)


def test_what_the_sandbox_publishes_is_heard_and_own_reports_are_not(
    organization: Organization, quick: type[ResyncHandler]
) -> None:
    from ocean_actors.sandbox.kafka import KafkaPublisher

    sandbox = organization.sandbox
    publisher = KafkaPublisher(organization.bootstrap, sandbox.organization_id, noise=5)
    sandbox.add_publisher(publisher)
    with organization.system(quick) as rig:
        organization.expect_state(rig, "active")
        sandbox.request_resync("under-test")
        assert rig.expect(RunEnded).run.reason == "resync requested"
        sandbox.wait_for(lambda: len(sandbox.statuses("under-test")) == 2)
        wait_until(  # running, completed
            lambda: organization.shown(rig)["irrelevant"].get("own report") == 2, "both reports"
        )
        assert organization.shown(rig)["requests"] == 1
        assert organization.shown(rig)["updates"] == 0


def test_the_topic_of_requests_is_read_where_the_organization_has_it(
    make_organization: Callable[..., Organization], quick: type[ResyncHandler]
) -> None:
    organization = make_organization(feature_flags=[REQUESTS_FLAG]).make_topic()
    topic = f"{organization.sandbox.organization_id}.integration.resync.requests"
    organization.make_topic(topic)
    with organization.system(quick) as rig:
        organization.expect_state(rig, "active")
        organization.publish({"context": {"integrationId": "under-test"}}, topic=topic)
        assert rig.expect(RunEnded).run.reason == "resync requested"


def test_the_first_start_begins_at_the_end_of_the_topic(
    organization: Organization, script: Script, scripted: type[ResyncHandler]
) -> None:
    organization.publish(organization.request())
    with organization.system(scripted) as rig:
        organization.expect_state(rig, "active")
        organization.expect_committed(1)  # so that even a crash now loses nothing that follows
        organization.publish(*noise(1))
        wait_until(lambda: organization.shown(rig)["messages"] == 1, "a message")
        assert script.entered.empty()


def test_a_request_between_the_start_and_the_first_assignment_is_not_missed(
    organization: Organization, quick: type[ResyncHandler]
) -> None:
    sandbox = organization.sandbox
    sandbox.fail("hang", path="/kafka-credentials$", seconds=30)
    with organization.system(quick) as rig:
        sandbox.wait_for(
            lambda: any(call.path.endswith("/kafka-credentials") for call in sandbox.calls)
        )
        organization.publish(*noise(3), organization.request(), *noise(3))
        sandbox.release()
        assert rig.expect(RunEnded).status == "completed"


def test_a_flood_of_requests_ends_in_few_runs_and_all_are_settled(
    organization: Organization, script: Script, scripted: type[ResyncHandler]
) -> None:
    with organization.system(scripted, resync={"onNewRequest": "queue"}) as rig:
        organization.expect_state(rig, "active")
        organization.publish(organization.request())
        script.wait_until_at_work()
        last = organization.publish(*[organization.request()] * 5_000)
        wait_until(lambda: organization.shown(rig)["requests"] == 5_001, "5,001 requests")
        script.let_finish(2)
        organization.expect_committed(last + 1)
        assert rig.system.status()["resync"]["run"] is None
        assert script.entered.qsize() == 1  # one more than the first


def test_ignored_requests_do_not_hold_the_offset_back(
    organization: Organization, script: Script, scripted: type[ResyncHandler]
) -> None:
    with organization.system(scripted, resync={"onNewRequest": "ignore"}) as rig:
        organization.expect_state(rig, "active")
        first = organization.publish(organization.request())
        script.wait_until_at_work()
        last = organization.publish(organization.request())
        wait_until(lambda: rig.system.status()["resync"]["ignored"] == 1, "the ignored request")
        assert (organization.committed() or 0) <= first
        script.let_finish()
        organization.expect_committed(last + 1)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_every_codec_is_readable(
    organization: Organization, quick: type[ResyncHandler], codec: str
) -> None:
    with organization.system(quick) as rig:
        organization.expect_state(rig, "active")
        batch = [*noise(100), organization.request()]
        organization.publish(*batch, compression_type=codec, linger_ms=50)
        assert rig.expect(RunEnded).status == "completed"


def test_a_poisoned_topic_stalls_nothing(
    organization: Organization, quick: type[ResyncHandler], caplog: pytest.LogCaptureFixture
) -> None:
    name = b"under-test"
    poison = [
        None,
        name,
        b'{"action": "RESYNC", "context": {"integrationId": "under-test"',
        b'"' + name + b'\xff"',
        b'{"under-test":' * 20_000,  # Python 3.13 reads the first 10,000 levels
        b'{"context": null, "diff": null, "x": "under-test"}',
        b'{"action": "RESYNC", "context": "under-test"}',
        b'[{"under-test": NaN}]',
        b"",
        b"\x00" * 100,
    ]
    huge = b'{"x": "' + b"under-test " * 900_000 + b'"}'
    with organization.system(quick) as rig:
        organization.expect_state(rig, "active")
        last = organization.publish(*poison * 15, huge, organization.request(), huge, *poison * 15)
        assert rig.expect(RunEnded).status == "completed"
        organization.expect_committed(last + 1)
        shown = wait_until(
            lambda: (found := organization.shown(rig))["messages"] == 303 and found, "303 messages"
        )
        assert shown["requests"] == 1
        assert shown["unreadable"]["too long"] == 2
        assert shown["unreadable"]["nested too deeply"] == 30
    skipped = [each for each in caplog.messages if "unreadable messages" in each]
    assert 1 <= len(skipped) <= 5


def test_several_partitions_are_read(
    make_organization: Callable[..., Organization], quick: type[ResyncHandler]
) -> None:
    organization = make_organization().make_topic(partitions=3)
    with organization.system(quick) as rig:
        organization.expect_state(rig, "active")
        for number in range(3):
            organization.publish(organization.request(), partition=number)
            assert rig.expect(RunEnded).status == "completed", number
            partition = TopicPartition(organization.topic, number)
            wait_until(lambda: organization.committed(partition) == 1, "the commit")  # noqa: B023
        read = {f"{organization.topic}/{number}": 1 for number in range(3)}
        wait_until(lambda: organization.shown(rig)["positions"] == read, "the positions")


# -- two instances ---------------------------------------------------------------------------------


def test_a_second_instance_stands_by_and_takes_over_when_the_first_stops(
    organization: Organization,
    script: Script,
    scripted: type[ResyncHandler],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    with organization.system(scripted) as second, organization.system(scripted) as first:
        wait_until(
            lambda: (
                {organization.shown(each).get("state") for each in (first, second)}
                == {"active", "standby"}
            ),
            "an active instance and a standby",
        )
        active, standby = (
            (first, second) if organization.shown(first)["state"] == "active" else (second, first)
        )
        assert any("standing by" in each for each in caplog.messages)
        wait_until(
            lambda: standby.system.status()["resync"]["state"] == "standby",
            "the standby of the coordinator",
        )
        organization.publish(organization.request())
        script.wait_until_at_work()
        active.expect(RunStarted)
        standby.system.request_resync("by hand")
        active.system.stop()
        # Far sooner than the session's 10 s: the first one said good-bye.
        run = script.wait_until_at_work(within=5.0)
        assert standby.expect(RunStarted).run.id == run.id
        script.let_finish()
        assert standby.expect(RunEnded).status == "completed"
        organization.expect_committed(1)
    assert organization.sandbox.statuses("under-test") == [
        "running", "aborted", "running", "completed",
    ]  # fmt: skip


@pytest.mark.parametrize("topic_is_late", [False, True])
def test_an_instance_has_joined_only_when_it_knows_what_the_group_has_assigned_it(
    make_organization: Callable[..., Organization], *, topic_is_late: bool
) -> None:
    organization = make_organization()
    if not topic_is_late:
        organization.make_topic()
    owned: list[Partition] = []
    joined_before: list[bool] = []

    def on_assigned(partitions: Iterable[Partition]) -> None:
        joined_before.append(group.joined())
        owned.extend(partitions)

    group = GroupConsumer(
        {"bootstrap_servers": [organization.bootstrap], "group_id": organization.group},
        owned=lambda: owned,
        confirmed=lambda _sent_at: None,
        clock=ManualClock(),
    )

    def poll() -> None:
        group.has_topic(organization.topic)  # asks for it again
        with contextlib.suppress(NoOffsetForPartitionError):
            group.poll(0.1, 1)

    def stable() -> bool:
        poll()
        return group.consumer.group_metadata().state is MemberState.STABLE

    def joined() -> bool:
        poll()
        return group.joined()

    group.connect()
    with contextlib.closing(group.consumer):
        group.subscribe(organization.topic, on_assigned, lambda _revoked: owned.clear())
        if topic_is_late:
            wait_until(stable, "a stable group")
            organization.make_topic()
        wait_until(joined, "an assignment")
        assert (owned, joined_before) == ([organization.partition], [False])


def test_a_newcomer_takes_no_partition_away_from_a_run(
    organization: Organization, script: Script, scripted: type[ResyncHandler]
) -> None:
    with organization.system(scripted) as first:
        organization.expect_state(first, "active")
        organization.publish(organization.request())
        run = script.wait_until_at_work()
        with organization.system(scripted) as second:
            organization.expect_state(second, "standby")
            assert not run.aborted
            script.let_finish()
            assert first.expect(RunEnded).status == "completed"
            organization.expect_committed(1)
    assert script.entered.empty()


def test_a_run_ends_with_the_membership_and_is_run_again_with_the_next(
    organization: Organization, script: Script, scripted: type[ResyncHandler]
) -> None:
    with organization.system(scripted, resync={"onNewRequest": "queue"}) as rig:
        organization.expect_state(rig, "active")
        organization.publish(organization.request())
        run = script.wait_until_at_work()
        organization.throw_members_out()
        again = script.wait_until_at_work()
        assert run.aborted
        assert again.id != run.id
        organization.expect_committed(0)
        script.let_finish()
        organization.expect_committed(1)


def test_messages_that_were_deleted_unread_are_made_up_for_by_a_resync(
    organization: Organization, quick: type[ResyncHandler]
) -> None:
    with organization.system(quick) as rig:
        organization.expect_state(rig, "active")
    last = organization.publish(organization.request(), *noise(10))
    organization.admin.delete_records({organization.partition: last})
    with organization.system(quick) as rig:
        assert rig.expect(RunEnded).run.reason == "messages were missed"
        organization.expect_committed(last + 1)


# -- a broker or a Port that is not as it should be ------------------------------------------------


def test_a_topic_that_is_not_there_yet_is_waited_for_and_read_from_its_begin(
    make_organization: Callable[..., Organization], quick: type[ResyncHandler]
) -> None:
    organization = make_organization()
    with organization.system(quick) as rig:
        organization.expect_state(rig, "waiting for the topic")
        organization.make_topic().publish(*noise(3), organization.request())
        assert rig.expect(RunEnded).status == "completed"
        organization.expect_state(rig, "active")


def test_port_failing_at_the_start_is_tried_again_and_shown(
    organization: Organization, quick: type[ResyncHandler]
) -> None:
    organization.sandbox.fail("status", times=2, path="/organization$", status=500)
    with organization.system(quick) as rig:
        assert "/organization" in organization.expect_state(rig, "failing")["error"]
        assert organization.expect_state(rig, "active")["error"] is None


@pytest.mark.parametrize("path", ["/organization$", "/kafka-credentials$"])
def test_the_wait_that_port_asks_for_is_kept(
    organization: Organization, quick: type[ResyncHandler], path: str
) -> None:
    sandbox = organization.sandbox
    sandbox.fail("status", times=1, path=path, status=429, headers={"Retry-After": "4"})
    with organization.system(quick) as rig:
        organization.expect_state(rig, "failing")
        organization.expect_state(rig, "active")
        first, second = [call for call in sandbox.calls if call.path.endswith(path[:-1])][:2]
        began, again = parse_time(first.at), parse_time(second.at)
        assert began is not None
        assert again is not None
        assert (again - began).total_seconds() >= 4.0


def test_a_stop_before_there_is_a_broker_is_prompt(
    organization: Organization, quick: type[ResyncHandler]
) -> None:
    unused = "127.0.0.1:1"
    with organization.system(quick, listener={"brokers": unused}) as rig:
        organization.expect_state(rig, "connecting")
        assert rig.system.stop()
    assert rig.system.status()["leftBehind"] == []


def test_the_name_of_the_broker_is_in_the_message_that_it_cannot_be_reached(
    organization: Organization,
    quick: type[ResyncHandler],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(kafka_python.OPTIONS, "bootstrap_timeout_ms", 300)
    with organization.system(quick, listener={"brokers": "127.0.0.1:1"}) as rig:
        assert "127.0.0.1:1" in organization.expect_state(rig, "failing")["error"]
    assert any("127.0.0.1:1" in each and "retrying in" in each for each in caplog.messages)


def test_no_thread_is_left_behind(organization: Organization, quick: type[ResyncHandler]) -> None:
    """Every thread of the listener, kafka-python's included, ends with it."""
    before = set(threading.enumerate())

    def ours() -> Any:
        names = {each.name for each in set(threading.enumerate()) - before}
        return {name for name in names if "ocean-actors" in name or name == "kafka-consumer"}

    with organization.system(quick) as rig:
        organization.expect_state(rig, "active")
        assert "kafka-consumer" in ours()
    # kafka-python waits a bounded time for its own: on a busy machine it ends a little later
    wait_until(lambda: not ours(), "an end of the threads")
