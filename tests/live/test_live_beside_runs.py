"""Live events and a run that write the same entities: newer data win, whoever is faster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rig import hooked, serving, tell, titles
from waiting import wait_until

from ocean_actors import (
    Live,
    LiveCall,
    LiveEventFailed,
    ResyncHandler,
    ResyncRun,
    RunEnded,
    UpsertResult,
)
from ocean_actors.actors import Backoff
from ocean_actors.testing import SandboxedSystem

QUICK = Backoff(initial=0.01, maximum=0.02)
BULK = "/issue/entities/bulk"

Step = Callable[[ResyncRun], Any]


class Stepped:
    """A resync that a test leads step by step, in the handler's own thread."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._results: list[Any] = []
        self._changed = threading.Condition()

    def handler(self) -> type[ResyncHandler]:
        stepped = self

        class Stepping(ResyncHandler):
            kinds = ("issue",)

            def resync(self, run: ResyncRun) -> None:
                stepped.work(run)

        return Stepping

    def work(self, run: ResyncRun) -> None:
        while (step := self._next(run)) is not None:
            try:
                result = step(run)
            except Exception as error:  # noqa: BLE001  (for the test)
                result = error
            with self._changed:
                self._results.append(result)
                self._changed.notify_all()

    def begin(self, step: Step) -> None:
        """Have the resync do something; returns at once."""
        with self._changed:
            self._steps.append(step)
            self._changed.notify_all()

    def result(self) -> Any:
        """What the step that was begun returned, or raised."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._results, 30)
            return self._results.pop(0)

    def do(self, step: Step) -> Any:
        """Have the resync do something, and return what it returned."""
        self.begin(step)
        return self.result()

    def finish(self) -> None:
        """Have the resync return."""
        self.begin(lambda _run: None)
        self.result()
        with self._changed:
            self._steps.append(_RETURN)
            self._changed.notify_all()

    def _next(self, run: ResyncRun) -> Step | None:
        with self._changed:
            forget = run.token.on_cancel(lambda: self.begin(_RETURN))
            assert self._changed.wait_for(lambda: self._steps, 60)
            forget()
            step = self._steps.pop(0)
        return None if step is _RETURN else step


def _RETURN(_run: ResyncRun) -> None:  # noqa: N802  (a mark)
    raise AssertionError


def send(*names: str, title: str = "old", **more: Any) -> Callable[[ResyncRun], UpsertResult]:
    """A step that upserts issues as a run has read them."""
    entities = [{"identifier": name, "title": title, **more} for name in names]
    return lambda run: run.port.upsert("issue", entities)


def reconcile(run: ResyncRun) -> int:
    return run.port.reconcile(1.0)


@pytest.fixture
def stepped() -> Stepped:
    return Stepped()


@pytest.fixture
def handled() -> threading.Semaphore:
    return threading.Semaphore(0)


@pytest.fixture
def rig(stepped: Stepped, handled: threading.Semaphore) -> Iterator[SandboxedSystem]:
    """A system whose run is in flight; live events say what to write or to delete."""

    def work(call: LiveCall, live: Live) -> None:
        event = call.json()
        if event.get("deleted"):
            live.port.delete("issue", [event["id"]])
        else:
            identifier: Any = event.get("query", event["id"])
            entity = {"identifier": identifier, "title": event["title"], **event.get("more", {})}
            live.port.upsert("issue", [entity])
        handled.release()

    with serving(hooked(work, backoff=QUICK, attempts=3), stepped.handler()) as rig:
        stepped.do(lambda _run: None)
        yield rig


def change(
    rig: SandboxedSystem, handled: threading.Semaphore, name: str, title: str = "new", **more: Any
) -> None:
    """A live event that is handled when this returns."""
    tell(rig, name, title=title, **more)
    assert handled.acquire(timeout=30)


def hold(rig: SandboxedSystem, path: str, begin: Callable[[], object]) -> None:
    """Call `begin`, and return once the sandbox holds the call of `path` to which that leads.

    The call takes effect when it is released.
    """
    before = sum(path in each.path for each in rig.sandbox.calls)
    rig.sandbox.fail("hang", 1, path=path, seconds=60.0)
    begin()
    rig.sandbox.wait_for(lambda: sum(path in each.path for each in rig.sandbox.calls) > before, 30)


def wait_until_it_waits(rig: SandboxedSystem, handled: threading.Semaphore) -> None:
    """Wait until a live write waits for a batch of the run, which holds the same entity."""
    writes = rig.system._parts._writes

    def waits() -> bool:
        with writes._changed:
            return any(writes._holds(mark) for mark in writes._marks)

    wait_until(waits, "a live write that waits")
    assert not handled.acquire(blocking=False)


def expect_after_release(rig: SandboxedSystem, handled: threading.Semaphore) -> None:
    """The live event waits for what the sandbox holds, and is handled after that."""
    wait_until_it_waits(rig, handled)
    rig.sandbox.release()
    assert handled.acquire(timeout=30)


def begin_next_run(rig: SandboxedSystem, stepped: Stepped) -> None:
    stepped.finish()
    rig.expect(RunEnded)
    rig.sandbox.request_resync(rig.identifier)


def test_a_run_leaves_out_what_a_live_event_has_written_since_it_began(
    rig: SandboxedSystem, stepped: Stepped, handled: threading.Semaphore
) -> None:
    change(rig, handled, "A")
    result = stepped.do(send("A", "B"))
    assert (result.upserted, result.superseded, result.failed) == (1, 1, 0)
    assert titles(rig) == {"A": "new", "B": "old"}
    assert stepped.do(reconcile) == 0
    stepped.finish()
    ended = rig.expect(RunEnded)
    assert ended.status == "completed"
    assert (ended.written.upserted, ended.written.superseded) == (1, 1)
    assert titles(rig) == {"A": "new", "B": "old"}


def test_a_live_write_waits_for_the_batch_in_flight_that_holds_its_entity(
    rig: SandboxedSystem, stepped: Stepped, handled: threading.Semaphore
) -> None:
    hold(rig, BULK, lambda: stepped.begin(send("A")))
    change(rig, handled, "B")  # not in that batch
    tell(rig, "A", title="new")
    expect_after_release(rig, handled)
    assert stepped.result().upserted == 1
    assert titles(rig) == {"A": "new", "B": "new"}


def test_a_run_does_not_bring_back_what_a_live_event_deleted(
    rig: SandboxedSystem, stepped: Stepped, handled: threading.Semaphore
) -> None:
    stepped.do(send("A", "B"))
    change(rig, handled, "A", deleted=True)
    change(rig, handled, "C", deleted=True)  # which Port does not know yet
    assert titles(rig) == {"B": "old"}
    assert stepped.do(send("A", "B", "C")).superseded == 2
    assert stepped.do(reconcile) == 0
    assert titles(rig) == {"B": "old"}


def test_a_live_delete_waits_for_the_batch_in_flight_that_holds_its_entity(
    rig: SandboxedSystem, stepped: Stepped, handled: threading.Semaphore
) -> None:
    hold(rig, BULK, lambda: stepped.begin(send("A")))
    tell(rig, "A", deleted=True)
    expect_after_release(rig, handled)
    stepped.result()
    assert titles(rig) == {}


def test_reconcile_keeps_what_live_events_have_written_and_what_that_relates_to(
    rig: SandboxedSystem, stepped: Stepped, handled: threading.Semaphore
) -> None:
    stepped.do(send("parent", "stale"))
    begin_next_run(rig, stepped)
    stepped.do(send("A"))
    change(rig, handled, "B", more={"relations": {"parent": "parent"}})
    assert stepped.do(reconcile) == 1
    assert titles(rig) == {"A": "old", "B": "new", "parent": "old"}


def test_reconcile_keeps_what_a_live_event_writes_after_it_has_looked(
    rig: SandboxedSystem, stepped: Stepped, handled: threading.Semaphore
) -> None:
    stepped.do(send("late", "root", "stale"))
    stepped.do(lambda run: run.port.upsert("a-blueprint", [{"identifier": "first"}]))
    begin_next_run(rig, stepped)
    stepped.do(send("A"))
    # the first batch: Port was asked what is owned
    hold(rig, "/a-blueprint/bulk/entities/delete", lambda: stepped.begin(reconcile))
    change(rig, handled, "late", more={"relations": {"parent": "root"}})
    rig.sandbox.release()
    assert stepped.result() == 2
    assert titles(rig) == {"A": "old", "late": "new", "root": "old"}


def test_what_live_events_have_written_does_not_count_as_to_be_deleted(
    rig: SandboxedSystem, stepped: Stepped, handled: threading.Semaphore
) -> None:
    stepped.do(send("stale"))
    begin_next_run(rig, stepped)
    stepped.do(send("A"))
    for name in ("B", "C", "D"):
        change(rig, handled, name)
    assert stepped.do(lambda run: run.port.reconcile(0.5)) == 1
    assert titles(rig) == {"A": "old", "B": "new", "C": "new", "D": "new"}


def test_a_live_write_waits_for_the_deletion_in_flight_of_its_entity(
    rig: SandboxedSystem, stepped: Stepped, handled: threading.Semaphore
) -> None:
    stepped.do(send("A", "B"))
    begin_next_run(rig, stepped)
    stepped.do(send("B"))
    hold(rig, "/issue/bulk/entities/delete", lambda: stepped.begin(reconcile))
    tell(rig, "A", title="new")
    expect_after_release(rig, handled)
    assert stepped.result() == 1
    assert titles(rig) == {"A": "new", "B": "old"}


def test_a_live_write_that_port_refused_lets_the_run_write(
    rig: SandboxedSystem, stepped: Stepped, handled: threading.Semaphore
) -> None:
    change(rig, handled, "A", more={"properties": {"title": 7}})  # refused as one of a batch
    assert stepped.do(send("A")).upserted == 1
    rig.sandbox.fail("status", 1, path=BULK, status=403)
    tell(rig, "B", title="new")
    rig.expect(LiveEventFailed)
    assert stepped.do(send("B")).upserted == 1
    assert titles(rig) == {"A": "old", "B": "old"}


def test_reconcile_keeps_what_a_run_left_out_for_a_live_write_that_failed(
    rig: SandboxedSystem, stepped: Stepped, handled: threading.Semaphore
) -> None:
    stepped.do(send("A"))
    refused = {"properties": {"title": 7}}
    hold(rig, BULK, lambda: tell(rig, "A", title="new", more=refused))
    assert stepped.do(send("A")).superseded == 1
    rig.sandbox.release()
    assert handled.acquire(timeout=30)
    assert stepped.do(reconcile) == 0
    assert titles(rig) == {"A": "old"}


def test_the_next_run_writes_what_a_live_event_wrote_during_the_one_before(
    rig: SandboxedSystem, stepped: Stepped, handled: threading.Semaphore
) -> None:
    change(rig, handled, "A")
    begin_next_run(rig, stepped)
    assert stepped.do(send("A", title="newest")).superseded == 0
    assert titles(rig) == {"A": "newest"}


def test_a_run_that_begins_while_a_live_write_is_in_flight_leaves_it_out(
    rig: SandboxedSystem, stepped: Stepped, handled: threading.Semaphore
) -> None:
    stepped.finish()
    rig.expect(RunEnded)
    hold(rig, BULK, lambda: tell(rig, "A", title="new"))
    rig.sandbox.request_resync(rig.identifier)
    assert stepped.do(send("A")).superseded == 1
    rig.sandbox.release()
    assert handled.acquire(timeout=30)
    assert stepped.do(send("A")).superseded == 1
    assert titles(rig) == {"A": "new"}


def test_a_live_write_by_a_search_query_is_protected_once_port_has_said_what_it_found(
    rig: SandboxedSystem, stepped: Stepped, handled: threading.Semaphore
) -> None:
    stepped.do(send("A", properties={"by": "u1"}))
    rule = {"property": "by", "operator": "=", "value": "u1"}
    change(rig, handled, "x", query={"combinator": "and", "rules": [rule]})
    assert titles(rig) == {"A": "new"}
    assert stepped.do(send("A")).superseded == 1
    assert titles(rig) == {"A": "new"}


def test_a_stop_ends_the_wait_of_a_live_write(
    rig: SandboxedSystem, stepped: Stepped, handled: threading.Semaphore
) -> None:
    hold(rig, BULK, lambda: stepped.begin(send("A")))
    tell(rig, "A", title="new")
    wait_until_it_waits(rig, handled)
    assert rig.system.stop()
