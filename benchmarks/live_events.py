"""Live events beside a resync in flight: `python benchmarks/live_events.py [--check]`.

An `OceanSystem` in a process of its own serves signed calls, each of which writes one entity,
while a run sends entities without a pause. The client that sends many calls is a process, too, as
it would wait for Python's lock beside the sandbox, which is in this process. Measured are how many
calls a second are accepted, how many events a second reach Port, and how long an event takes from
the POST to its entity in Port, which answers at once. With `--check` the exit code is 1 if a
target is missed.
"""

from __future__ import annotations

import argparse
import hmac
import json
import logging
import platform
import socket
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from statistics import median, quantiles

from webhook import Result, all_held, drive, free_port, process

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

ROUNDS = 3
ROUND = 1_000  # calls
KEYS = 500
LATENCIES = 200
SECRET = "benchmark"
DEMO = "demo"


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


def serve(pipe: Connection, port: dict[str, str], listen_on: int) -> None:
    settings = {
        "port": port,
        "integration": {"identifier": DEMO},
        "eventListener": {"type": "POLLING", "interval": 10},
        "http": {"host": "127.0.0.1", "port": listen_on},
        "resync": {"abortGrace": 1},
    }
    logging.getLogger("ocean_actors").setLevel(logging.ERROR)
    with OceanSystem(Settings.from_dict(settings, {}), [Endless, IssueChanged]) as system:
        while pipe.recv() != "stop":
            pipe.send(system.status()["live"]["tracker"])


def send_calls(pipe: Connection, port: int) -> None:
    """Send each list of calls that comes; answer with the calls a second that were accepted."""
    while (calls := pipe.recv()) != "stop":
        pipe.send(drive(port, calls, b"202"))


def post(identifier: str, title: str) -> bytes:
    body = json.dumps({"id": identifier, "title": title}).encode()
    signature = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
    head = (
        "POST /live/tracker HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
        f"X-Gitea-Signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def live_counts(pipe: Connection) -> dict[str, int]:
    pipe.send("counts")
    if not pipe.poll(30):
        raise SystemExit("the system does not answer")
    found: dict[str, int] = pipe.recv()
    return found


def wait_until_handled(pipe: Connection) -> None:
    until = time.monotonic() + 120
    while (counts := live_counts(pipe))["queued"] or counts["running"]:
        if time.monotonic() > until:
            raise SystemExit(f"events wait for too long: {counts}")
        time.sleep(0.02)
    if counts["dead"] or counts["retried"]:
        raise SystemExit(f"events failed: {counts}")


def measure(sandbox: Sandbox, pipe: Connection, client: Connection, port: int) -> Iterator[Result]:
    delays = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(LATENCIES):
            title = f"latency {number}"
            begun = time.perf_counter()
            connection.sendall(post("A", title))
            sandbox.wait_for(lambda title=title: has_title(sandbox, title), 30)
            delays.append((time.perf_counter() - begun) * 1000)
            if not connection.recv(4096).startswith(b"HTTP/1.1 202"):
                raise SystemExit("a call was not accepted")
            time.sleep(0.005)
    found = median(delays)
    said = f"{found:.1f} ms (95 %: {quantiles(delays, n=20)[-1]:.1f} ms)"
    yield Result("POST to the entity in Port, median", said, "< 10 ms", found < 10)

    accepted, handled = [], []
    for warm in (True, *[False] * ROUNDS):
        calls = [post(f"i{number % KEYS}", f"round {number}") for number in range(ROUND)]
        begun = time.perf_counter()
        client.send(calls)
        if not client.poll(120):
            raise SystemExit("the calls are not answered")
        rate = client.recv()
        wait_until_handled(pipe)
        if not warm:
            accepted.append(rate)
            handled.append(ROUND / (time.perf_counter() - begun))
    found = median(accepted)
    yield Result("calls accepted a second", f"{found:,.0f}", ">= 1,000", found >= 1_000)
    yield Result("events in Port a second", f"{median(handled):,.0f}", "", held=True)


def has_title(sandbox: Sandbox, title: str) -> bool:
    return any(each["title"] == title for each in sandbox.entities("issue"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit 1 if a target is missed")
    check = parser.parse_args().check
    print(f"Python {platform.python_version()}, {platform.machine()}")
    port = free_port()
    with Sandbox() as sandbox:
        sandbox.create_blueprint("issue")
        sandbox.create_blueprint("package")
        with process(serve, port_of(sandbox), port) as pipe, process(send_calls, port) as client:
            sandbox.wait_for(lambda: sandbox.entities("package"), 30)
            held = all_held(measure(sandbox, pipe, client, port))
    return 1 if check and not held else 0


if __name__ == "__main__":
    sys.exit(main())
