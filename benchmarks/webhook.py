"""The webhook beside a bare no-op POST, in one run: `python benchmarks/webhook.py [--check]`.

Bare: a bottle application whose POST returns a constant, on `waitress.serve`, with as many
threads. Ours: an `OceanSystem` with `eventListener.type: WEBHOOK` as it is by default, a resync
in flight, every call signed and different. Each side is a process of its own, the client and
the sandbox are this one; rounds alternate between the two, medians are compared. With `--check`
the exit code is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import multiprocessing
import platform
import resource
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

from ocean_actors import OceanSystem, ResyncHandler, ResyncRun, Settings
from ocean_actors.port.kind_metrics import RUNTIME
from ocean_actors.sandbox import Sandbox
from ocean_actors.sandbox.calls import Call
from ocean_actors.testing.sandboxed import port_of
from ocean_actors.web.signature import sign

ROUNDS = 15
ROUND = 1_000  # calls
CLIENTS = 4  # connections, each with one call on its way
THREADS = 8  # `http.threads` by default
BURST = 10_000
OBEDIENT_RUN = 2.0  # seconds
MANY = 100_000
IDLE_CONNECTIONS = 10_000
LATENCIES = 100

DEMO = "demo"
BODY = json.dumps({"action": "RESYNC", "context": {"integrationId": DEMO}}).encode()


# -- the two servers, each in a process of its own -----------------------------------------------


def serve_bare(pipe: Connection) -> None:
    import bottle
    import waitress

    logging.getLogger("waitress").setLevel(logging.ERROR)
    app = bottle.Bottle()
    app.route("/resync", "POST", lambda: "null")
    server = waitress.create_server(app, host="127.0.0.1", port=0, threads=THREADS)
    pipe.send(int(server.effective_port))
    threading.Thread(target=server.run, daemon=True).start()
    pipe.recv()


class Handler(ResyncHandler):
    """Says when it is called; a run that is to be in flight ends when told, or obeys an abort."""

    pipe: Connection
    hold = threading.Event()
    let_go = threading.Event()
    obey = threading.Event()

    def resync(self, run: ResyncRun) -> None:
        called = time.perf_counter()
        self.pipe.send(("called", called))
        if self.hold.is_set():
            self.let_go.wait()
        elif self.obey.is_set():
            run.sleep(OBEDIENT_RUN)


def serve_ours(pipe: Connection, port: dict[str, str], listen_on: int) -> None:
    Handler.pipe = pipe
    settings = {
        "port": port,
        "integration": {"identifier": DEMO},
        "eventListener": {"type": "WEBHOOK", "appHost": f"http://127.0.0.1:{listen_on}"},
        "http": {"host": "127.0.0.1", "port": listen_on, "threads": THREADS},
        "resync": {"abortGrace": 3600},
    }
    logging.getLogger("ocean_actors").setLevel(logging.ERROR)
    with OceanSystem(Settings.from_dict(settings, {}), [Handler]):
        while (told := pipe.recv()) != "stop":
            if told == "hold":
                Handler.hold.set()
                Handler.let_go.clear()
            elif told == "let go":
                Handler.hold.clear()
                Handler.let_go.set()
            elif told == "obey":
                Handler.obey.set()
            elif told == "memory":
                pipe.send(("memory", resident_bytes()))
        Handler.let_go.set()


def resident_bytes() -> int:
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# -- the client ----------------------------------------------------------------------------------


def post(headers: str = "", body: bytes = BODY) -> bytes:
    head = f"POST /resync HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def signed_calls(secret: str) -> Iterator[bytes]:
    """Signed calls, no two alike."""
    number = 0
    while True:
        number += 1
        body = BODY[:-1] + b', "number": %d}' % number
        moment = int(time.time())
        signature = sign(secret.encode(), moment, body)
        yield post(f"x-port-timestamp: {moment}\r\nx-port-signature: {signature}\r\n", body)


def drive(port: int, calls: list[bytes], status: bytes) -> float:
    """Send the calls over a few connections that stay open; returns calls a second."""
    waiting = iter(calls)
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            for _ in range(CLIENTS)
        ]
        begun = time.perf_counter()
        busy = 0
        for connection in connections:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if (call := next(waiting, None)) is not None:
                connection.sendall(call)
                selector.register(connection, selectors.EVENT_READ, bytearray())
                busy += 1
        while busy:
            for key, _ in selector.select(30):
                buffer: bytearray = key.data
                received = key.fileobj.recv(65_536)  # type: ignore[union-attr]
                if not received:
                    raise SystemExit(f"the server closed a connection after {bytes(buffer)!r}")
                buffer += received
                if not complete(buffer):
                    continue
                if not buffer.startswith(b"HTTP/1.1 " + status):
                    raise SystemExit(f"unexpected answer: {bytes(buffer[:200])!r}")
                buffer.clear()
                if (call := next(waiting, None)) is None:
                    selector.unregister(key.fileobj)
                    busy -= 1
                else:
                    key.fileobj.sendall(call)  # type: ignore[union-attr]
        return len(calls) / (time.perf_counter() - begun)


def complete(buffer: bytearray) -> bool:
    head, end, body = buffer.partition(b"\r\n\r\n")
    if not end:
        return False
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)


# -- what is measured ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    name: str
    found: str
    target: str
    held: bool


class Ours:
    """Our side, seen from here."""

    def __init__(self, sandbox: Sandbox, pipe: Connection, port: int) -> None:
        self.sandbox = sandbox
        self.pipe = pipe
        self.port = port
        self.calls = signed_calls(sandbox.client_secret)

    def take(self, count: int) -> list[bytes]:
        return [next(self.calls) for _ in range(count)]

    def hear(self, what: str) -> float:
        while True:
            if not self.pipe.poll(30):
                raise SystemExit(f"nothing was heard of {what!r}")
            said, value = self.pipe.recv()
            if said == what:
                return float(value)

    def runs(self) -> int:
        return self.sandbox.statuses(DEMO).count("running")

    def wait_until_idle(self, runs: int) -> None:
        def ended() -> bool:
            statuses = self.sandbox.statuses(DEMO)
            return statuses.count("running") >= runs and statuses[-1] != "running"

        self.sandbox.wait_for(ended, 30)

    def wait_until_reported(self, before: int) -> None:
        """Wait until Port has the last report of a run, and has answered every call.

        `before` is the number of calls before that run.
        """

        def reported() -> bool:
            calls = self.sandbox.calls[before:]
            answered = all(call.status is not None for call in calls)
            return answered and any(shows_end_of_run(call) for call in calls)

        self.sandbox.wait_for(reported, 30)

    def memory(self) -> float:
        self.pipe.send("memory")
        return self.hear("memory")


def shows_end_of_run(call: Call) -> bool:
    """Returns whether a call sends what Port's page of the integration shows last of a run."""
    if call.method != "POST" or not call.path.endswith("/syncMetrics"):
        return False
    rows = {row["kind"]: row["syncState"] for row in call.body["syncKindsMetrics"]}
    return bool(rows[RUNTIME] != "syncing")


