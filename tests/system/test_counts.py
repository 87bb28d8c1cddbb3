"""What a run, a request and an idle minute cost, in counts that are the same on every machine.

A change that makes one of these numbers grow has to say here what it buys.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from scripted import Quick, Script, scripted_handler

from ocean_actors import RunEnded, RunReported
from ocean_actors.listeners import changelog
from ocean_actors.listeners.kafka import scanner
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import ManualClock, SandboxedSystem, wait_idle

POLLING = {"type": "POLLING", "interval": 60}
WITHIN = 30.0


@pytest.fixture(autouse=True)
def without_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another test may have loaded OpenTelemetry, for which a system has one more actor."""
    for module in ("opentelemetry.trace", "opentelemetry.context"):
        monkeypatch.delitem(sys.modules, module, raising=False)


class CountingClock(ManualClock):
    """Counts the timers that fire: each wakes a thread."""

    def __init__(self) -> None:
        super().__init__()
        self.fired = 0

    def _pop_due(self, until: float) -> tuple[float, Callable[[], object]] | None:
        due = super()._pop_due(until)
        self.fired += due is not None
        return due


class Rig(SandboxedSystem):
    """A system that polls once a minute, by a clock that is turned by hand, after its first run."""

    def __init__(self, handler: Any = Quick) -> None:
        self.clock = CountingClock()
        super().__init__([handler], clock=self.clock, eventListener=POLLING)

    def serve(self) -> None:
        """Wait until a run has ended, Port was told, and nothing moves."""
        self.expect(RunReported)
        self.settle()

    def settle(self) -> None:
        wait_idle(self.system._actors, WITHIN, parked="handler-Scripted")

    def turn(self, seconds: float) -> None:
        self.clock.advance(seconds, self.settle)
        self.settle()

    def handled(self) -> Counter[str]:
        """Returns how many messages each actor of ours has handled, lifecycle aside."""
        actors = {each["name"]: each["handled"] for each in self.system._actors.snapshot()}
        return Counter({name: count for name, count in actors.items() if name != "EventRecorder"})

    def calls(self, since: int = 0) -> Counter[str]:
        """Returns the calls of Port after the first `since`, without what differs in each run."""
        return Counter(
            f"{call.method} {re.sub('/resync/.*', '/resync/…', call.path).rpartition('/v1')[2]}"
            for call in self.sandbox.calls[since:]
        )


NAME = "/integration/under-test"
PAGE = "/ingest/under-test/metrics/syncMetrics"

RUN = Counter(
    {
        f"GET {NAME}": 1,  # the config: Port may hold a newer one than the listener saw
        f"GET {NAME}/resync-request": 1,  # at the same time: it need not be served once more
        f"PATCH {NAME}/resync-state": 2,  # running; completed, failed or aborted
        f"POST {PAGE}": 2,  # the run on Port's page of the integration: its start and its end
        f"PUT {PAGE}/resync/…": 2,  # its only kind: syncing, and completed
    }
)
START = Counter(
    {
        "POST /auth/access_token": 1,  # for all clients
        f"GET {NAME}": 2,  # is it registered; the first poll
        "POST /integration": 1,  # it was not
        f"GET {NAME}/resync-request": 1,  # the first poll
    }
)
LEFT_RUNNING = Counter({f"GET {NAME}": 1})  # does Port show a run of a dead process as running?


def test_a_run_without_entities_makes_eight_calls_and_the_start_six_more() -> None:
    with Rig() as rig:
        rig.serve()
        assert rig.calls() == START + LEFT_RUNNING + RUN
        before = rig.sandbox.call_count
        rig.system.request_resync()
        rig.serve()
        assert rig.calls(since=before) == RUN


def test_one_call_writes_twenty_entities() -> None:
    """As many as Port's bulk endpoint takes: a thousand entities take fifty calls."""

    class Thousand(Quick):
        def resync(self, run: Any) -> None:
            run.port.upsert("package", [{"identifier": str(number)} for number in range(1_000)])

    sandbox = Sandbox(blueprints=[{"identifier": "package", "schema": {"properties": {}}}])
    with sandbox, SandboxedSystem([Thousand], sandbox=sandbox, eventListener=POLLING) as rig:
        assert rig.expect(RunEnded).status == "completed"
        bulk = sum(call.path.endswith("/entities/bulk") for call in sandbox.calls)
        assert len(sandbox.entities("package")) == 1_000
    assert bulk == 50


