"""A handler's work in shards, beside the same work in one thread.

Port answers at once and within the process, so that only the handler, the way to the parent and
the batches count. Workers are started before the time runs, as a system keeps them.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil
import requests

from benchmarks.report import OURS, Row, Target, alternate
from ocean_actors import ResyncRun, Settings, Shard, ShardedHandler
from ocean_actors.actors import CancelToken, SystemClock
from ocean_actors.frozen import EMPTY
from ocean_actors.messages import RunInfo
from ocean_actors.port.batches import Item, UpsertAnswer
from ocean_actors.port.client import PortClient
from ocean_actors.port.entities import EntityWriter
from ocean_actors.port.entity_calls import EntityCalls
from ocean_actors.resync.run import ResyncAborted
from ocean_actors.shards.runner import ShardRunner

PACKAGES = ("requests",)
ROUNDS = 3
ITEMS = 200_000
SHARDS = 40
CALLS = 160
LATENCY = 0.05  # seconds
ONE_THREAD = "one thread"

Pairs = Iterator[tuple[str, Mapping[str, object]]]
Entities = Iterator[Mapping[str, object]]


class Transforming(ShardedHandler):
    """Transforms raw items, as an integration with a large mapping does."""

    def shards(self, run: ResyncRun) -> Sequence[object]:  # noqa: ARG002  (overridden)
        per_shard = ITEMS // SHARDS
        return [(first, first + per_shard) for first in range(0, ITEMS, per_shard)]

    def resync_shard(self, shard: Shard) -> Pairs:
        return self.pairs(shard.value, shard.session)

    def pairs(self, value: Any, session: requests.Session) -> Pairs:  # noqa: ARG002  (overridden)
        for number in range(*value):
            yield "repository", transformed(number)

    def finish(self, run: ResyncRun) -> None:
        """Deletes nothing."""


class Calling(Transforming):
    """Calls a system that takes its time."""

    def shards(self, run: ResyncRun) -> Sequence[object]:
        url = run.settings.integration.config["url"]
        return [(url, first, first + 10) for first in range(0, CALLS, 10)]

    def pairs(self, value: Any, session: requests.Session) -> Pairs:
        url, first, end = value
        for number in range(first, end):
            session.get(url).raise_for_status()
            yield "repository", {"identifier": str(number)}


TEXT = "The quick brown fox, jumping over lazy dogs; again and again! " * 6


def transformed(number: int) -> Mapping[str, object]:
    """Returns an entity that takes some fifty microseconds to make."""
    raw = json.loads(json.dumps({"id": number, "text": TEXT, "tags": ["a", "b", "c"] * 5}))
    words = re.findall(r"[a-z]+", raw["text"].lower())
    digest = hashlib.sha256(f"{raw['id']}{raw['text']}".encode()).hexdigest()
    return {
        "identifier": f"repository-{number}",
        "title": " ".join(words[:6]),
        "properties": {
            "words": len(words), "digest": digest, "tags": raw["tags"][:3],
            "url": f"https://example.com/{number}", "language": words[number % len(words)],
        },
        "relations": {"team": f"team-{number % 100}"},
    }  # fmt: skip


class InstantWriter(EntityWriter):
    """Port answers at once."""

    def _calls(self, client: PortClient) -> EntityCalls:
        return InstantCalls(client, self._sent, self._writes)


class InstantCalls(EntityCalls):
    def upsert(
        self,
        blueprint: str,  # noqa: ARG002  (overridden)
        batch: Sequence[Item],
        query: Mapping[str, str],  # noqa: ARG002  (overridden)
    ) -> UpsertAnswer:
        return UpsertAnswer({index: (item.exact, True) for index, item in enumerate(batch)}, {})


class Workshop:
    """What a system would have, without its actors."""

    def __init__(self, handler: type[Transforming], executor: str, workers: int, url: str = ""):
        self.settings = Settings.from_dict(
            {
                "port": {"clientId": "id", "clientSecret": "x", "baseUrl": "http://127.0.0.1:9"},
                "integration": {"identifier": "benchmark", "config": {"url": url}},
                "resync": {"executor": executor, "workers": workers},
            },
            {},
        )
        self.handler = handler
        self.clock = SystemClock()
        self.runner = ShardRunner(self.settings, self.clock, {handler.__name__: handler})

    def run(self, expected: int) -> tuple[float, float]:
        """Returns the seconds of one run, and those of all processors."""
        return self._measured(expected, lambda run: self.runner.resync(self.handler(), run))

    def run_in_one_thread(self, expected: int) -> tuple[float, float]:
        """Returns the same of a plain handler's loop."""

        def entities(run: ResyncRun) -> Entities:
            handler = self.handler()
            for value in handler.shards(run):
                for _, entity in handler.pairs(value, run.session):
                    yield entity

        return self._measured(expected, lambda run: run.port.upsert("repository", entities(run)))

    def _measured(self, expected: int, work: Callable[[ResyncRun], object]) -> tuple[float, float]:
        now = datetime.now(timezone.utc)
        info = RunInfo(
            id=uuid.uuid4().hex, number=1, trigger="manual", reason="", requested_at=now,
            started_at=now, config=EMPTY, handlers=(self.handler.__name__,),
        )  # fmt: skip
        token = CancelToken(ResyncAborted)
        client = PortClient(self.settings.port, self.settings.integration, clock=self.clock)
        writer = InstantWriter(client.clone(token=token), info, info.handlers)
        port = writer.for_handler(self.handler.__name__)
        run = ResyncRun(
            info, self.handler.__name__, token, self.clock, port, lambda _progress: None,
            self.settings, sharding=self.runner,
        )  # fmt: skip
        began, used = time.perf_counter(), processor_seconds()
        work(run)
        seconds, used = time.perf_counter() - began, processor_seconds() - used
        run.close()
        writer.close()
        client.close()
        if (found := writer.written().upserted) != expected:
            raise RuntimeError(f"{found} entities were written, expected {expected}")
        return seconds, used

    def close(self) -> None:
        self.runner.close()
        self.clock.close()


