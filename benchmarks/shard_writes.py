"""Entities that workers write themselves: the parent's memory and rate; and what Ray costs.

A stand-in for Port answers at once and keeps nothing. BENCHMARK_ENTITIES sets how many entities are
written; the memory of the parent is measured with a quarter of them, too, so that its growth can be
told.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import resource
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone

import psutil

from benchmarks.peers.port_ocean_python import NotInstalled
from benchmarks.programs import MIB, Program, module, result_of
from benchmarks.report import OURS, Row, Target
from ocean_actors import ResyncRun, Settings, Shard, ShardedHandler
from ocean_actors.actors import CancelToken, SystemClock
from ocean_actors.frozen import EMPTY
from ocean_actors.messages import RunInfo
from ocean_actors.port.client import PortClient
from ocean_actors.port.entities import EntityWriter
from ocean_actors.resync.run import ResyncAborted
from ocean_actors.shards.runner import ShardRunner

PACKAGES = ("requests", "ray")
ROUNDS = 1
ENTITIES = int(os.environ.get("BENCHMARK_ENTITIES", "200000"))
WARM = 2_000
SHARDS = 20
RAY_SHARDS = 100
PARENT = "the parent writes"
MILLION = 1_000_000


class Writing(ShardedHandler):
    """Yields small entities; the shards and their sizes are in the integration's settings."""

    def shards(self, run: ResyncRun) -> Sequence[object]:
        total = run.settings.integration.config["entities"]
        shards = run.settings.integration.config["shards"]
        each = total // shards
        return [(at * each, (at + 1) * each) for at in range(shards)]

    def resync_shard(self, shard: Shard) -> Iterator[tuple[str, Mapping[str, object]]]:
        for number in range(*shard.value):
            yield "thing", {"identifier": f"thing-{number}", "title": "A thing", "properties": {}}

    def finish(self, run: ResyncRun) -> None:
        """Deletes nothing."""


# -- a stand-in for Port, in a process of its own --------------------------------------------------


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say to each call that everything was written."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            (length,) = (
                int(line.partition(b":")[2])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            body = await reader.readexactly(length)
            count = body.count(b'{"identifier":')
            entities = ",".join(
                f'{{"index":{index},"created":true,"identifier":null}}' for index in range(count)
            )
            said = f'{{"accessToken":"t","expiresIn":36000,"entities":[{entities}]}}'.encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(said) + said)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    os.write(int(os.environ["BENCHMARK_EVENTS"]), f"port {port}\n".encode())
    await server.serve_forever()


# -- one measurement, in a process of its own ------------------------------------------------------


class Run:
    """The runs of one executor, as a system would have them."""

    def __init__(self, executor: str, port: int, *, writes: bool, workers: int = 2) -> None:
        self._settings = {
            "port": {
                "clientId": "id", "clientSecret": "x", "baseUrl": f"http://127.0.0.1:{port}",
            },
            "resync": {"executor": executor, "workers": workers, "shardWrites": writes},
        }  # fmt: skip
        self._clock = SystemClock()
        settings = self._with(0, 1)
        self._client = PortClient(settings.port, settings.integration, clock=self._clock)
        self._runner = ShardRunner(settings, self._clock, {"Writing": Writing})

    def _with(self, entities: int, shards: int) -> Settings:
        config = {"identifier": "demo", "config": {"entities": entities, "shards": shards}}
        return Settings.from_dict({**self._settings, "integration": config}, {})

    def seconds(self, entities: int, shards: int) -> float:
        """Returns how long one run takes."""
        now = datetime.now(timezone.utc)
        info = RunInfo(
            id=uuid.uuid4().hex, number=1, trigger="manual", reason="", requested_at=now,
            started_at=now, config=EMPTY, handlers=("Writing",),
        )  # fmt: skip
        token = CancelToken(ResyncAborted)
        writer = EntityWriter(self._client.clone(token=token), info, info.handlers)
        run = ResyncRun(
            info, "Writing", token, self._clock, writer.for_handler("Writing"),
            lambda _progress: None, self._with(entities, shards), sharding=self._runner,
        )  # fmt: skip
        began = time.perf_counter()
        self._runner.resync(Writing(), run)
        seconds = time.perf_counter() - began
        run.close()
        writer.close()
        if (found := writer.written().upserted) != entities:
            raise RuntimeError(f"{found} entities were written, expected {entities}")
        return seconds

    def close(self) -> None:
        self._runner.close()
        self._client.close()
        self._clock.close()


def measured(port: int, entities: int, writes: bool) -> dict[str, float]:
    run = Run("processes", port, writes=writes)
    run.seconds(WARM, 2)
    before = psutil.Process().memory_info().rss
    used = time.process_time()
    seconds = run.seconds(entities, SHARDS)
    used = time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    run.close()
    return {
        "rate": entities / seconds,
        "grown": max(0.0, peak - before) / MIB,
        "processor": used / entities * 1e6,
    }


def measured_ray(port: int) -> dict[str, float]:
    run = Run("ray", port, writes=False)
    start = run.seconds(1, 1)
    run.seconds(2, 2)  # starts the other worker
    empty = run.seconds(RAY_SHARDS, RAY_SHARDS)
    run.close()
    return {"start": start, "shard": empty / RAY_SHARDS * 1000}


# -- all of them -----------------------------------------------------------------------------------


def measure(rounds: int) -> Iterator[Row]:
    with Program(module("shard_writes", "port")) as port:
        number = str(int(port.hear("port")))

        def found(entities: int, who: str) -> dict[str, float]:
            return result_of(module("shard_writes", "run", number, str(entities), who))

        few = [found(ENTITIES // 4, "workers") for _ in range(rounds)]
        many = [found(ENTITIES, "workers") for _ in range(rounds)]
        parent = [found(ENTITIES // 4, "parent") for _ in range(rounds)]
        yield Row(
            "shardWrites, memory", f"of the parent, per million entities; from the growth between "
            f"runs of {ENTITIES // 4:,} and {ENTITIES:,} (8 bytes each are 7.6 MiB)", "MiB",
            {
                OURS: [
                    (more["grown"] - less["grown"]) / (ENTITIES * 3 / 4) * MILLION
                    for more, less in zip(many, few, strict=True)
                ]
            },
            (Target(40, at_most=True),),
        )  # fmt: skip
        yield Row(
            "shardWrites, rate", "entities a second, of 2 workers and a Port that answers at once",
            "/s", {OURS: [each["rate"] for each in many], PARENT: [e["rate"] for e in parent]},
        )  # fmt: skip
        yield Row(
            "shardWrites, parent", "processor time of the parent for one entity", "µs",
            {
                OURS: [each["processor"] for each in many],
                PARENT: [each["processor"] for each in parent],
            },
        )  # fmt: skip
        if importlib.util.find_spec("ray") is None:
            raise NotInstalled("ray is not installed (ocean-actors[ray])")
        ray = [result_of(module("shard_writes", "ray", number)) for _ in range(rounds)]
        yield Row(
            "ray, start", "from nothing to the end of a run with one shard: a driver, an embedded "
            "cluster and a worker", "s", {OURS: [each["start"] for each in ray]},
        )  # fmt: skip
        yield Row(
            "ray, shard", f"what a shard of one entity takes in a run of {RAY_SHARDS}, with 2 "
            "workers", "ms", {OURS: [each["shard"] for each in ray]},
        )  # fmt: skip


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["port"]:
            asyncio.run(serve())
        case ["run", at, entities, who]:
            print(json.dumps(measured(int(at), int(entities), who == "workers")))
        case ["ray", at]:
            print(json.dumps(measured_ray(int(at))))
