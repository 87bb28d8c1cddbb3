"""Batches that a worker in another process sends, decided and recorded by the run's own process."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jumping_clock import JumpingClock
from pydantic import SecretStr
from waiting import wait_until

from ocean_actors.actors import CancelToken
from ocean_actors.messages import Written
from ocean_actors.port.batches import LARGEST_BODY, encode
from ocean_actors.port.client import PortClient
from ocean_actors.port.entities import EntityWriter, ReconcileRefused
from ocean_actors.port.errors import PortError
from ocean_actors.port.live_writes import LiveWrites, prints_of
from ocean_actors.port.permit import permit
from ocean_actors.port.remote import SendBatch, packed, unpacked
from ocean_actors.port.remote_sender import RemoteSender
from ocean_actors.port.remote_writes import RemoteWrites
from ocean_actors.resync.current_lease import CurrentLease
from ocean_actors.resync.run import ResyncAborted
from ocean_actors.sandbox import Sandbox
from ocean_actors.settings import IntegrationSettings, PortSettings

if TYPE_CHECKING:
    from tests.port.conftest import Runs

SOON = 30  # seconds
BULK = "POST /v1/blueprints/package/entities/bulk"
Pairs = Iterable[tuple[str, dict[str, Any]]]


def packages(*names: object) -> Iterator[tuple[str, dict[str, Any]]]:
    return (("package", {"identifier": str(name)}) for name in names)


def bulk_calls(sandbox: Sandbox) -> list[Any]:
    return [call for call in sandbox.calls if f"{call.method} {call.path}" == BULK]


def names(sandbox: Sandbox, blueprint: str = "package") -> list[str]:
    return sorted(entity["identifier"] for entity in sandbox.entities(blueprint))


def item(name: str) -> Any:
    return encode({"identifier": name})


def item_of_title(title: str) -> Any:
    return encode({"identifier": "a", "title": title})


def pickled(message: Any) -> Any:
    return pickle.loads(pickle.dumps(message))  # noqa: S301  (made here)


class Link:
    """A worker and its parent, whose messages are pickled as between processes."""

    def __init__(self, writer: EntityWriter, url: str, clock: Any, width: int = 4) -> None:
        port = PortSettings(client_id="-", client_secret=SecretStr("-"), base_url=url)
        integration = IntegrationSettings(identifier="demo", type="Custom")
        self.token = CancelToken(ResyncAborted)
        self.client = PortClient(
            port, integration, token=self.token, clock=clock, jitter=lambda: 0.0
        )
        self.sender = RemoteSender(self.client, self.to_parent, width)
        found = writer.for_handler("all").remote_writes(self.to_worker)
        assert found is not None
        self.writes: RemoteWrites = found
        self.orders: list[SendBatch] = []
        self.frozen: list[Any] | None = None

    def to_parent(self, message: Any) -> None:
        self.writes.hear(pickled(message))

    def to_worker(self, message: Any) -> None:
        message = pickled(message)
        if isinstance(message, SendBatch):
            self.orders.append(message)
        if self.frozen is not None:
            self.frozen.append(message)
        else:
            self.sender.hear(message)

    def write(self, entities: Pairs) -> list[tuple[str, Any]]:
        """Do a shard; returns what is left for the parent to send."""
        with self.writes:
            for blueprint, entity in entities:
                self.sender.add(blueprint, encode(entity))
            return self.sender.finish()

    def close(self) -> None:
        self.token.cancel("over")
        self.sender.close()
        self.client.close()


Connect = Callable[..., Link]


@pytest.fixture
def link(sandbox: Sandbox, clock: JumpingClock) -> Iterator[Connect]:
    made: list[Link] = []

    def make(writer: EntityWriter, **options: Any) -> Link:
        made.append(Link(writer, sandbox.url, clock, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_worker_writes_as_the_run_does_and_its_record_is_the_same(
    sandbox: Sandbox, runs: Runs, link: Connect
) -> None:
    first = runs.start()
    assert link(first).write(packages(*range(45))) == []
    assert first.written().upserted == 45
    assert sorted(len(call.body["entities"]) for call in bulk_calls(sandbox)) == [5, 20, 20]
    assert bulk_calls(sandbox)[0].query["ocean_info_resync_id"] == "run-1"
    assert bulk_calls(sandbox)[0].headers["user-agent"].endswith("/demo/exporter")
    second = runs.start()
    link(second).write(packages(*range(30)))
    assert second.for_handler("all").reconcile() == 15
    assert names(sandbox) == sorted(map(str, range(30)))
    assert second.written() == Written(upserted=30, deleted=15, reconciled=True)


def test_several_workers_and_the_parent_write_one_run(
    sandbox: Sandbox, runs: Runs, link: Connect
) -> None:
    writer = runs.start()
    with ThreadPoolExecutor(3) as pool:
        shards = [
            pool.submit(link(writer).write, packages(*range(at, at + 50))) for at in (0, 50, 100)
        ]
        writer.for_handler("all").upsert("package", [{"identifier": "mine"}])
        assert [each.result(SOON) for each in shards] == [[], [], []]
    assert writer.written().upserted == 151
    assert len(names(sandbox)) == 151
    assert writer.for_handler("all").reconcile() == 0


def test_a_worker_gets_the_access_token_only(runs: Runs, link: Connect) -> None:
    made = link(runs.start())
    made.write(packages(1))
    (order,) = made.orders
    assert order.authorization.startswith("Bearer ")
    assert order.authorization not in repr(order)
    assert b"sandbox-secret" not in pickle.dumps(order)


def test_what_port_refuses_is_counted_as_failed(
    sandbox: Sandbox, runs: Runs, link: Connect
) -> None:
    writer = runs.start()
    bad = ("package", {"identifier": "bad", "properties": {"colour": "blue"}})
    link(writer).write([*packages("a"), bad, ("package", {}), *packages("c")])
    assert (writer.written().upserted, writer.written().failed) == (2, 2)
    with pytest.raises(ReconcileRefused, match="2 entities failed"):
        writer.for_handler("all").reconcile()
    assert names(sandbox) == ["a", "c"]


def test_a_batch_that_is_refused_as_a_whole_has_failed(
    sandbox: Sandbox, runs: Runs, link: Connect
) -> None:
    sandbox.fail("status", 1, status=422, path="/bulk")
    writer = runs.start()
    link(writer, width=1).write(packages(*range(25)))
    assert (writer.written().upserted, writer.written().failed) == (5, 20)


def test_no_body_is_larger_than_port_takes(runs: Runs, link: Connect) -> None:
    writer = runs.start()
    empty = len(item_of_title("").data)
    title = "x" * (LARGEST_BODY // 2 - 1 - empty)
    assert 2 * len(item_of_title(title).data) + 2 == LARGEST_BODY  # with commas, and no envelope
    shard = link(writer)
    shard.write(("package", {"identifier": name, "title": title}) for name in "ab")
    assert len(shard.orders) == 2
    assert writer.written().upserted == 2


def test_a_413_is_split_in_halves(sandbox: Sandbox, runs: Runs, link: Connect) -> None:
    sandbox.fail("status", 3, status=413, path="/bulk")
    writer = runs.start()
    link(writer).write(packages(*range(8)))
    assert writer.written().upserted == 8
    sizes = [len(call.body["entities"]) for call in bulk_calls(sandbox)]
    assert sizes == [8, 4, 2, 1, 1, 2, 4]


@pytest.mark.parametrize("kind", ["status", "html", "garbage", "truncate", "drop"])
def test_a_bad_moment_of_port_costs_nothing(
    sandbox: Sandbox, runs: Runs, link: Connect, kind: str
) -> None:
    sandbox.fail(kind, 2, path="/bulk")
    writer = runs.start()
    link(writer).write(packages(1, 2))
    assert (writer.written().upserted, writer.written().failed) == (2, 0)


def test_an_access_token_that_port_refuses_is_renewed_by_the_parent(
    sandbox: Sandbox, runs: Runs, link: Connect
) -> None:
    writer = runs.start()
    made = link(writer)
    writer.for_handler("all").upsert("package", [{"identifier": "before"}])
    sandbox.expire_tokens()
    made.write(packages("after"))
    assert writer.written().upserted == 2
    first, second = made.orders
    assert first.authorization != second.authorization


def test_the_calls_of_workers_are_counted_with_ours(
    sandbox: Sandbox, runs: Runs, link: Connect, client: PortClient
) -> None:
    sandbox.fail("status", 1, status=503, path="/bulk")
    link(runs.start()).write(packages(1))
    assert client.calls.answers.values[("503", "POST")] == 1
    assert client.calls.retries == 1


def test_an_unknown_blueprint_fails_the_shard_and_is_named(runs: Runs, link: Connect) -> None:
    with pytest.raises(PortError, match="blueprint 'nonsense'"):
        link(runs.start()).write([("nonsense", {"identifier": "a"})])


def test_an_entity_that_lacks_a_relation_is_left_to_the_parent(
    sandbox: Sandbox, runs: Runs, link: Connect
) -> None:
    sandbox.create_blueprint("file", relations={"in": {"target": "package", "many": False}})
    writer = runs.start(createMissingRelatedEntities=False)
    file = {"identifier": "f", "relations": {"in": "late"}}
    left = link(writer).write([("file", file)])
    assert [(blueprint, json.loads(item.data)) for blueprint, item in left] == [("file", file)]
    assert writer.written() == Written()
    port = writer.for_handler("all")
    port.upsert("package", [{"identifier": "late"}])
    port.upsert("file", [json.loads(item.data) for _, item in left])
    assert writer.written().upserted == 2
    assert port.reconcile() == 0


def test_an_entity_that_a_search_query_names_is_recorded_by_what_port_found(
    sandbox: Sandbox, runs: Runs, link: Connect
) -> None:
    runs.start().for_handler("all").upsert("package", [{"identifier": "a", "title": "A"}])
    query = {
        "combinator": "and",
        "rules": [{"property": "$title", "operator": "=", "value": "A"}],
    }
    writer = runs.start()
    link(writer).write([("package", {"identifier": query, "title": "A"})])
    assert writer.written().upserted == 1
    assert writer.for_handler("all").reconcile() == 0
    assert names(sandbox) == ["a"]


def test_what_a_live_event_has_written_is_left_out(
    sandbox: Sandbox, client: PortClient, runs: Runs, link: Connect
) -> None:
    live = LiveWrites()
    writer = EntityWriter(client.clone(), runs.start()._run, ("all",), live=live)
    with live.writing(prints_of(("package", "7")), CancelToken(), client.clock):
        pass
    link(writer).write(packages(*range(10)))
    assert (writer.written().upserted, writer.written().superseded) == (9, 1)
    assert "7" not in names(sandbox)
    assert writer.for_handler("all").reconcile() == 0
    writer.close()


def test_a_live_event_waits_for_a_batch_of_a_worker(
    sandbox: Sandbox, client: PortClient, runs: Runs, link: Connect
) -> None:
    live = LiveWrites()
    writer = EntityWriter(client.clone(), runs.start()._run, ("all",), live=live)
    sandbox.fail("hang", 1, path="/bulk", seconds=SOON * 3)
    order: list[str] = []

    def handle() -> None:
        with live.writing(prints_of(("package", "1")), CancelToken(), client.clock, SOON * 3):
            order.append("live")

    with ThreadPoolExecutor(2) as pool:
        shard = pool.submit(link(writer).write, packages(1))
        sandbox.wait_for(lambda: bulk_calls(sandbox))
        event = pool.submit(handle)
        order.append("release")
        sandbox.release()
        assert shard.result(SOON) == []
        event.result(SOON)
    assert order == ["release", "live"]
    writer.close()


def test_an_aborted_run_writes_nothing_more(sandbox: Sandbox, runs: Runs, link: Connect) -> None:
    writer = runs.start()
    made = link(writer)
    writer.abort("newer request")
    with made.writes, ThreadPoolExecutor(1) as pool:
        made.sender.add("package", item("1"))
        shard = pool.submit(made.sender.finish)
        made.token.cancel("newer request")
        with pytest.raises(ResyncAborted, match="newer request"):
            shard.result(SOON)
    assert made.orders == []
    assert names(sandbox) == []


def test_a_worker_that_was_frozen_sends_nothing_by_an_old_order(
    sandbox: Sandbox, runs: Runs, link: Connect, clock: JumpingClock
) -> None:
    writer = runs.start()
    made = link(writer)
    made.frozen = []
    with made.writes:
        made.sender.add("package", item("1"))
        made.sender.flush()
        wait_until(lambda: made.frozen, "frozen writes")
        writer.abort("newer request")
        clock.advance(5.0)
        kept, made.frozen = made.frozen, []
        answers: list[Any] = []
        made.sender._tell = answers.append
        for message in kept:
            made.sender.hear(message)
        wait_until(lambda: answers, "an answer")
    assert answers[0].text == "not sent to Port: the order has expired"
    assert bulk_calls(sandbox) == []


def test_an_order_holds_no_longer_than_the_lease(
    sandbox: Sandbox, client: PortClient, runs: Runs, link: Connect, clock: JumpingClock
) -> None:
    from ocean_actors.leader.lease import TimedLease

    current = CurrentLease(active=True)
    current.change(active=True, lease=TimedLease(clock, clock.monotonic(), 3.0))
    writer = EntityWriter(client.clone(permit=permit(current)), runs.start()._run, ("all",))
    made = link(writer)
    made.write(packages(1))
    assert made.orders[0].until == pytest.approx(clock.monotonic() + 2.0)
    writer.close()


def test_without_the_lease_nothing_is_ordered(
    sandbox: Sandbox, client: PortClient, runs: Runs, link: Connect
) -> None:
    current = CurrentLease(active=False)
    writer = EntityWriter(client.clone(permit=permit(current)), runs.start()._run, ("all",))
    made = link(writer)
    with pytest.raises(PortError, match="another instance may have taken over"):
        made.write(packages(1))
    assert made.orders == []
    writer.close()


def test_a_worker_that_dies_ends_its_batches_and_no_others(
    sandbox: Sandbox, runs: Runs, link: Connect
) -> None:
    writer = runs.start()
    dead, alive = link(writer), link(writer)
    dead.frozen = []
    with dead.writes:
        dead.sender.add("package", item("1"))
        dead.sender.flush()
        wait_until(lambda: dead.frozen, "frozen writes")
        dead.writes.gone("killed")
    assert alive.write(packages(1)) == []
    assert writer.written().upserted == 1
    assert writer._flight.window.in_flight == {}


def test_more_than_a_few_batches_are_not_read_ahead(
    sandbox: Sandbox, runs: Runs, link: Connect
) -> None:
    made = link(runs.start(), width=2)
    sandbox.fail("hang", None, path="/bulk", seconds=SOON * 3)
    read = []

    def source() -> Pairs:
        for number in range(200):
            read.append(number)
            yield from packages(number)

    with ThreadPoolExecutor(1) as pool:
        shard = pool.submit(made.write, source())
        sandbox.wait_for(lambda: len(bulk_calls(sandbox)) == 2)
        wait_until(lambda: len(read) == 61, "two batches on their way, and one that is full")
        sandbox.clear_faults()
        assert shard.result(SOON) == []
    assert len(read) == 200


def test_fingerprints_are_eight_bytes_each() -> None:
    prints = [0, 1, 2**64 - 1]
    assert len(packed(prints)) == 24
    assert list(unpacked(packed(prints))) == prints
    assert packed([1]) == b"\1" + bytes(7)


@contextmanager
def fresh(sandbox: Sandbox, client: PortClient, runs: Runs) -> Iterator[EntityWriter]:
    writer = EntityWriter(client.clone(), runs.start()._run, ("all",))
    yield writer
    writer.close()


few = st.sampled_from("abcdefgh")
entities = st.lists(st.tuples(few, st.booleans()), max_size=30)


@settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.lists(entities, min_size=1, max_size=3))
def test_reconcile_deletes_what_it_would_after_a_plain_upsert(
    sandbox: Sandbox,
    client: PortClient,
    runs: Runs,
    link: Connect,
    shards: list[list[tuple[str, bool]]],
) -> None:
    sent = {name for shard in shards for name, good in shard if good}
    bad = sum(not good for shard in shards for _, good in shard)
    with fresh(sandbox, client, runs) as before:
        before.for_handler("all").upsert("package", [{"identifier": each} for each in "abcdefgh"])
    with fresh(sandbox, client, runs) as writer:
        for shard in shards:
            made = link(writer)
            made.write(
                ("package", {"identifier": name} if good else {"identifier": name, "x": object()})
                for name, good in shard
            )
            made.close()
        port = writer.for_handler("all")
        assert writer.written().upserted == sum(good for shard in shards for _, good in shard)
        if bad:
            with pytest.raises(ReconcileRefused):
                port.reconcile(1.0)
            return
        assert port.reconcile(1.0) == 8 - len(sent)
        assert names(sandbox) == sorted(sent)
