"""A system in a program that runs an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ocean_actors import OceanSystem, ResyncHandler, ResyncRun, RoleChanged, RunEnded, RunStarted
from ocean_actors.actors import ActorSystem, Message
from ocean_actors.actors.event_iterator import EventIterators
from ocean_actors.actors.in_thread import in_thread, uninterrupted
from ocean_actors.messages import CoordinatorStopped
from ocean_actors.sandbox import Sandbox
from ocean_actors.settings import Settings
from ocean_actors.testing import Probe
from ocean_actors.testing.sandboxed import port_of

SOON = 30  # seconds
T = TypeVar("T")
Make = Callable[..., OceanSystem]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make systems that poll a sandbox."""
    systems: list[OceanSystem] = []
    with Sandbox() as sandbox:

        def build(
            handler: type[ResyncHandler], kind: type[OceanSystem] = OceanSystem, **settings: Any
        ) -> OceanSystem:
            given = {
                "port": port_of(sandbox),
                "integration": {"identifier": "loop"},
                "eventListener": {"type": "POLLING", "interval": 3600},
                **settings,
            }
            systems.append(kind(Settings.from_dict(given, {}), [handler]))
            return systems[-1]

        yield build
        for system in systems:
            system.stop()


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 3 * SOON))


def is_stopped(system: OceanSystem) -> bool:
    stopped: bool = system.status()["stopped"]
    return stopped


def test_a_system_starts_tells_its_events_and_stops(make: Make, quick: type[ResyncHandler]) -> None:
    async def work() -> list[str]:
        async with make(quick) as system:
            told: list[RunEnded] = []
            async for event in system.events(RunEnded):
                told.append(event)
                if len(told) == 2:
                    break
                system.request_resync("again")
            assert not is_stopped(system)
        assert is_stopped(system)
        return [event.run.reason for event in told]

    assert run(work())[1] == "again"


def test_the_page_runs_as_it_stands_there(make: Make, quick: type[ResyncHandler]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "asyncio.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/asyncio.md", "exec"), names)  # noqa: S102  (our own page)
    assert run(names["follow"](make(quick)))[-1].endswith(": completed")


def test_neither_the_start_nor_the_stop_blocks_the_event_loop(
    make: Make, quick: type[ResyncHandler]
) -> None:
    turned: list[bool] = []
    loop = asyncio.new_event_loop()

    def wait_for_the_loop() -> None:
        turn = threading.Event()
        loop.call_soon_threadsafe(turn.set)
        turned.append(turn.wait(SOON))

    class Waiting(OceanSystem):
        def start(self) -> None:
            wait_for_the_loop()
            super().start()

        def stop(self) -> bool:
            if loop.is_running():
                wait_for_the_loop()
            return super().stop()

    async def work() -> None:
        async with make(quick, Waiting):
            pass

    with contextlib.closing(loop):
        loop.run_until_complete(work())
    assert turned == [True, True]


def test_what_is_raised_inside_passes_and_the_system_stops(
    make: Make, quick: type[ResyncHandler]
) -> None:
    system = make(quick)

    async def work() -> None:
        async with system:
            raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        run(work())
    assert is_stopped(system)


def test_a_start_that_fails_is_raised(make: Make, quick: type[ResyncHandler]) -> None:
    system = make(quick)

    async def work() -> None:
        async with system:
            pass
        async with system:
            raise AssertionError("it started twice")

    with pytest.raises(RuntimeError, match="starts once"):
        run(work())


