"""A long soak of the whole, against a sandbox that fails: `python -m benchmarks.soak`.

Thousands of requests (buttons in Port, saved configs, calls from Python) come at random times to
handlers of random length, behaviour and failures, under each listener and each policy in turn,
while every tenth of all calls to Port is late or fails. Afterwards it asks whether every request
was covered, Port's view of the runs is legal, all threads have ended and nothing has piled up. It
prints what it saw; the exit code is 1 if something was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import gc
import itertools
import logging
import random
import resource
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ocean_actors import (
    Actor,
    OceanSystem,
    RequestSettled,
    ResyncHandler,
    ResyncRun,
    RetryLater,
    RunEnded,
    RunStarted,
    Settings,
    handles,
)
from ocean_actors.sandbox import Sandbox
from ocean_actors.sandbox.legal import IllegalReports, runs_of

NAME = "soaked"
GRACE = 0.05  # seconds
MEAN_GAP = 0.003  # seconds between two requests of a burst
LULL, LULL_SHARE = (0.05, 0.3), 0.06  # seconds after a burst; how many requests end one
PATIENCE = 60.0  # seconds for everything to be served at the end
UNIT = 1 if sys.platform == "darwin" else 1024  # bytes, of `ru_maxrss`
LISTENERS = ("POLLING", "WEBHOOK")
POLICIES = ("abort", "drop", "queue", "ignore")


# -- what is soaked --------------------------------------------------------------------------------


def wait(seconds: float) -> None:
    """Wait, deaf to everything."""
    threading.Event().wait(seconds)


class Moody(ResyncHandler):
    """Does something else in each run."""

    seeds = itertools.count()

    def __init__(self) -> None:
        self.random = random.Random(next(self.seeds))

    def resync(self, run: ResyncRun) -> Any:
        """Work a little, in one of many ways."""
        seconds = self.random.uniform(0.0, 0.03)
        return self.random.choice(self.moods)(self, run, seconds)

    def at_once(self, _run: ResyncRun, _seconds: float) -> None:
        """Have nothing to do."""

    def patient(self, run: ResyncRun, seconds: float) -> None:
        """Wait, and notice an abort."""
        for done in run.guard(range(3)):
            run.progress(done, 3)
            run.sleep(seconds / 3)

    def writing(self, run: ResyncRun, _seconds: float) -> None:
        """Send entities."""
        names = [f"{type(self).__name__}-{number}" for number in range(30)]
        run.port.upsert("service", [{"identifier": name} for name in names])

    def deaf(self, _run: ResyncRun, _seconds: float) -> None:
        """Notice nothing for longer than the grace."""
        wait(3 * GRACE)

    def broken(self, _run: ResyncRun, seconds: float) -> None:
        """Fail."""
        wait(seconds)
        raise ValueError("broken on purpose")

    def exiting(self, _run: ResyncRun, _seconds: float) -> None:
        """Try to end the process."""
        sys.exit(3)

    def later(self, _run: ResyncRun, seconds: float) -> None:
        """Ask for another time."""
        raise RetryLater(seconds)

    async def coroutine(self, run: ResyncRun, seconds: float) -> None:
        """Be cancelled at an await."""
        run.progress(1)
        await asyncio.sleep(seconds)

    async def stubborn(self, _run: ResyncRun, seconds: float) -> None:
        """Swallow the cancellation."""
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            await asyncio.to_thread(wait, 3 * GRACE)

    moods = (
        at_once, at_once, patient, patient, patient, patient, writing, writing,
        deaf, broken, exiting, later, coroutine, coroutine, stubborn,
    )  # fmt: skip


class Other(Moody):
    """A second one, beside the first."""


class Witness(Actor):
    """Keeps what the event stream tells."""

    subscribes_to = (RunStarted, RunEnded, RequestSettled)

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self._seen = seen

    @handles(RunStarted)
    def on_started(self, event: RunStarted) -> None:
        """A run begins; none may be open."""
        self._seen.begun(event)

    @handles(RunEnded)
    def on_ended(self, event: RunEnded) -> None:
        """It is over."""
        self._seen.ended(event)

    @handles(RequestSettled)
    def on_settled(self, event: RequestSettled) -> None:
        """A request needs nothing more."""
        self._seen.settled(event)


@dataclass
class Seen:
    """What the witness of a round saw, for the thread that checks it."""

    open_run: int | None = None
    overlaps: int = 0
    fenced: int = 0
    statuses: list[str] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)
    last: RunStarted | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)

    def begun(self, event: RunStarted) -> None:
        """Note a run's begin."""
        with self.changed:
            self.overlaps += self.open_run is not None
            self.open_run = event.run.number
            self.last = event

    def ended(self, event: RunEnded) -> None:
        """Note its end."""
        with self.changed:
            self.overlaps += self.open_run != event.run.number
            self.open_run = None
            self.statuses.append(event.status)
            self.fenced += sum("fenced off" in failure for failure in event.failures)
            self.changed.notify_all()

    def settled(self, event: RequestSettled) -> None:
        """Note what became of a request."""
        with self.changed:
            self.outcomes[event.request.id] = event.outcome
            self.changed.notify_all()


