"""Live events beside a resync in flight, each of which writes one entity to Port."""

from __future__ import annotations

import hmac
import json
import logging
import socket
import sys
import time
from collections.abc import Iterator
from functools import partial

from benchmarks.http_load import drive, post
from benchmarks.port import port
from benchmarks.programs import Program, free_port, module
from benchmarks.report import OURS, Row, Target
from benchmarks.subject import say
from ocean_actors import (
    Live,
    LiveCall,
    LiveHandler,
    OceanSystem,
    ResyncHandler,
    ResyncRun,
    Settings,
)
from ocean_actors.live import signatures
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing.sandboxed import port_of

PACKAGES = ("waitress",)
ROUNDS = 3
ROUND = 1_000  # calls
KEYS = 500
LATENCIES = 200
SECRET = "benchmark"


class Endless(ResyncHandler):
    """Sends entities until the process ends."""

    def resync(self, run: ResyncRun) -> None:
        number = 0
        while True:
            entities = [{"identifier": f"p{number + each}"} for each in range(20)]
            run.port.upsert("package", entities)
            number = (number + 20) % 1_000
            run.sleep(0.02)


class IssueChanged(LiveHandler):
    path = "tracker"
    capacity = 2 * ROUND

    def authenticate(self, call: LiveCall) -> bool:
        return signatures.gitea(call, SECRET)

    def key(self, call: LiveCall) -> str:
        return str(call.json()["id"])

    def handle(self, call: LiveCall, live: Live) -> None:
        event = call.json()
        live.port.upsert("issue", [{"identifier": event["id"], "title": event["title"]}])


# -- programs --------------------------------------------------------------------------------------


def serve(settings: str) -> None:
    """Run the integration; say that nothing waits, when there is a line to read."""
    logging.getLogger("ocean_actors").setLevel(logging.ERROR)
    with OceanSystem(
        Settings.from_dict(json.loads(settings), {}), [Endless, IssueChanged]
    ) as system:
        for _ in sys.stdin:
            until = time.monotonic() + 120
            while (counts := system.status()["live"]["tracker"])["queued"] or counts["running"]:
                if time.monotonic() > until:
                    raise SystemExit(f"events wait for too long: {counts}")
                time.sleep(0.02)
            if counts["dead"] or counts["retried"]:
                raise SystemExit(f"events failed: {counts}")
            say("handled")


def send(number: str) -> None:
    """Send a round of calls when there is a line to read; say how many a second were accepted."""
    for turn, _ in enumerate(sys.stdin):
        calls = [call(f"i{each % KEYS}", f"round {turn}") for each in range(ROUND)]
        say("began")
        rate = drive(int(number), calls, b"202")
        say("accepted", rate)


# -- the benchmark ---------------------------------------------------------------------------------


def call(identifier: str, title: str) -> bytes:
    body = json.dumps({"id": identifier, "title": title}).encode()
    signature = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
    return post("/live/tracker", body, f"X-Gitea-Signature: {signature}\r\n")


def measure(rounds: int) -> Iterator[Row]:
    number = free_port()
    with port(integrations=()) as sandbox:
        sandbox.create_blueprint("issue")
        settings = {
            "port": port_of(sandbox),
            "integration": {"identifier": "ours"},
            "eventListener": {"type": "POLLING", "interval": 10},
            "http": {"host": "127.0.0.1", "port": number},
            "resync": {"abortGrace": 1},
        }
        with (
            Program(module("live_events", "serve", json.dumps(settings))) as system,
            Program(module("live_events", "send", str(number))) as client,
        ):
            sandbox.wait_for(lambda: sandbox.entities("package"), 30)
            yield Row(
                "live event to Port",
                "from the POST of a live event to its entity in Port, which answers at once",
                "ms", {OURS: delays(sandbox, number)}, (Target(10, at_most=True),),
            )  # fmt: skip
            accepted, handled = rates(system, client, rounds)
            yield Row(
                "live events accepted", f"calls a second, signed, {KEYS} keys",
                "/s", {OURS: accepted}, (Target(1_000),),
            )  # fmt: skip
            yield Row("live events in Port", "events a second", "/s", {OURS: handled})


def delays(sandbox: Sandbox, number: int) -> list[float]:
    found = []
    with socket.create_connection(("127.0.0.1", number)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for turn in range(LATENCIES):
            title = f"latency {turn}"
            begun = time.perf_counter()
            connection.sendall(call("A", title))
            sandbox.wait_for(partial(has_title, sandbox, title), 30)
            found.append((time.perf_counter() - begun) * 1000)
            if not connection.recv(4096).startswith(b"HTTP/1.1 202"):
                raise RuntimeError("a call was not accepted")
            time.sleep(0.005)
    return found


def has_title(sandbox: Sandbox, title: str) -> bool:
    return any(each["title"] == title for each in sandbox.entities("issue"))


def rates(system: Program, client: Program, rounds: int) -> tuple[list[float], list[float]]:
    """Returns the events a second that were accepted, and that reached Port."""
    accepted, handled = [], []
    for turn in range(rounds + 1):
        client.tell("go")
        begun = client.hear("began")
        rate = client.hear("accepted", 120)
        system.tell("go")
        seconds = system.hear("handled", 130) - begun
        if turn:  # the first round warms up
            accepted.append(rate)
            handled.append(ROUND / seconds)
    return accepted, handled


if __name__ == "__main__":
    {"serve": serve, "send": send}[sys.argv[1]](sys.argv[2])
