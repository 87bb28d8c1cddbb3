"""How long the control server takes for a status: python benchmarks/control.py

With 200 runs and 100 actors: the median of encoding one, of a whole call over a socket, and the
share of a core that ten open dashboards cost.
"""

from __future__ import annotations

import socket
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "control"))

from desk import Desk, actor, busy_night, serve

from ocean_actors.control.status_cache import StatusCache

CALLS = 300
DASHBOARDS = 10
POLL = 2.0  # seconds between two calls of a dashboard while no run is in flight


def median_ms(call: Callable[[], object], times: int = CALLS) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken)


def main() -> None:
    desk = Desk()
    busy_night(desk)
    desk.facts["actors"] += [actor(f"worker-{number}", "coordinator") for number in range(94)]
    clocks = iter(range(10**9))
    fresh = StatusCache(desk, lambda: 10.0 * next(clocks), bytes)
    print(f"status made and encoded: {median_ms(fresh.get):.2f} ms")
    server = serve(desk)
    session = requests.Session()
    url = f"{server.url}/api/status"
    print(f"GET /api/status, with the client: {median_ms(lambda: session.get(url)):.2f} ms")
    etag = session.get(url).headers["ETag"]
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as connection:
        request = f"GET /api/status HTTP/1.1\r\nHost: 127.0.0.1\r\nIf-None-Match: {etag}\r\n\r\n"

        def ask() -> None:
            connection.sendall(request.encode())
            connection.recv(65_536)

        known = statistics.median(_cpu(ask) for _ in range(CALLS))
    made = statistics.median(_cpu(fresh.get) for _ in range(CALLS))
    print(f"CPU of an answer 304, and of a bare client: {1000 * known:.2f} ms")
    share = 100 * (DASHBOARDS * known / POLL + made)  # a status is made once a second
    print(f"ten dashboards while nothing happens: {share:.1f} % of a core")
    server.stop()


def _cpu(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


if __name__ == "__main__":
    main()