@dataclass
class Report:
    """What a soak saw. `problems` is empty if all was well."""

    requests: int = 0
    runs: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    late: int = 0
    fenced: int = 0
    seconds: float = 0.0
    objects: list[int] = field(default_factory=list)  # that are alive after each round
    peaks: list[int] = field(default_factory=list)  # MiB of memory, up to the end of each
    problems: list[str] = field(default_factory=list)


# -- one round -------------------------------------------------------------------------------------


class Round:
    """One listener with one policy: so many requests, then the checks."""

    def __init__(
        self, sandbox: Sandbox, listener: str, policy: str, rng: random.Random, report: Report
    ) -> None:
        self.sandbox = sandbox
        self.policy = policy
        self.name = f"{listener} with {policy}"
        self.rng = rng
        self.report = report
        self.seen = Seen()
        self.manual: list[str] = []
        self.asked_at: datetime | None = None  # the newest request by Port
        self.system = OceanSystem(
            Settings.from_dict(self._settings(listener), {}),
            handlers=[Moody, Other],
            actors=[functools.partial(Witness, self.seen)],
            debug=True,
            seed=rng.randrange(1_000),
        )

    def _settings(self, listener: str) -> dict[str, Any]:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        listeners: dict[str, dict[str, Any]] = {
            "POLLING": {"type": "POLLING", "interval": 0.05},
            "WEBHOOK": {
                "type": "WEBHOOK", "appHost": f"http://127.0.0.1:{port}", "checkInterval": 1,
            },
        }  # fmt: skip
        return {
            "port": {
                "clientId": self.sandbox.client_id,
                "clientSecret": self.sandbox.client_secret,
                "baseUrl": self.sandbox.url,
            },
            "integration": {"identifier": NAME},
            "eventListener": listeners[listener],
            "http": {"host": "127.0.0.1", "port": port},
            "resync": {
                "onNewRequest": self.policy,
                "abortGrace": GRACE,
                "timeout": 1.0,
                "debounce": self.rng.choice([0.0, 0.01]),
                "retry": {"attempts": 1, "backoff": 0.01},
            },
        }

    def run(self, requests: int) -> None:
        """Have the requests made, wait until they are served, and check the outcome."""
        with self.system:
            self._wait("registration", self._registered)
            for _ in range(requests):
                self._request()
                wait(self._gap())
            self._wait("every request to be covered", self._all_covered)
            self._wait("the last report", self._reported)
            status = self.system.status()
        self._judge(status)

    def _gap(self) -> float:
        if self.rng.random() < LULL_SHARE:
            return self.rng.uniform(*LULL)
        return self.rng.expovariate(1 / MEAN_GAP)

    def _registered(self) -> bool:
        return bool(self.system.status()["registered"])

    def _request(self) -> None:
        self.report.requests += 1
        kind = self.rng.random()
        if kind >= 0.5:  # our own clock: Port's stamps run ahead where several fall into a moment
            self.asked_at = datetime.now(timezone.utc)
        if kind < 0.5:
            self.manual.append(self.system.request_resync("manual"))
        elif kind < 0.8:
            self.sandbox.request_resync(NAME)
        else:
            config = {"resources": [{"kind": str(self.rng.random())}]}
            self.sandbox.set_config(NAME, config, skip_resync=self.rng.random() < 0.3)

    def _all_covered(self) -> bool:
        """Every request was settled, itself or by a later one of its kind.

        What Port asked for has no id that we know: it is covered if the last run began after it,
        with the config that Port holds now. Under `ignore` it may have been left out.
        """
        with self.seen.changed:
            outcomes, last, is_open = dict(self.seen.outcomes), self.seen.last, self.seen.open_run
        settled = [outcomes.get(number) for number in self.manual]
        after = False  # whether a later one was served
        for outcome in reversed(settled):
            after = after or outcome in {"completed", "failed"}
            if outcome is None and not after:
                return False
        if is_open is not None or last is None:
            return False
        resync = self.system.status()["resync"]
        if resync is None or resync["state"] != "idle" or resync["pending"]:
            return False
        if self.policy == "ignore":
            return True
        integration = self.sandbox.integration(NAME)
        return (
            integration is not None
            and last.run.config == integration["config"]
            and (self.asked_at is None or self.asked_at <= last.run.started_at)
        )

    def _reported(self) -> bool:
        reports = self.sandbox.statuses(NAME)
        with self.seen.changed:
            return bool(reports) and reports[-1] == self.seen.statuses[-1]

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > until:
                self._problem(f"waited in vain for {what}")
                return
            wait(0.02)

    def _judge(self, status: dict[str, Any]) -> None:
        report, seen = self.report, self.seen
        report.runs.update(seen.statuses)
        report.outcomes.update(seen.outcomes.values())
        report.late += status["resync"]["late"] if status["resync"] else 0
        report.fenced += seen.fenced
        report.calls.update(call.fault or "good" for call in self.sandbox.calls)
        if seen.overlaps:
            self._problem(f"{seen.overlaps} runs overlapped")
        try:
            runs = runs_of(self.sandbox.reports(NAME))
        except IllegalReports as error:
            self._problem(f"Port's view is not legal: {error}")
        else:
            # A run that the stop has aborted, the witness may have ended before it heard of it.
            if not is_part(runs, [*seen.statuses, "aborted"]):
                self._problem(f"Port was told of {len(runs)} runs that were not those that ran")
        if self.system.exit_code or self.system.cause:
            self._problem(f"the system ended by itself: {self.system.cause}")
        for actor in status["actors"]:
            if actor["restarts"]:
                self._problem(f"{actor['name']} failed: {actor['failure']}")

    def _problem(self, text: str) -> None:
        self.report.problems.append(f"{self.name}: {text}")


