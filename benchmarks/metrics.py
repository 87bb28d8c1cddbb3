"""What metrics cost: message rates beside scrapes, and the time of a scrape and of a status.

With `ACTORS` actors and a full history of runs. Prometheus scrapes every 15 to 60 seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.report import OURS, Row, Target, alternate
from ocean_actors import Actor, Message, ResyncHandler, ResyncRun, RunEnded, handles
from ocean_actors.actors import Ref
from ocean_actors.resync.history import REMEMBERED_RUNS
from ocean_actors.testing import SandboxedSystem

PACKAGES = ("prometheus-client",)
ROUNDS = 20
ACTORS = 100
TELLS = 50_000
SCRAPES = 100
SCRAPE_SECONDS = 1.0


@dataclass(frozen=True)
class Ping(Message):
    """One message; `last` ends a burst."""

    last: threading.Event | None = None


class Sink(Actor):
    """Says when a burst is over."""

    refs: list[Ref] = []  # noqa: RUF012  (how the benchmark gets at its address)

    def on_start(self) -> None:
        self.refs.append(self.context.ref)

    @handles(Ping)
    def on_ping(self, message: Ping) -> None:
        if message.last is not None:
            message.last.set()


class Quick(ResyncHandler):
    def resync(self, run: ResyncRun) -> None:
        pass


def burst(ref: Ref) -> float:
    """Returns the messages per second of one burst, until the last was handled."""
    tell, ping, done = ref.tell, Ping(), threading.Event()
    began = time.perf_counter()
    for _ in range(TELLS - 1):
        tell(ping)
    tell(Ping(done))
    done.wait(60)
    return TELLS / (time.perf_counter() - began)


def message_rates(rig: SandboxedSystem, rounds: int) -> dict[str, list[float]]:
    ref, stop, scraping = Sink.refs[0], threading.Event(), threading.Event()

    def scrape() -> None:
        while not stop.wait(SCRAPE_SECONDS):
            if scraping.is_set():
                rig.system.metrics()

    def burst_while(scraped: bool) -> float:
        (scraping.set if scraped else scraping.clear)()
        return burst(ref)

    scraper = threading.Thread(target=scrape, daemon=True)
    scraper.start()
    rates = alternate(
        {OURS: lambda: burst_while(True), "no scrape": lambda: burst_while(False)}, rounds
    )
    stop.set()
    scraper.join()
    return rates


def milliseconds(call: Callable[[], object]) -> list[float]:
    call()
    times = []
    for _ in range(SCRAPES):
        began = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - began))
    return times


def measure(rounds: int) -> Iterator[Row]:
    crowd = [type(f"Guest{number}", (Actor,), {}) for number in range(ACTORS)]
    with SandboxedSystem(
        [Quick], [Sink, *crowd], eventListener={"type": "POLLING", "interval": 3600}
    ) as rig:
        rig.expect(RunEnded)
        for _ in range(REMEMBERED_RUNS):
            rig.system.request_resync("again")
            rig.expect(RunEnded)
        yield Row(
            "messages beside scrapes", "messages a second to one actor, with one scrape a second",
            "/s", message_rates(rig, rounds), (Target(0.97, "no scrape"),),
        )  # fmt: skip
        what = f"with {ACTORS} actors and {REMEMBERED_RUNS} runs"
        yield Row("status()", what, "ms", {OURS: milliseconds(rig.system.status)})
        yield Row("scrape", what, "ms", {OURS: milliseconds(rig.system.metrics)})