def latency(ours: Ours) -> Result:
    """Each call comes when nothing of the run before it is on its way to Port."""
    delays = []
    for call in ours.take(LATENCIES):
        runs, calls = ours.runs(), len(ours.sandbox.calls)
        with socket.create_connection(("127.0.0.1", ours.port)) as connection:
            begun = time.perf_counter()
            connection.sendall(call)
            delays.append(ours.hear("called") - begun)
            connection.recv(4096)
        ours.wait_until_idle(runs + 1)
        ours.wait_until_reported(calls)
    found = median(delays) * 1000
    return Result("POST to the handler's first line", f"{found:.1f} ms", "< 10 ms", found < 10)


def throughput(ours: Ours, bare_port: int) -> Result:
    rates: dict[str, list[float]] = {"bare": [], "ours": []}
    for warm in (True, *[False] * ROUNDS):
        bare = drive(bare_port, [post()] * ROUND, b"200")
        mine = drive(ours.port, ours.take(ROUND), b"202")
        if not warm:
            rates["bare"].append(bare)
            rates["ours"].append(mine)
    ratio = median(rates["ours"]) / median(rates["bare"])
    said = f"{median(rates['ours']):,.0f}/s of {median(rates['bare']):,.0f}/s: {ratio:.2f}"
    return Result("calls a second, a resync in flight", said, ">= 0.8", ratio >= 0.8)


