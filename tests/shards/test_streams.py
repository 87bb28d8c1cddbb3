"""How the entities of shards wait to be written, with a Port that answers when the test says."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone

import pytest
from waiting import WITHIN, wait_until
from workshop import THREADS, settings_of

from ocean_actors.actors import CancelToken, SystemClock
from ocean_actors.frozen import EMPTY
from ocean_actors.messages import RunInfo
from ocean_actors.port.batches import Item, UpsertAnswer, encode
from ocean_actors.port.client import PortClient
from ocean_actors.port.entities import EntityWriter
from ocean_actors.port.entity_calls import EntityCalls
from ocean_actors.port.errors import PortError
from ocean_actors.resync.run import ResyncAborted, ResyncRun
from ocean_actors.shards import streams
from ocean_actors.shards.executor import Entities
from ocean_actors.shards.streams import EntityStreams


class GatedPort:
    """Answers batches while the gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.error: PortError | None = None
        self.written: list[tuple[str, str]] = []
        self.threads: set[int] = set()
        self._lock = threading.Lock()

    def upsert(self, blueprint: str, batch: Sequence[Item]) -> UpsertAnswer:
        assert self.gate.wait(WITHIN)
        if self.error is not None:
            raise self.error
        with self._lock:
            self.written += [(blueprint, item.identifier) for item in batch]
        return UpsertAnswer({index: (item.exact, True) for index, item in enumerate(batch)}, {})


class GatedCalls(EntityCalls):
    port: GatedPort

    def upsert(
        self, blueprint: str, batch: Sequence[Item], query: Mapping[str, str]
    ) -> UpsertAnswer:
        return self.port.upsert(blueprint, batch)


class GatedWriter(EntityWriter):
    port: GatedPort

    def _calls(self, client: PortClient) -> EntityCalls:
        calls = GatedCalls(client, self._sent, self._writes)
        calls.port = self.port
        return calls


class Bench:
    """A run whose entities go through streams to a gated Port."""

    def __init__(self) -> None:
        settings = settings_of(THREADS)
        now = datetime.now(timezone.utc)
        info = RunInfo(
            id=uuid.uuid4().hex, number=1, trigger="manual", reason="", requested_at=now,
            started_at=now, config=EMPTY, handlers=("H",),
        )  # fmt: skip
        self.clock = SystemClock()
        self.port = GatedPort()
        self.token = CancelToken(ResyncAborted)
        client = PortClient(settings.port, settings.integration, clock=self.clock)
        writer = GatedWriter(client.clone(token=self.token), info, info.handlers)
        writer.port = self.port
        self.writer = writer
        self.run = ResyncRun(
            info, "H", self.token, self.clock, writer.for_handler("H"), lambda _: None, settings
        )
        self.failed = threading.Event()
        self.streams = EntityStreams(self.run, self.failed.set)
        self.put = 0

    def put_in_thread(self, chunks: Iterator[Entities]) -> threading.Thread:
        def work() -> None:
            for chunk in chunks:
                self.streams.put(chunk)
                self.put += chunk.items

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        self.port.gate.set()
        self.token.cancel("the test has ended")
        self.streams.stop()
        self.writer.close()
        self.clock.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    opened = Bench()
    yield opened
    opened.close()


def chunk_of(items: int, first: int = 0, blueprint: str = "thing", size: int = 10) -> Entities:
    encoded = [
        encode({"identifier": f"{blueprint}-{first + number}", "title": "x" * size})
        for number in range(items)
    ]
    data = sum(len(each.data) for each in encoded if isinstance(each, Item))
    return Entities(((blueprint, tuple(encoded)),), items, data)


def full(bench: Bench, items: int) -> Callable[[], bool]:
    """Returns what tells whether there is no room for so many more."""
    return lambda: not bench.streams._has_room(chunk_of(items))


@pytest.mark.parametrize(
    ("items", "size", "most", "sent"),  # 8 batches are on their way: of 20 entities, or of 1 MiB
    [(500, 10, streams.MOST_ITEMS, 160), (10, 200_000, 40, 60)],
)
def test_entities_wait_in_a_bounded_number_and_size(
    bench: Bench, items: int, size: int, most: int, sent: int
) -> None:
    count = 3 * most // items
    chunks = [chunk_of(items, items * number, size=size) for number in range(count)]
    thread = bench.put_in_thread(iter(chunks))
    wait_until(lambda: bench.put >= most - items, "there is no room")
    wait_until(lambda: not bench.streams._has_room(chunks[-1]), "an end of the room")
    thread.join(0.2)  # nothing more is put meanwhile
    assert thread.is_alive()
    assert bench.put <= most + sent
    bench.port.gate.set()
    thread.join(WITHIN)
    bench.streams.close()
    assert bench.put == len(bench.port.written) == count * items
    names = [name for _, name in bench.port.written]
    assert len(set(names)) == len(names)


def test_more_blueprints_than_streams_are_written_completely(bench: Bench) -> None:
    bench.port.gate.set()
    blueprints = [f"b{number}" for number in range(3 * streams.MOST_STREAMS)]
    before = threading.active_count()
    for blueprint in blueprints:
        bench.streams.put(chunk_of(2, blueprint=blueprint))
        names = [each.name for each in threading.enumerate()]
        assert names.count("shards-upsert") <= streams.MOST_STREAMS
    bench.streams.close()
    assert sorted({blueprint for blueprint, _ in bench.port.written}) == sorted(blueprints)
    assert len(bench.port.written) == 2 * len(blueprints)
    assert threading.active_count() <= before + 8  # senders of batches


def test_a_part_of_a_batch_is_sent_though_more_may_come(bench: Bench) -> None:
    bench.port.gate.set()
    bench.streams.put(chunk_of(3))
    wait_until(lambda: len(bench.port.written) == 3, "the three are written")


def test_an_error_of_port_is_told_and_raised_and_nothing_waits_any_more(bench: Bench) -> None:
    bench.port.error = PortError("no such blueprint")
    bench.port.gate.set()
    bench.streams.put(chunk_of(3))
    assert bench.failed.wait(WITHIN)
    for number in range(30):
        bench.streams.put(chunk_of(500, 500 * number))  # would block otherwise
    with pytest.raises(PortError, match="no such blueprint"):
        bench.streams.close()


def test_an_abort_wakes_those_that_wait_for_room(bench: Bench) -> None:
    thread = bench.put_in_thread(chunk_of(500, 500 * number) for number in range(40))
    wait_until(full(bench, 500), "there is no room")
    bench.token.cancel("enough")
    bench.port.gate.set()
    thread.join(WITHIN)
    assert not thread.is_alive()
    bench.streams.stop()
    with pytest.raises(ResyncAborted, match="enough"):
        bench.streams.close()
