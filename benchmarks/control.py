"""What the dashboard costs, with 200 runs and 100 actors."""

from __future__ import annotations

import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import requests

from benchmarks.programs import ROOT
from benchmarks.report import OURS, Row, Target
from ocean_actors.control.controlled import Controlled
from ocean_actors.control.status_cache import StatusCache

PACKAGES = ("waitress",)
ROUNDS = 300
DASHBOARDS = 10
POLL = 2.0  # seconds between two calls of a dashboard while no run is in flight


def milliseconds(call: Callable[[], object], times: int, clock: Callable[[], float]) -> list[float]:
    taken = []
    for _ in range(times):
        started = clock()
        call()
        taken.append(1000 * (clock() - started))
    return taken


def measure(rounds: int) -> Iterator[Row]:
    sys.path.append(str(ROOT / "tests" / "control"))
    from desk import Desk, actor, busy_night, serve

    desk = Desk()
    busy_night(desk)
    desk.facts["actors"] += [actor(f"worker-{number}", "coordinator") for number in range(94)]
    controlled = Controlled(desk.name, desk, desk.events)
    clocks = iter(range(10**9))
    fresh = StatusCache(controlled, lambda: 10.0 * next(clocks), bytes)
    made = milliseconds(fresh.get, rounds, time.perf_counter)
    yield Row("status for the dashboard", "made and encoded", "ms", {OURS: made})
    server = serve(desk)
    try:
        session = requests.Session()
        url = f"{server.url}/api/status"
        whole = milliseconds(lambda: session.get(url), rounds, time.perf_counter)
        yield Row("GET /api/status", "with the client, `requests`", "ms", {OURS: whole})
        etag = session.get(url).headers["ETag"]
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        request = f"GET /api/status HTTP/1.1\r\nHost: 127.0.0.1\r\nIf-None-Match: {etag}\r\n\r\n"
        with socket.create_connection(address) as connection:

            def ask() -> None:
                connection.sendall(request.encode())
                connection.recv(65_536)

            known = statistics.median(milliseconds(ask, rounds, time.process_time))
        again = statistics.median(milliseconds(fresh.get, rounds, time.process_time))
    finally:
        server.stop()
    share = (DASHBOARDS * known / POLL + again) / 10  # a status is made once a second
    yield Row(
        f"{DASHBOARDS} dashboards",
        "share of a core while nothing happens, a bare client of each included",
        "%", {OURS: [share]}, (Target(5, at_most=True),),
    )  # fmt: skip