def test_a_lone_request_takes_eighteen_messages_to_our_actors() -> None:
    with Rig() as rig:
        rig.serve()
        before = rig.handled()
        rig.system.request_resync()
        rig.serve()
        assert rig.handled() - before == Counter(
            {
                "coordinator": 3,  # the request, its config, the end of the handler
                "integration": 1,  # the question for the config
                "handler-Quick": 2,  # the start, the end of the run
                "reporter": 4,  # start and end of the run; Port took each of them
                "report-sender": 2,  # running; completed
                "sync-metrics": 4,  # start and end of the run; two more for its kind
                "log-shipper": 1,  # the addresses that came with the config
                "polling": 1,  # the start of the run: what it answers needs no further request
            }
        )


def test_a_further_request_of_a_burst_takes_one_message_and_no_call(script: Script) -> None:
    with Rig(scripted_handler(script)) as rig:
        script.wait_until_at_work()
        rig.system.request_resync()  # aborts the run; from now on requests gather
        rig.expect(RunReported)
        rig.settle()
        handled, calls = rig.handled(), rig.sandbox.call_count
        for _ in range(100):
            rig.system.request_resync()
        rig.settle()
        assert rig.handled() - handled == Counter({"coordinator": 100})
        assert rig.sandbox.call_count == calls
        rig.turn(1.0)
        script.wait_until_at_work()
        script.let_finish()


def test_an_idle_minute_wakes_up_fifteen_times_and_polls_once() -> None:
    with Rig() as rig:
        rig.serve()
        rig.turn(60.0)  # timers that the start has set are over
        for _ in range(3):
            fired, handled, calls = rig.clock.fired, rig.handled(), rig.sandbox.call_count
            rig.turn(60.0)
            assert rig.calls(since=calls) == Counter(
                {f"GET {NAME}": 1, f"GET {NAME}/resync-request": 1}
            )
            assert rig.handled() - handled == Counter(
                {
                    "log-shipper": 12,  # each five seconds: are there lines to send?
                    "polling": 2,  # the poll, and its answer
                }
            )
            assert rig.clock.fired - fired == 15  # those, and two looks for actors that hang


def noise(number: int) -> bytes:
    """Returns a change of an entity of another integration, as the organization's topic has it."""
    after = {
        "identifier": f"service-{number}",
        "title": "Größe",
        "updatedAt": "2026-10-01T08:00:00.000Z",
        "properties": {"readme": "words of a readme " * 50},
    }
    body = {"action": "UPDATE", "resourceType": "entity", "diff": {"before": None, "after": after}}
    return json.dumps({**body, "context": {"integrationId": "another"}}).encode()


def test_of_noise_on_kafka_no_byte_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message is searched for the identifier, and parsed only if it may hold that."""
    parsed: list[int] = []

    def read(value: bytes | None) -> object:
        parsed.append(len(value or b""))
        return changelog.read(value)

    monkeypatch.setattr(scanner, "read", read)
    ours = json.dumps({"action": "RESYNC", "context": {"integrationId": "under-test"}}).encode()
    values = [*map(noise, range(1_000)), ours, *map(noise, range(1_000))]
    found = scanner.Scanner("under-test", requests_only=False)
    records = [SimpleNamespace(offset=offset, value=value) for offset, value in enumerate(values)]
    assert found.scan(records) is not None
    assert (found.messages, found.requests) == (2_001, 1)
    assert parsed == [len(ours)]


THREADS = {
    "coordinator",  # must answer while everything else waits
    "integration",  # waits for Port's answers
    "listener-supervisor",  # restarts the listener whatever that waits for
    "log-shipper",  # waits for Port, for as long as it likes
    "polling",  # waits for Port
    "report-sender",  # waits for Port
    "reporter",  # keeps reports in order while the sender waits
    "stopper",  # stops the system when an actor asks for it, which cannot wait for its own end
    "sync-metrics",  # waits for Port
    "timers",  # of the machine's clock
}


@pytest.mark.parametrize("handlers", [1, 3])
def test_an_integration_has_ten_threads_and_one_for_each_handler(handlers: int) -> None:
    classes = [type(f"Quick{number}", (Quick,), {}) for number in range(handlers)]
    with Sandbox() as sandbox:
        before = set(threading.enumerate())
        with SandboxedSystem(classes, sandbox=sandbox, eventListener=POLLING) as rig:
            rig.expect(RunReported)
            wait_idle(rig.system._actors, WITHIN)
            threads = [each for each in threading.enumerate() if each not in before]
            for thread in [each for each in threads if each.name == "port-call"]:
                thread.join(WITHIN)  # it ends with its call
                threads.remove(thread)
            names = sorted(each.name for each in threads if each.name != "EventRecorder")
            assert names == sorted(THREADS | {f"handler-{each.__name__}" for each in classes})
        assert set(threading.enumerate()) <= before
