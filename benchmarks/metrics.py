"""What metrics cost: `python benchmarks/metrics.py [--check]`.

Message rates: bursts of messages to an actor of a running integration, in rounds that alternate
between no scrape at all and one scrape a second, so that whatever else the machine does meets
both; the medians of the rounds are compared. Prometheus scrapes every 15 to 60 seconds.

Times: of `OceanSystem.status()` and of one scrape, with `ACTORS` actors and a full history of
runs. With `--check` the exit code is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import platform
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from ocean_actors import Actor, Message, ResyncHandler, ResyncRun, RunEnded, handles
from ocean_actors.actors import Ref
from ocean_actors.resync.history import REMEMBERED_RUNS
from ocean_actors.testing import SandboxedSystem

ACTORS = 100
ROUNDS = 20
TELLS = 50_000
SCRAPES = 100
SCRAPE_SECONDS = 1.0
SMALLEST_RATE = 0.97


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


def message_rates(rig: SandboxedSystem) -> tuple[float, float]:
    """Returns the median rates without scrapes and with one a second."""
    ref, stop, scraping = Sink.refs[0], threading.Event(), threading.Event()

    def scrape() -> None:
        while not stop.wait(SCRAPE_SECONDS):
            if scraping.is_set():
                rig.system.metrics()

    scraper = threading.Thread(target=scrape, daemon=True)
    scraper.start()
    rates: dict[bool, list[float]] = {False: [], True: []}
    burst(ref)  # warms up
    for number in range(2 * ROUNDS):
        scraped = number % 4 in (1, 2)
        (scraping.set if scraped else scraping.clear)()
        rates[scraped].append(burst(ref))
    stop.set()
    scraper.join()
    return median(rates[False]), median(rates[True])


def seconds(call: Callable[[], object]) -> float:
    """Returns the median time of a call."""
    call()
    times = []
    for _ in range(SCRAPES):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return median(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="exit 1 if a target is missed")
    arguments = parser.parse_args()
    crowd = [type(f"Guest{number}", (Actor,), {}) for number in range(ACTORS)]
    with SandboxedSystem(
        [Quick], [Sink, *crowd], eventListener={"type": "POLLING", "interval": 3600}
    ) as rig:
        rig.expect(RunEnded)
        for _ in range(REMEMBERED_RUNS):
            rig.system.request_resync("again")
            rig.expect(RunEnded)
        status = rig.system.status()
        calm, scraped = message_rates(rig)
        print(f"Python {platform.python_version()}, {platform.machine()}")
        print(f"{len(status['actors'])} actors, {len(status['resync']['runs'])} runs kept")
        ratio = scraped / calm
        print(f"messages, no scrape         {calm:12,.0f}/s")
        print(f"messages, 1 scrape a second {scraped:12,.0f}/s  {ratio:.2f} (>= {SMALLEST_RATE})")
        print(f"status()                    {seconds(rig.system.status) * 1000:12.2f} ms")
        print(f"metrics(), one scrape       {seconds(rig.system.metrics) * 1000:12.2f} ms")
    return 1 if arguments.check and ratio < SMALLEST_RATE else 0


if __name__ == "__main__":
    sys.exit(main())
