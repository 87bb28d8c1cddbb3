"""Signed calls of the webhook beside bare servers whose POST does nothing.

A resync is in flight, so that each call only postpones what follows.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from itertools import islice

from benchmarks.http_load import drive, post
from benchmarks.integrations import Integration, ours
from benchmarks.port import port
from benchmarks.programs import Program, free_port, module
from benchmarks.report import OURS, Row, Target, alternate

PACKAGES = ("bottle", "waitress", "fastapi", "uvicorn")
ROUNDS = 11
ROUND = 1_000  # calls
MANY = 50_000
STEP = 5_000
IDLE_CONNECTIONS = 10_000
BOTTLE, FASTAPI = "bottle + waitress", "FastAPI + uvicorn"


def measure(rounds: int) -> Iterator[Row]:
    ports = {BOTTLE: free_port(), FASTAPI: free_port()}
    with (
        port() as sandbox,
        ours(sandbox, "WEBHOOK", "deaf") as mine,
        Program(module("peers.web", "bottle", str(ports[BOTTLE]))) as bottle,
        Program(module("peers.web", "fastapi", str(ports[FASTAPI]))) as fastapi,
    ):
        mine.wait_until_ready()
        bottle.hear("ready")
        fastapi.hear("ready")
        with mine.resync():
            mine.program.hear("called")
        yield calls_a_second(mine, ports, rounds)
        yield memory(mine)
        yield idle_connections(mine)


def calls_a_second(mine: Integration, ports: dict[str, int], rounds: int) -> Row:
    plain = [post("/resync", b"{}")] * ROUND
    for name, number in ports.items():
        wait_until_served(name, number)
    samples = alternate(
        {
            OURS: lambda: drive(mine.port, list(islice(mine.calls, ROUND)), b"202"),
            BOTTLE: lambda: drive(ports[BOTTLE], plain, b"200"),
            FASTAPI: lambda: drive(ports[FASTAPI], plain, b"200"),
        },
        rounds,
    )
    return Row(
        "webhook calls",
        "calls a second over 4 connections; ours are signed, all different, and checked",
        "/s", samples, (Target(0.8, BOTTLE),),
    )  # fmt: skip


def wait_until_served(name: str, number: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", number)):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{name} does not listen on port {number}")


def memory(mine: Integration) -> Row:
    drive(mine.port, list(islice(mine.calls, STEP)), b"202")
    before = mine.program.resident()
    for _ in range(MANY // STEP):
        drive(mine.port, list(islice(mine.calls, STEP)), b"202")
    return Row(
        "webhook memory",
        f"growth of the resident memory over {MANY:,} calls",
        "MiB", {OURS: [mine.program.resident() - before]}, (Target(4, at_most=True),),
    )  # fmt: skip


def idle_connections(mine: Integration) -> Row:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    room = hard - 200 if hard != resource.RLIM_INFINITY else IDLE_CONNECTIONS
    count = min(IDLE_CONNECTIONS, room)
    health = b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\n"
    answers = []
    with contextlib.ExitStack() as stack:
        for number in range(count):
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", mine.port)))
            idle.sendall(health)
            if number % 100 == 0:
                rate = drive(mine.port, list(islice(mine.calls, 1)), b"202", clients=1)
                answers.append(1000 / rate)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return Row(
        "webhook, idle connections",
        f"time of one call in each 100 of {count:,} connections that others opened and keep open",
        "ms", {OURS: answers}, (Target(1_000, at_most=True, each=True),),
    )  # fmt: skip
