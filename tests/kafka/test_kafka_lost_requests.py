"""Requests that no readable message holds: Port is asked, or a resync stands in for them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from kafka.record.util import calc_crc32c
from scripted import Script
from waiting import wait_until

from ocean_actors import ResyncHandler
from ocean_actors.listeners.kafka import consumer
from ocean_actors.listeners.kafka.kafka_python import BATCH_HEADER, end_of_batch
from ocean_actors.listeners.kafka.subscription import REQUESTS_FLAG
from ocean_actors.messages import RunEnded
from ocean_actors.sandbox.broker import Broker

if TYPE_CHECKING:
    from tests.kafka.conftest import Organization

pytestmark = pytest.mark.xdist_group("kafka brokers")


# -- a group without offsets -----------------------------------------------------------------------


def test_without_a_committed_offset_port_is_asked_what_is_owed(
    organization: Organization, script: Script, scripted: type[ResyncHandler]
) -> None:
    sandbox = organization.sandbox
    sandbox.create_integration("under-test", changelogDestination={"type": "KAFKA"})
    sandbox.request_resync("under-test")
    with organization.system(scripted):
        script.wait_until_at_work()
        # Nothing is committed yet: a crash now must not make the next start forget the request.
        assert organization.committed() is None
    with organization.system(scripted) as rig:
        script.wait_until_at_work()
        script.let_finish()
        assert rig.expect(RunEnded).status == "completed"
        organization.expect_committed(0)
    with organization.system(scripted) as rig:
        organization.expect_state(rig, "active")
        assert script.entered.empty()


def test_another_topic_is_noticed_while_the_consumer_runs(
    organization: Organization, quick: type[ResyncHandler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "RECHECK_SECONDS", 0.5)
    sandbox = organization.sandbox
    topic = f"{sandbox.organization_id}.integration.resync.requests"
    organization.make_topic(topic)
    with organization.system(quick) as rig:
        organization.expect_state(rig, "active")
        sandbox.configure(feature_flags=[REQUESTS_FLAG])
        wait_until(lambda: organization.shown(rig)["topic"] == topic, "the topic")
        organization.expect_state(rig, "active")
        organization.publish(organization.request(), topic=topic)
        assert rig.expect(RunEnded).status == "completed"


# -- a config that Port does not tell at once ------------------------------------------------------


def test_a_request_stays_owed_until_its_run_has_the_config_that_was_saved_before_it(
    organization: Organization, script: Script, scripted: type[ResyncHandler]
) -> None:
    newer = {"resources": [{"kind": "saved before the request"}]}
    with organization.system(scripted) as rig:
        organization.expect_state(rig, "active")
        sandbox = organization.sandbox
        path = "/integration/under-test$"
        sandbox.fail("status", None, status=500, path=path, method="GET")
        sandbox.set_config(rig.identifier, newer, skip_resync=True)
        last = organization.publish(organization.request())
        sandbox.wait_for(lambda: sum(call.status == 500 for call in sandbox.calls) >= 2)
        assert script.entered.empty()
        assert organization.committed() != last + 1
        sandbox.clear_faults()
        assert script.wait_until_at_work().config == newer
        script.let_finish()
        assert rig.expect(RunEnded).status == "completed"
        organization.expect_committed(last + 1)


# -- damaged batches -------------------------------------------------------------------------------


class TopicFile:
    """The file in which a broker keeps the one partition of a topic."""

    def __init__(self, broker: Any, topic: Any) -> None:
        self._path = broker.log_file.parent / "data" / f"{topic}-0" / f"{0:020}.log"

    def edit(self, offset: Any, change: Any) -> None:
        """Have `change` alter the bytes of the batch that begins with `offset`."""
        with self._path.open("r+b") as file:
            data = file.read()
            begin = 0
            while (header := BATCH_HEADER.unpack_from(data, begin))[0] != offset:
                begin += 12 + header[1]
            batch = bytearray(data[begin : begin + 12 + header[1]])
            change(batch)
            file.seek(begin)
            file.write(batch)


def with_a_wrong_crc(batch: Any) -> None:
    batch[-2] ^= 0xFF


def with_an_unknown_codec(batch: Any) -> None:
    struct.pack_into(">h", batch, 21, 5)
    struct.pack_into(">I", batch, 17, calc_crc32c(bytes(batch[21:])))


def that_does_not_decompress(batch: Any) -> None:
    struct.pack_into(">h", batch, 21, 4)
    struct.pack_into(">I", batch, 17, calc_crc32c(bytes(batch[21:])))


@pytest.mark.parametrize(
    "damage", [with_a_wrong_crc, with_an_unknown_codec, that_does_not_decompress]
)
def test_a_resync_stands_in_for_a_damaged_batch_and_what_follows_is_read(
    make_organization: Callable[..., Organization],
    own_broker: Broker,
    quick: type[ResyncHandler],
    script: Script,
    scripted: type[ResyncHandler],
    damage: Any,
) -> None:
    organization = make_organization(own_broker.bootstrap).make_topic()
    with organization.system(quick) as rig:
        organization.expect_state(rig, "active")
        organization.expect_committed(0)
    noise = [{"context": {"integrationId": f"other-{number}"}} for number in range(5)]
    first = organization.publish(*noise[:2]) - 1
    assert first == 0
    damaged = organization.publish(noise[2], linger_ms=0)
    organization.publish(noise[3])
    TopicFile(own_broker, organization.topic).edit(damaged, damage)
    with organization.system(scripted) as rig:
        assert script.wait_until_at_work().reason == "messages were missed"
        wait_until(lambda: organization.shown(rig)["damaged"] == 1, "the damaged message")
        wait_until(lambda: organization.shown(rig)["messages"] == 3, "three messages")
        assert (organization.committed() or 0) <= damaged
        script.let_finish()
        assert rig.expect(RunEnded).status == "completed"
        organization.expect_committed(4)
        organization.publish(organization.request())
        assert script.wait_until_at_work().reason == "resync requested"
        script.let_finish()
        organization.expect_committed(5)


def batch(base: int, count: int, length: int = 100) -> bytes:
    header = BATCH_HEADER.pack(base, length - 12, 0, 2, 0, 0, count - 1)
    return header + bytes(length - len(header))


def test_the_end_of_a_damaged_batch_is_in_its_header() -> None:
    fetched = batch(10, 5) + batch(15, 3) + batch(18, 1)
    assert end_of_batch(fetched, 10) == 15
    assert end_of_batch(fetched, 12) == 15
    assert end_of_batch(fetched, 15) == 18
    assert end_of_batch(fetched, 18) == 19


def test_a_header_that_makes_no_sense_skips_as_little_as_possible() -> None:
    assert end_of_batch(batch(10, 1_000_000) + batch(15, 3), 10) == 15
    assert end_of_batch(b"", 10) == 11
    assert end_of_batch(batch(10, 5)[:20], 10) == 11
    assert end_of_batch(BATCH_HEADER.pack(3, -50, 0, 2, 0, 0, 1), 10) == 11
