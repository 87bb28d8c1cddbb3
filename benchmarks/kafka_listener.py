"""The KAFKA listener beside a bare loop: `python benchmarks/kafka_listener.py [--check]`.

Drain: a backlog of change-log messages of 1.5 KB, all noise but the last, which is a resync
request. Bare: `KafkaConsumer.poll` in a loop that does nothing with the records, kafka-python's
defaults, with crc32c. Ours: an `OceanSystem`, from its first batch to the handler's first line.
Each round is a process of its own, the two sides take turns, medians are compared. Memory is
the peak of a process that drains all, less that of one that drains a fifth.

Idle: from the call that sends one request to the handler's first line (bare: to the record).
With `--check` the exit code is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import queue
import resource
import subprocess
import sys
import time
from statistics import median

from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import OffsetAndMetadata, TopicPartition

from ocean_actors import OceanSystem, ResyncHandler, Settings
from ocean_actors.listeners.kafka.scanner import Scanner
from ocean_actors.sandbox import Sandbox
from ocean_actors.sandbox.broker import broker
from ocean_actors.sandbox.kafka import LISTENER, entity_changes, make_topics
from ocean_actors.testing.sandboxed import port_of

BACKLOG = 100_000
ROUNDS = 5
LATENCIES = 100
ORGANIZATION = "org_benchmark"
TOPIC = TopicPartition(f"{ORGANIZATION}.change.log", 0)
GROUP = f"{ORGANIZATION}.custom.demo"
REQUEST = json.dumps({"action": "RESYNC", "context": {"integrationId": "demo"}}).encode()

RATIO, GROWTH, LATENCY = 0.9, 20.0, 12.0  # targets; MB and ms


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
    """Seconds from the first batch to the last."""
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


def drain_ours(bootstrap: str, first: int) -> float:
    """Seconds from the first batch to the handler's first line."""
    commit(bootstrap, first)
    begun: list[float] = []
    scan = Scanner.scan

    def noted(self: Scanner, records: list) -> object:
        begun.append(time.perf_counter())
        Scanner.scan = scan
        return scan(self, records)

    Scanner.scan = noted
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
        def resync(self, _run):
            entered.put(time.perf_counter())

    settings = {
        "port": port_of(sandbox), "integration": {"identifier": "demo"}, "eventListener": LISTENER,
    }  # fmt: skip
    return OceanSystem(Settings.from_dict(settings, {}), [Timed])


def one_round(side: str, bootstrap: str, first: int) -> None:
    seconds = (drain_bare if side == "bare" else drain_ours)(bootstrap, first)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rate": (BACKLOG - first) / seconds, "peak": peak}))


def measured(side: str, bootstrap: str, first: int = 0) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--round", side, bootstrap, str(first)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


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
    with sandbox_for(bootstrap) as sandbox, system(sandbox, entered) as running:
        producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=0)
        for number in range(LATENCIES + 10):
            while running.status()["resync"]["state"] != "idle":
                pass
            began = time.perf_counter()
            producer.send(TOPIC.topic, REQUEST)
            took = entered.get(timeout=30) - began
            if number >= 10:
                found.append(took * 1000)
        producer.close()
    return found


def end_of_topic(bootstrap: str) -> int:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    end = consumer.end_offsets([TOPIC])[TOPIC]
    consumer.close()
    return end


# -- all of it -------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--round", nargs=3, metavar=("SIDE", "BOOTSTRAP", "FIRST"))
    options = parser.parse_args()
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    if options.round:
        side, bootstrap, first = options.round
        one_round(side, bootstrap, int(first))
        return 0
    running = broker()
    running.start()
    try:
        good = report(running.bootstrap)
    finally:
        running.stop()
    return 0 if good or not options.check else 1


def report(bootstrap: str) -> bool:
    print(f"Python {platform.python_version()}, {BACKLOG:,} messages, medians of {ROUNDS} rounds")
    fill(bootstrap)
    rounds = [(measured("bare", bootstrap), measured("ours", bootstrap)) for _ in range(ROUNDS)]
    bare = median(each["rate"] for each, _ in rounds)
    ours = median(each["rate"] for _, each in rounds)
    fifth = measured("ours", bootstrap, BACKLOG * 4 // 5)["peak"]
    growth = median(each["peak"] for _, each in rounds) - fifth
    print(f"drain, messages/s: bare {bare:,.0f}, ours {ours:,.0f}: ratio {ours / bare:.2f}")
    print(f"memory: {fifth:.0f} MB for a fifth, {growth:+.0f} MB for all")
    bare_ms, ours_ms = median(latencies_bare(bootstrap)), median(latencies_ours(bootstrap))
    print(f"idle, ms: bare {bare_ms:.1f}, ours {ours_ms:.1f}")
    return ours / bare >= RATIO and growth <= GROWTH and ours_ms < LATENCY


if __name__ == "__main__":
    sys.exit(main())