def idle_connections(ours: Ours) -> Result:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    room = hard - 200 if hard != resource.RLIM_INFINITY else IDLE_CONNECTIONS
    count = min(IDLE_CONNECTIONS, room)
    health = b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\n"
    slowest = 0.0
    with contextlib.ExitStack() as stack:
        for number in range(count):
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", ours.port)))
            idle.sendall(health)
            if number % 100 == 0:
                with socket.create_connection(("127.0.0.1", ours.port), 10) as other:
                    begun = time.perf_counter()
                    other.sendall(next(ours.calls))
                    answer = other.recv(4096)
                    slowest = max(slowest, time.perf_counter() - begun)
                if not answer.startswith(b"HTTP/1.1 202"):
                    return Result("idle connections", f"{answer!r}", "answered", False)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    said = f"{count:,} opened; slowest other answer {slowest * 1000:.0f} ms"
    return Result("idle keep-alive connections", said, "others < 1 s", slowest < 1.0)


def measure(ours: Ours, bare_port: int) -> Iterator[Result]:
    yield latency(ours)

    ours.pipe.send("hold")
    before = ours.runs()
    drive(ours.port, ours.take(1), b"202")
    ours.hear("called")
    yield throughput(ours, bare_port)
    drive(ours.port, ours.take(BURST), b"202")
    start = ours.memory()
    for _ in range(MANY // BURST):
        drive(ours.port, ours.take(BURST), b"202")
    grown = (ours.memory() - start) / 2**20
    yield Result(f"memory over {MANY:,} calls", f"{grown:+.1f} MiB", "+ <= 4 MiB", grown <= 4)
    yield idle_connections(ours)
    ours.pipe.send("let go")
    ours.hear("called")
    ours.wait_until_idle(before + 2)
    time.sleep(0.5)  # a run too many would begin now
    further = ours.runs() - before - 1
    yield Result(
        "further runs after all of them", f"{further} in {MANY + BURST:,} calls", "<= 1",
        further <= 1,
    )  # fmt: skip
    yield obedient_burst(ours)


def obedient_burst(ours: Ours) -> Result:
    """The run in flight obeys the abort, so the burst goes on when it has ended."""
    ours.pipe.send("obey")
    before = ours.runs()
    drive(ours.port, ours.take(1), b"202")
    ours.hear("called")
    drive(ours.port, ours.take(BURST), b"202")
    ours.hear("called")
    ours.wait_until_idle(before + 2)
    further = ours.runs() - before - 1
    said = f"{further} in {BURST:,} calls"
    return Result("further runs, the first obeys its abort", said, "<= 1", further <= 1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def process(target: Callable[..., None], *arguments: object) -> Iterator[Connection]:
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=target, args=(there, *arguments))
    child.start()
    try:
        yield here
    finally:
        here.send("stop")
        child.join(10)
        child.kill()


def all_held(results: Iterable[Result]) -> bool:
    """Print each result when it comes. Returns whether all targets were held."""
    held = True
    for result in results:
        mark = "" if result.held else "  MISSED"
        print(f"{result.name:36}{result.found:>36}  {result.target}{mark}", flush=True)
        held = held and result.held
    return held


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit 1 if a target is missed")
    check = parser.parse_args().check
    print(
        f"Python {platform.python_version()}, bottle {version('bottle')}, "
        f"waitress {version('waitress')}, {platform.machine()}"
    )
    port = free_port()
    with (
        Sandbox() as sandbox,
        process(serve_bare) as bare,
        process(serve_ours, port_of(sandbox), port) as pipe,
    ):
        sandbox.wait_for(
            lambda: any(call.path.endswith("/resync-request") for call in sandbox.calls), 30
        )
        held = all_held(measure(Ours(sandbox, pipe, port), bare.recv()))
    return 1 if check and not held else 0


if __name__ == "__main__":
    sys.exit(main())
