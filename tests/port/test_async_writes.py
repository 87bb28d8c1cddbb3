"""`await run.port.aupsert(…)` and `areconcile` in coroutines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from ocean_actors import ReconcileRefused, ResyncHandler, ResyncRun, RunEnded, RunProgressed
from ocean_actors.actors import Cancelled, CancelToken, SystemClock
from ocean_actors.port.barrier import RunBarrier
from ocean_actors.resync.run import ResyncAborted
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import SandboxedSystem

if TYPE_CHECKING:
    from tests.port.conftest import Runs

SOON = 30  # seconds
T = TypeVar("T")


def packages(*names: Any) -> Iterator[dict[str, Any]]:
    return ({"identifier": str(name)} for name in names)


async def fetched(*names: Any) -> AsyncIterator[dict[str, Any]]:
    for entity in packages(*names):
        await asyncio.sleep(0)
        yield entity


def bulk_calls(sandbox: Sandbox) -> list[Any]:
    return [call for call in sandbox.calls if call.path.endswith("/entities/bulk")]


def names(sandbox: Sandbox) -> list[str]:
    return sorted(entity["identifier"] for entity in sandbox.entities("package"))


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, SOON))


async def cancelled_once(work: Coroutine[Any, Any, object], so: Callable[[], bool]) -> None:
    """Begin with `work`, and cancel it once it is `so`."""
    task = asyncio.ensure_future(work)
    while not so():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("source", [packages, fetched])
def test_it_counts_as_upsert_does(sandbox: Sandbox, runs: Runs, source: Any) -> None:
    writer = runs.start()
    result = run(writer.for_handler("all").aupsert("package", source(*range(45), "", "")))
    assert (result.upserted, result.created, result.failed) == (45, 45, 2)
    assert [failure.error for failure in result.failures] == ["invalid", "invalid"]
    assert sorted(len(call.body["entities"]) for call in bulk_calls(sandbox)) == [5, 20, 20]
    assert (writer.written().upserted, writer.written().failed) == (45, 2)
    again = run(writer.for_handler("all").aupsert("package", source(1), merge=False))
    assert (again.upserted, again.created) == (1, 0)
    assert bulk_calls(sandbox)[-1].query["merge"] == "false"


def test_its_flags_and_mistakes_are_those_of_upsert(sandbox: Sandbox, runs: Runs) -> None:
    port = runs.start().for_handler("all")
    with pytest.raises(TypeError, match="takes many entities, got one dict"):
        run(port.aupsert("package", {"identifier": "1"}))
    with pytest.raises(TypeError, match="blueprint: expected a string"):
        run(port.aupsert(7, fetched(1)))
    assert run(port.aupsert("package", fetched())).upserted == 0
    assert bulk_calls(sandbox) == []


def test_the_event_loop_is_not_blocked(sandbox: Sandbox, runs: Runs) -> None:
    """Else nothing in the loop could let the iterable and the call go on."""
    sandbox.fail("hang", 1, path="/bulk")
    released = threading.Event()
    waits: list[bool] = []

    def blocking() -> Iterator[dict[str, Any]]:
        waits.append(released.wait(SOON))
        yield {"identifier": "1"}

    async def work() -> None:
        port = runs.start().for_handler("all")
        call = asyncio.ensure_future(port.aupsert("package", blocking()))
        await asyncio.sleep(0.01)
        released.set()
        while not call.done():
            sandbox.release()
            await asyncio.sleep(0.01)
        assert (await call).upserted == 1

    run(work())
    assert waits == [True]
    assert sandbox.faults == ()


def test_calls_go_on_side_by_side(sandbox: Sandbox, runs: Runs) -> None:
    async def work() -> list[int]:
        port = runs.start().for_handler("all")
        sent = await asyncio.gather(
            *(port.aupsert("package", fetched(*range(first, first + 30))) for first in (0, 30, 60))
        )
        return [each.upserted for each in sent]

    assert run(work()) == [30, 30, 30]
    assert len(names(sandbox)) == 90


@pytest.mark.parametrize("source", [packages, fetched])
def test_an_abort_ends_it_at_once(sandbox: Sandbox, runs: Runs, source: Any) -> None:
    sandbox.fail("hang", None, path="/bulk", seconds=SOON * 3)

    async def work() -> None:
        writer = runs.start()
        call = asyncio.ensure_future(writer.for_handler("all").aupsert("package", source(1)))
        while not bulk_calls(sandbox):
            await asyncio.sleep(0.01)
        writer.abort("newer request")
        await call

    with pytest.raises(ResyncAborted, match="newer request"):
        run(work())
    sandbox.clear_faults()


def test_nothing_is_written_after_a_cancellation(sandbox: Sandbox, runs: Runs) -> None:
    """The thread is in the source of the entities then; later it may send nothing."""
    asked, released = threading.Event(), threading.Event()

    def source() -> Iterator[dict[str, Any]]:
        yield from packages(*range(20))
        asked.set()
        released.wait(SOON)
        yield from packages(*range(20, 60))

    async def work() -> None:
        port = runs.start().for_handler("all")
        await port.aupsert("package", packages(*range(100, 130)))
        await cancelled_once(port.aupsert("package", source()), asked.is_set)
        with pytest.raises(ReconcileRefused, match="not all of all's entities"):
            await port.areconcile()
        before = len(threading.enumerate())
        released.set()
        while len(threading.enumerate()) >= before:
            await asyncio.sleep(0.01)
        assert (await port.aupsert("package", fetched("later"))).upserted == 1

    run(work())
    assert len(bulk_calls(sandbox)) == 3
    assert "20" not in names(sandbox)


def test_a_cancellation_between_two_chunks_keeps_the_run_from_deleting(
    sandbox: Sandbox, runs: Runs
) -> None:
    async def source() -> AsyncIterator[dict[str, Any]]:
        for entity in packages(*range(20)):
            yield entity
        await asyncio.sleep(SOON * 3)

    async def work() -> None:
        port = runs.start().for_handler("all")
        await cancelled_once(port.aupsert("package", source()), lambda: len(names(sandbox)) == 20)
        with pytest.raises(ReconcileRefused):
            await port.areconcile()

    run(work())
    assert len(names(sandbox)) == 20


def fill(runs: Runs, *stems: Any) -> None:
    runs.start().for_handler("all").upsert("package", packages(*stems))


def test_what_was_not_sent_is_deleted(sandbox: Sandbox, runs: Runs) -> None:
    fill(runs, *range(5))

    async def work() -> int:
        port = runs.start().for_handler("all")
        await port.aupsert("package", fetched(0, 1))
        deleted: int = await port.areconcile(max_share=1.0)
        return deleted

    assert run(work()) == 3
    assert names(sandbox) == ["0", "1"]


def test_who_is_cancelled_while_it_waits_has_not_joined(sandbox: Sandbox, runs: Runs) -> None:
    fill(runs, *range(4))
    writer = runs.start(("a", "b"))

    async def work() -> None:
        a, b = writer.for_handler("a"), writer.for_handler("b")
        await a.aupsert("package", fetched(0))
        await b.aupsert("package", fetched(1))
        arrived = writer._barrier._round.arrived
        await cancelled_once(a.areconcile(1.0), lambda: "a" in arrived)
        other = asyncio.ensure_future(b.areconcile(1.0))
        while set(arrived) != {"b"}:
            await asyncio.sleep(0.01)
        assert not other.done()  # `a` may still send something
        await a.aupsert("package", fetched(2))
        assert list(await asyncio.gather(a.areconcile(1.0), other)) == [1, 1]

    run(work())
    assert names(sandbox) == ["0", "1", "2"]


def test_another_handler_deletes_if_the_one_that_does_is_cancelled() -> None:
    barrier = RunBarrier(["a"], CancelToken())
    mine, begun = CancelToken(), threading.Event()

    def endless(_share: float) -> int:
        begun.set()
        mine.sleep(SOON * 3, SystemClock())
        return 0

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(barrier.join, "a", 0.5, endless, mine)
        assert begun.wait(SOON)
        second = pool.submit(barrier.join, "b", 0.7, lambda share: int(share * 10))
        mine.cancel("the task was cancelled")
        with pytest.raises(Cancelled):
            first.result(SOON)
        assert not second.done()  # `a` may join again
        barrier.deregister("a")
        assert second.result(SOON) == 7


class Pages(ResyncHandler):
    """Sends pages as a coroutine, and is aborted by a newer request in its first run."""

    kinds = ("package",)

    async def resync(self, run: ResyncRun) -> None:
        await run.port.aupsert("package", fetched(*range(30)))
        run.progress(30)
        if run.reason != "again":
            await asyncio.sleep(SOON * 3)
        await run.port.areconcile()


def test_an_async_handler_needs_no_threads_of_its_own(sandbox: Sandbox) -> None:
    calm = {"type": "POLLING", "interval": 3600}
    with SandboxedSystem([Pages], sandbox=sandbox, eventListener=calm) as rig:
        rig.expect(RunProgressed)
        rig.system.request_resync("again", policy="abort")
        first, second = rig.expect(RunEnded), rig.expect(RunEnded)
    assert (first.status, first.written.upserted) == ("aborted", 30)
    assert (second.status, second.written.upserted) == ("completed", 30)
    assert second.written.reconciled
