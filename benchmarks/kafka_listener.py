"""The KAFKA listener beside bare loops of kafka-python and confluent-kafka.

Drain: a backlog of change-log messages of 1.5 KB, all noise but the last, which is a resync
request. Bare loops do nothing with the records and have their library's defaults; kafka-python has
crc32c. Ours: an `OceanSystem`, from its first batch to the handler's first line. Each round is a
process of its own.
"""

from __future__ import annotations

import json
import logging
import queue
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import OffsetAndMetadata, TopicPartition

from benchmarks.port import wait_until_idle
from benchmarks.programs import module, result_of
from benchmarks.report import OURS, Row, Target, alternate
from ocean_actors import OceanSystem, ResyncHandler, ResyncRun, Settings
from ocean_actors.listeners.kafka.scanner import Scanner
from ocean_actors.sandbox import Sandbox
from ocean_actors.sandbox.broker import broker
from ocean_actors.sandbox.kafka import LISTENER, entity_changes, make_topics
from ocean_actors.testing.sandboxed import port_of

PACKAGES = ("kafka-python", "crc32c", "confluent-kafka")
ROUNDS = 5
BACKLOG = 100_000
LATENCIES = 100
ORGANIZATION = "org_benchmark"
TOPIC = TopicPartition(f"{ORGANIZATION}.change.log", 0)
GROUP = f"{ORGANIZATION}.custom.demo"
REQUEST = json.dumps({"action": "RESYNC", "context": {"integrationId": "demo"}}).encode()
VARIES = "single rounds of each candidate vary by 10 % and more"
ROUND_TRIP = "before the run, two questions to Port and a fetch of Kafka's"
BARE, CONFLUENT = "kafka-python", "confluent-kafka"


def fill(bootstrap: str) -> None:
    """Publish the backlog."""
    make_topics(bootstrap, TOPIC.topic)
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=100, batch_size=2**17)
    for value in entity_changes(iter(range(BACKLOG)), BACKLOG - 1):
        producer.send(TOPIC.topic, value)
    producer.send(TOPIC.topic, REQUEST)
    producer.flush()
    producer.close()


# -- one round, in a process of its own ------------------------------------------------------------


def drain_bare(bootstrap: str, first: int) -> float:
    """Returns the seconds from the first batch to the last."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    consumer.assign([TOPIC])
    consumer.seek(TOPIC, first)
    seen, began = first, 0.0
    while seen < BACKLOG:
        batches = consumer.poll(timeout_ms=1_000)
        began = began or time.perf_counter()
        for records in batches.values():
            seen += len(records)
    ended = time.perf_counter()
    consumer.close()
    return ended - began


def drain_confluent(bootstrap: str, first: int) -> float:
    """Returns the seconds from the first batch to the last."""
    import confluent_kafka

    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "bare", "enable.auto.commit": False}
    )
    consumer.assign([confluent_kafka.TopicPartition(TOPIC.topic, TOPIC.partition, first)])
    seen, began = first, 0.0
    while seen < BACKLOG:
        records = consumer.consume(500, timeout=1.0)
        began = began or time.perf_counter()
        seen += len(records)
    ended = time.perf_counter()
    consumer.close()
    return ended - began


def drain_ours(bootstrap: str, first: int) -> float:
    """Returns the seconds from the first batch to the handler's first line."""
    commit(bootstrap, first)
    begun: list[float] = []
    scan = Scanner.scan

    def noted(self: Scanner, records: Sequence[Any]) -> Any:
        begun.append(time.perf_counter())
        Scanner.scan = scan  # type: ignore[method-assign]  # as it was
        return scan(self, records)

    Scanner.scan = noted  # type: ignore[method-assign]  # notes when the first batch is there
    entered: queue.Queue[float] = queue.Queue()
    with sandbox_for(bootstrap) as sandbox, system(sandbox, entered):
        return entered.get(timeout=120) - begun[0]