def test_a_cancellation_stops_the_system_and_waits_for_its_end(make: Make) -> None:
    aborted, go_on = threading.Event(), threading.Event()

    class Deaf(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            run.token.on_cancel(aborted.set)
            go_on.wait(SOON)
            run.check()

    system = make(Deaf)

    async def work() -> None:
        started = system.events(RunStarted)

        async def inside() -> None:
            async with system:
                await asyncio.sleep(SOON * 3)

        task = asyncio.create_task(inside())
        await anext(started)
        task.cancel()
        assert await asyncio.to_thread(aborted.wait, SOON)
        task.cancel()  # once more, during the stop
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert is_stopped(system)

    run(work())


def test_a_cancellation_of_the_start_leaves_nothing_running(
    make: Make, quick: type[ResyncHandler]
) -> None:
    system = make(quick)

    async def work() -> None:
        task = asyncio.create_task(system.__aenter__())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert is_stopped(system)

    run(work())


def test_a_system_stops_although_no_thread_can_be_started_to_wait_for_its_end(
    make: Make, quick: type[ResyncHandler], monkeypatch: pytest.MonkeyPatch
) -> None:
    system = make(quick)
    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        if thread.name == "in-thread":
            raise RuntimeError("can't start new thread")
        start(thread)

    async def work() -> None:
        async with system:
            monkeypatch.setattr(threading.Thread, "start", fail)

    with pytest.raises(RuntimeError, match="can't start new thread"):
        run(work())
    assert system.wait(SOON)


def test_an_iterator_ends_with_the_system_after_its_last_event(
    make: Make, quick: type[ResyncHandler]
) -> None:
    async def work() -> None:
        system = make(quick)
        events = await system.events(RoleChanged, RunEnded, CoordinatorStopped)
        async with system:
            assert isinstance(await anext(events), RoleChanged)
            assert isinstance(await anext(events), RunEnded)
            waiting = asyncio.ensure_future(anext(system.events(RunStarted), None))
            await asyncio.sleep(0)
        assert await waiting is None
        assert [type(event) for event in [each async for each in events]] == [CoordinatorStopped]
        assert [each async for each in system.events(RunEnded)] == []

    run(work())


class News(Message):
    """Something happened."""


def news(system: ActorSystem, count: int = 1) -> list[News]:
    told = [News() for _ in range(count)]
    for each in told:
        system.events.publish(each)
    return told


@pytest.fixture
def actors() -> Iterator[ActorSystem]:
    system = ActorSystem()
    yield system
    system.stop()


def test_the_oldest_events_are_dropped_and_counted(
    actors: ActorSystem, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        iterators = EventIterators(actors.events)
        events = iterators.open((News,), 3)
        told = news(actors, 10)
        iterators.end()
        read = [each async for each in events]
        assert [id(each) for each in read] == [id(each) for each in told[-3:]]
        assert events.dropped == 7

    run(work())
    texts = [record.getMessage() for record in caplog.records]
    assert texts == ["an iterator over News has 3 events waiting: the oldest are dropped"]


def test_closing_and_forgetting_end_the_subscription(actors: ActorSystem) -> None:
    async def work() -> None:
        iterators = EventIterators(actors.events)
        async with iterators.open((News,), 9) as events:
            news(actors)
            assert len(actors.events) == 1
        assert len(actors.events) == 0
        assert await anext(events, None) is None
        waited = iterators.open((News,), 9)
        waiting = asyncio.ensure_future(anext(waited, None))
        await asyncio.sleep(0)
        await waited.aclose()
        assert await waiting is None
        forgotten = iterators.open((News,), 9)
        del forgotten
        gc.collect()
        news(actors)
        assert len(actors.events) == 0

    run(work())


def test_tasks_of_several_event_loops_share_the_events(actors: ActorSystem) -> None:
    iterators = EventIterators(actors.events)
    events = iterators.open((News,), 1000)
    read: list[News] = []

    async def reads() -> None:
        async def one() -> None:
            async for each in events:
                read.append(each)

        await asyncio.gather(one(), one())

    threads = [threading.Thread(target=asyncio.run, args=(reads(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    told = news(actors, 300)
    iterators.end()
    for thread in threads:
        thread.join(SOON)
        assert not thread.is_alive()
    assert sorted(map(id, read)) == sorted(map(id, told))


def test_a_cancelled_reader_takes_no_event_with_it(actors: ActorSystem) -> None:
    async def work() -> None:
        events = EventIterators(actors.events).open((News,), 9)
        reader = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        (told,) = news(actors)
        reader.cancel()
        await asyncio.wait((reader,))
        assert reader.cancelled()
        assert await anext(events) is told

    run(work())


def test_a_loop_that_was_closed_disturbs_no_publisher(actors: ActorSystem) -> None:
    events = EventIterators(actors.events).open((News,), 9)
    loop = asyncio.new_event_loop()
    task = loop.create_task(events.__anext__())
    loop.run_until_complete(asyncio.sleep(0))
    loop._ready.clear()  # type: ignore[attr-defined]  # it is closed with a task that waits
    loop.close()
    probe = Probe(actors).subscribe(News)
    (told,) = news(actors)
    assert probe.expect(News) is told
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # on purpose


@pytest.mark.parametrize(
    ("given", "error"),
    [((), "at least one event class"), ((int,), "expected event classes"), ((3,), "got 3")],
)
def test_what_is_no_event_class_is_told(
    make: Make, quick: type[ResyncHandler], given: Any, error: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        make(quick).events(*given)
    with pytest.raises(ValueError, match="limit: expected at least 1"):
        make(quick).events(RunEnded, limit=0)


def test_a_call_in_a_thread_raises_where_it_is_awaited() -> None:
    def stops() -> None:
        raise StopIteration

    async def work() -> None:
        with pytest.raises(ZeroDivisionError):
            await in_thread(lambda: 1 / 0)
        with pytest.raises(RuntimeError, match="raised StopIteration"):
            await in_thread(stops)
        with pytest.raises(ZeroDivisionError):
            await uninterrupted(lambda: 1 / 0)

    run(work())
