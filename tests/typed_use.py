"""What type checkers infer of the public names: `tox -e types` checks it, and nothing runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pykka
from typing_extensions import assert_type

from ocean_actors import (
    Actor,
    Live,
    LiveCall,
    LiveHandler,
    Message,
    OceanSystem,
    ResyncHandler,
    ResyncRequested,
    ResyncRun,
    RunEnded,
    RunProgressed,
    UpsertResult,
    handles,
)
from ocean_actors.actors import ActorSystem, CancelToken, Query, Ref
from ocean_actors.live.handler import LivePort
from ocean_actors.messages import Reception
from ocean_actors.session import CancellableSession
from ocean_actors.web.wsgi import WsgiApp

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


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


class Tickets(LiveHandler):
    """Writes what a call is about."""

    path = "tickets"

    def handle(self, call: LiveCall, live: Live) -> None:
        """Entities may have values of one type, or of several."""
        assert_type(live.port, LivePort)
        ticket: dict[str, str] = {"identifier": call.path}
        assert_type(live.port.upsert("ticket", [ticket]), UpsertResult)
        assert_type(live.port.upsert("ticket", [{"identifier": "1", "title": None}]), UpsertResult)
        assert_type(live.port.delete("ticket", ["1", 2]), int)


@dataclass(frozen=True)
class GetMean(Query[float]):
    """A question with a type of its answer."""


@dataclass(frozen=True)
class Sample(Message):
    """A message without an answer."""

    value: float


def asked_and_stopped(system: ActorSystem, request: ResyncRequested) -> None:
    """References know the types of answers."""
    ref = system.spawn(Listener, name="listener")
    assert_type(ref, Ref)
    assert_type(ref.ask(GetMean()), float)
    assert_type(ref.ask(GetMean(), timeout=1.0), float)
    assert_type(ref.ask(GetMean(), block=False), pykka.Future[float])
    assert_type(ref.ask(request), Reception)
    ref.tell(Sample(1.0))
    assert_type(ref.stop(), bool)
    assert_type(ref.stop(timeout=None), bool)
    assert_type(ref.stop(block=False), pykka.Future[bool])


def mounted(system: OceanSystem, foreign: WSGIApplication) -> tuple[WSGIApplication, WsgiApp]:
    """The application fits where the standard library's type is asked for, and the reverse."""
    assert_type(system.wsgi_app, WsgiApp)
    return system.wsgi_app, foreign


class Everything(Actor):
    """Takes each message itself."""

    def on_receive(self, message: Message) -> object:
        """It is a message for certain; the answer may be anything."""
        answer = super().on_receive(message)
        assert_type(answer, object)
        return answer