def commit(bootstrap: str, offset: int) -> None:
    """Let the group go on from there."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=GROUP, enable_auto_commit=False)
    consumer.assign([TOPIC])
    consumer.commit({TOPIC: OffsetAndMetadata(offset, "", -1)})
    consumer.close()


def sandbox_for(bootstrap: str) -> Sandbox:
    sandbox = Sandbox(organization_id=ORGANIZATION)
    sandbox.set_kafka_credentials("sandbox", "sandbox", [bootstrap])
    return sandbox


def system(sandbox: Sandbox, entered: queue.Queue[float]) -> OceanSystem:
    class Timed(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:  # noqa: ARG002  (it is given)
            entered.put(time.perf_counter())

    settings = {
        "port": port_of(sandbox), "integration": {"identifier": "demo"}, "eventListener": LISTENER,
    }  # fmt: skip
    return OceanSystem(Settings.from_dict(settings, {}), [Timed])


def one_round(side: str, bootstrap: str, first: int) -> dict[str, float]:
    drains: dict[str, Callable[[str, int], float]] = {
        OURS: drain_ours, BARE: drain_bare, CONFLUENT: drain_confluent,
    }  # fmt: skip
    seconds = drains[side](bootstrap, first)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rate": (BACKLOG - first) / seconds, "peak": peak}


# -- idle ------------------------------------------------------------------------------------------


def latencies_bare(bootstrap: str) -> list[float]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    consumer.assign([TOPIC])
    consumer.seek_to_end(TOPIC)
    consumer.position(TOPIC)
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=0)
    found = []
    for number in range(LATENCIES + 10):
        began = time.perf_counter()
        producer.send(TOPIC.topic, REQUEST)
        while not consumer.poll(timeout_ms=1_000):
            pass
        if number >= 10:
            found.append((time.perf_counter() - began) * 1000)
    producer.close()
    consumer.close()
    return found


def latencies_ours(bootstrap: str) -> list[float]:
    commit(bootstrap, end_of_topic(bootstrap))
    entered: queue.Queue[float] = queue.Queue()
    found = []
    with sandbox_for(bootstrap) as sandbox, system(sandbox, entered):
        producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=0)
        for number in range(LATENCIES + 10):
            began = time.perf_counter()
            producer.send(TOPIC.topic, REQUEST)
            took = entered.get(timeout=30) - began
            wait_until_idle(sandbox, "demo")
            if number >= 10:
                found.append(took * 1000)
        producer.close()
    return found


def end_of_topic(bootstrap: str) -> int:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    end: int = consumer.end_offsets([TOPIC])[TOPIC]
    consumer.close()
    return end


# -- all of it -------------------------------------------------------------------------------------


def measure(rounds: int) -> Iterator[Row]:
    running = broker()
    running.start()
    try:
        yield from rows(running.bootstrap, rounds)
    finally:
        running.stop()


def rows(bootstrap: str, rounds: int) -> Iterator[Row]:
    fill(bootstrap)
    peaks: dict[str, list[float]] = {OURS: [], BARE: [], CONFLUENT: []}

    def drain(side: str) -> float:
        found = result_of(module("kafka_listener", side, bootstrap, "0"))
        peaks[side].append(found["peak"])
        return found["rate"]

    rates = alternate({side: partial(drain, side) for side in peaks}, rounds, warm=0)
    yield Row(
        "Kafka drain", f"messages a second of a backlog of {BACKLOG:,}",
        "/s", rates, (Target(0.95, BARE, each=True, reason=VARIES),),
    )  # fmt: skip
    fifth = result_of(module("kafka_listener", OURS, bootstrap, str(BACKLOG * 4 // 5)))["peak"]
    yield Row(
        "Kafka memory", "peak after all of the backlog less that after a fifth of it",
        "MiB", {OURS: [peak - fifth for peak in peaks[OURS]]}, (Target(20, at_most=True),),
    )  # fmt: skip
    delays = {OURS: latencies_ours(bootstrap), BARE: latencies_bare(bootstrap)}
    yield Row(
        "Kafka request to handler",
        "from the call that sends a request to the handler's first line (bare: to the record), "
        "while nothing else comes",
        "ms", delays, (Target(12, at_most=True, reason=ROUND_TRIP),),
    )  # fmt: skip


if __name__ == "__main__":
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    print(json.dumps(one_round(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
