"""Entities a second that a run writes, side by side: `python benchmarks/upsert.py [--check]`.

One handler's `run.port.upsert` sends entities of one kind, with `port.concurrency` 8 and with 1.
Bare: a thread pool of the same width posts the same batches with `requests`, with a session for
each thread. The sandbox is a process of its own; it answers 0 or 50 ms late. Rounds alternate
between the three, and the ratios are those of the medians. With `--check` the exit code is 1 if
a target is missed.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from itertools import islice
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

import requests
from webhook import process

from ocean_actors.actors import CancelToken
from ocean_actors.messages import RunInfo
from ocean_actors.port.client import PortClient
from ocean_actors.port.entities import EntityWriter
from ocean_actors.resync.run import ResyncAborted
from ocean_actors.sandbox import Sandbox
from ocean_actors.settings import Settings
from ocean_actors.testing.sandboxed import port_of

ENTITIES = 4_000
ROUNDS = 5
WIDTH = 8
BATCH = 20
LATENCIES = (0.0, 0.05)  # seconds


def serve(pipe: Connection) -> None:
    with Sandbox(threads=2 * WIDTH) as sandbox:
        sandbox.create_blueprint("package", schema={"properties": {"n": {"type": "number"}}})
        pipe.send(port_of(sandbox))
        while (latency := pipe.recv()) is not None:
            sandbox.clear_faults()
            if latency:
                sandbox.fail("delay", None, path="/entities/bulk", seconds=latency)
            pipe.send("ready")


def entities() -> Iterator[dict[str, Any]]:
    for number in range(ENTITIES):
        identifier = f"package-{number}"
        yield {"identifier": identifier, "title": identifier, "properties": {"n": number}}


def ours(client: PortClient, concurrency: int) -> float:
    now = datetime.now(timezone.utc)
    run = RunInfo("run", 1, "benchmark", "benchmark", now, now, {})
    token = CancelToken(ResyncAborted)
    writer = EntityWriter(client.clone(token), run, ("all",), concurrency=concurrency)
    begun = time.perf_counter()
    result = writer.for_handler("all").upsert("package", entities())
    seconds = time.perf_counter() - begun
    writer.close()
    if result.upserted != ENTITIES:
        raise SystemExit(f"not all entities were written: {result}")
    return ENTITIES / seconds


def bare(port: dict[str, str], access_token: str) -> float:
    url = f"{port['baseUrl']}/v1/blueprints/package/entities/bulk?upsert=true&merge=true"
    headers = {"Authorization": f"Bearer {access_token}", "Content-Type": "application/json"}
    local = threading.local()

    def post(batch: list[dict[str, Any]]) -> int:
        if not hasattr(local, "session"):
            local.session = requests.Session()  # with the proxies of the environment, as ours
        answer = local.session.post(url, data=json.dumps({"entities": batch}), headers=headers)
        answer.raise_for_status()
        return len(answer.json()["entities"])

    def batches() -> Iterator[list[dict[str, Any]]]:
        source = entities()
        while batch := list(islice(source, BATCH)):
            yield batch

    begun = time.perf_counter()
    with ThreadPoolExecutor(WIDTH) as pool:
        written = sum(pool.map(post, batches()))
    seconds = time.perf_counter() - begun
    if written != ENTITIES:
        raise SystemExit(f"not all entities were written: {written}")
    return ENTITIES / seconds


def access_token_of(port: dict[str, str]) -> str:
    body = {"clientId": port["clientId"], "clientSecret": port["clientSecret"]}
    answer = requests.post(f"{port['baseUrl']}/v1/auth/access_token", json=body, timeout=10)
    return str(answer.json()["accessToken"])


def measure(pipe: Connection, port: dict[str, str], latency: float) -> bool:
    pipe.send(latency)
    pipe.recv()
    settings = Settings.from_dict({"port": port, "eventListener": {"type": "ONCE"}}, {})
    access_token = access_token_of(port)
    rates: dict[str, list[float]] = {}
    with PortClient(settings.port, settings.integration) as client:
        candidates = {
            f"concurrency {WIDTH}": lambda: ours(client, WIDTH),
            "concurrency 1": lambda: ours(client, 1),
            f"bare, {WIDTH} threads": lambda: bare(port, access_token),
        }
        for warm in (True, *[False] * ROUNDS):
            for name, candidate in candidates.items():
                rate = candidate()
                if not warm:
                    rates.setdefault(name, []).append(rate)
    for name, found in rates.items():
        spread = f"[{min(found):,.0f} .. {max(found):,.0f}]"
        print(f"+{latency * 1000:3.0f} ms  {name:20} {median(found):8,.0f}/s  {spread}", flush=True)
    many, one, plain = (median(found) for found in rates.values())
    wanted = 0.9 if latency else 0.0  # without latency, all compete for the processor
    targets = [("of a bare pool", many / plain, wanted), ("of concurrency 1", many / one, 1.0)]
    held = True
    for name, ratio, target in targets:
        goal = f">= {target}" if target else ""
        missed = "" if ratio >= target else "  MISSED"
        held = held and not missed
        print(f"+{latency * 1000:3.0f} ms  {name:20} {ratio:8.2f}    {goal}{missed}")
    return held


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit 1 if a target is missed")
    check = parser.parse_args().check
    logging.getLogger("ocean_actors").setLevel(logging.ERROR)
    print(f"Python {platform.python_version()}, {platform.machine()}")
    with process(serve) as pipe:
        port = pipe.recv()
        held = [measure(pipe, port, latency) for latency in LATENCIES]
        pipe.send(None)
    return 1 if check and not all(held) else 0


if __name__ == "__main__":
    sys.exit(main())
