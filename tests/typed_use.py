"""What type checkers infer of the public names: `tox -e types` checks it, and nothing runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from typing_extensions import assert_type

from ocean_actors import (
    Actor,
    OceanSystem,
    ResyncHandler,
    ResyncRequested,
    ResyncRun,
    RunEnded,
    RunProgressed,
    UpsertResult,
    handles,
)
from ocean_actors.actors import CancelToken
from ocean_actors.session import CancellableSession


async def events(system: OceanSystem) -> None:
    """Iterators know their event."""
    async with system as entered:
        assert_type(entered, OceanSystem)
        async for event in system.events(RunEnded):
            assert_type(event, RunEnded)
            assert_type(event.failures, tuple[str, ...])
        iterator = await system.events(RunProgressed, limit=10)
        async for progressed in iterator:
            assert_type(progressed.progress.done, float)
        assert_type(await anext(system.events(RunEnded)), RunEnded)
        assert_type(iterator.dropped, int)


async def pages() -> AsyncIterator[dict[str, str]]:
    """Yields entities whose values have one type."""
    yield {"identifier": "1"}


class Pages(ResyncHandler):
    """Writes entities of several types."""

    async def resync(self, run: ResyncRun) -> None:
        assert_type(await run.port.aupsert("page", pages()), UpsertResult)
        assert_type(await run.port.aupsert("page", [{"identifier": "2"}]), UpsertResult)
        assert_type(await run.port.areconcile(max_share=1.0), int)
        assert_type(run.port.upsert("page", [{"identifier": "3", "title": None}]), UpsertResult)
        assert_type(run.port.reconcile(), int)


class Listener(Actor):
    """Uses what its context offers."""

    @handles(RunEnded)
    def on_run_ended(self, event: RunEnded) -> None:
        assert_type(self.context.unsettled(), tuple[ResyncRequested, ...])
        assert_type(self.context.token, CancelToken)
        assert_type(self.context.session, CancellableSession)
        self.context.request_resync(event.run.reason, parameters={"since": "2026-11-01"})