def is_part(shorter: list[str], longer: list[str]) -> bool:
    """Whether the one is the other with some left out."""
    rest = iter(longer)
    return all(item in rest for item in shorter)


# -- all of them -----------------------------------------------------------------------------------


def trouble(sandbox: Sandbox) -> None:
    """Let every tenth call go wrong, or be late."""
    sandbox.fail("delay", None, seconds=0.05, rate=0.04)
    sandbox.fail("status", None, status=503, rate=0.03)
    sandbox.fail("drop", None, rate=0.01)
    sandbox.fail("garbage", None, rate=0.01, applied=True)
    sandbox.fail("truncate", None, rate=0.01, applied=True)


def soak(requests: int, seed: int) -> Report:
    """Spread so many requests over all listeners and policies, and check each round."""
    report = Report()
    began = time.monotonic()
    rng = random.Random(seed)
    Moody.seeds = itertools.count(seed)
    plan = list(itertools.product(LISTENERS, POLICIES))
    before = set(threading.enumerate())
    for number, (listener, policy) in enumerate(plan):
        with Sandbox(seed=rng.randrange(1_000)) as sandbox:
            sandbox.create_blueprint("service")
            trouble(sandbox)
            share = requests // len(plan) + (number < requests % len(plan))
            Round(sandbox, listener, policy, rng, report).run(share)
        if left := threads_left(before):
            report.problems.append(f"{listener} with {policy}: left over: {', '.join(left)}")
        gc.collect()
        report.objects.append(len(gc.get_objects()))
        report.peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT >> 20)
    for number in range(0, len(plan), len(POLICIES)):  # the first round of a listener imports
        _, first, *_, last = report.objects[number : number + len(POLICIES)]
        if last > first * 1.05:
            report.problems.append(f"objects pile up: {report.objects}")
    report.seconds = time.monotonic() - began
    return report


def threads_left(before: set[threading.Thread]) -> list[str]:
    """The threads that are there and were not before; deaf handlers have a little time to end."""
    until = time.monotonic() + 5.0
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(max(0.0, until - time.monotonic()))
    return [thread.name for thread in left if thread.is_alive()]


def lines(report: Report) -> Iterator[str]:
    """The report, to be read."""

    def counts(counter: Counter[str]) -> str:
        return ", ".join(f"{count} {name}" for name, count in counter.most_common())

    spoilt = 1 - report.calls["good"] / max(1, report.calls.total())
    yield f"requests   {report.requests} in {report.seconds:.0f} s"
    yield f"settled    {counts(report.outcomes)} (a later one of a kind stands for earlier ones)"
    yield f"runs       {report.runs.total()}: {counts(report.runs)}"
    yield f"handlers   {report.fenced} fenced off, {report.late} late results dropped"
    yield f"calls      {report.calls.total()} of Port, {spoilt:.0%} of them late or spoilt"
    yield f"objects    {', '.join(map(str, report.objects))} alive after each round"
    yield f"memory     {', '.join(map(str, report.peaks))} MiB at most up to each round's end"
    for problem in report.problems:
        yield f"PROBLEM    {problem}"
    yield "all is well" if not report.problems else f"{len(report.problems)} problems"


def main() -> int:
    """Soak, and print what was seen."""
    parser = argparse.ArgumentParser(description="Soak the whole against a failing sandbox.")
    parser.add_argument("--requests", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    options = parser.parse_args()
    logging.getLogger("ocean_actors").setLevel(logging.CRITICAL)  # thousands fail on purpose
    report = soak(options.requests, options.seed)
    for line in lines(report):
        print(line)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