def processor_seconds() -> float:
    """Returns what this process and its children, which all live, have used so far."""
    total = 0.0
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        times = process.cpu_times()
        total += times.user + times.system
    return total


class Slow(BaseHTTPRequestHandler):
    """Answers after `LATENCY`."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def do_GET(self) -> None:
        time.sleep(LATENCY)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_args: object) -> None:
        pass


def measure(rounds: int) -> Iterator[Row]:
    workshop = Workshop(Transforming, "processes", 2)
    try:
        overheads: list[float] = []
        last: dict[str, float] = {}

        def one() -> float:
            seconds, last["one"] = workshop.run_in_one_thread(ITEMS)
            return ITEMS / seconds

        def sharded() -> float:
            seconds, used = workshop.run(ITEMS)
            last["sharded"] = used
            return ITEMS / seconds

        samples: dict[str, list[float]] = {OURS: [], ONE_THREAD: []}
        for turn in range(1 + rounds):
            rate, beside = sharded(), one()
            if turn:  # the workers were started in the first
                samples[OURS].append(rate)
                samples[ONE_THREAD].append(beside)
                overheads.append((last["sharded"] - last["one"]) / ITEMS * 1e6)
    finally:
        workshop.close()
    yield Row(
        "shards, processes",
        f"items a second; {ITEMS:,} items are transformed in {SHARDS} shards by 2 workers, and "
        "sent to a Port that answers at once",
        "/s", samples, (Target(1.7, ONE_THREAD),),
    )  # fmt: skip
    yield Row(
        "shards, overhead", "processor time of an item beyond that in one thread, in all processes",
        "µs", {OURS: overheads}, (Target(15, at_most=True),),
    )  # fmt: skip
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    workshop = Workshop(Calling, "threads", 8, f"http://127.0.0.1:{server.server_address[1]}/")
    try:
        samples = alternate(
            {
                OURS: partial(_rate, workshop.run),
                ONE_THREAD: partial(_rate, workshop.run_in_one_thread),
            },
            rounds, warm=0,
        )  # fmt: skip
    finally:
        workshop.close()
        server.shutdown()
        server.server_close()
    yield Row(
        "shards, threads",
        f"calls a second of a system that takes {LATENCY * 1000:.0f} ms, by 8 workers",
        "/s", samples, (Target(7, ONE_THREAD),),
    )  # fmt: skip


def _rate(run: Callable[[int], tuple[float, float]]) -> float:
    seconds, _ = run(CALLS)
    return CALLS / seconds
