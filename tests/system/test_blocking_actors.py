"""Custom actors that block, and that ask which of their requests are not settled."""

from __future__ import annotations

import functools
import itertools
import queue
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ocean_actors import (
    Actor,
    Allow,
    Cancelled,
    Delay,
    IntegrationRegistered,
    Message,
    RequestSettled,
    ResyncHandler,
    ResyncRequested,
    ResyncRun,
    RetryScheduled,
    RunEnded,
    RunStarted,
    handles,
)
from ocean_actors.testing import SandboxedSystem

SOON = 30
CALM = {"type": "POLLING", "interval": 3600}


@dataclass(frozen=True)
class Crash(Message):
    """Fail."""


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


class Streaming(Actor):
    """Reads from a third-party system, once its first life has failed."""

    def __init__(self, url: str, said: queue.Queue[str], lives: Iterator[int]) -> None:
        super().__init__()
        self._url = url
        self._said = said
        self._life = next(lives)

    def on_start(self) -> None:
        if self._life == 1:
            raise OSError("a bad start")
        self._said.put("calls")
        try:
            self.context.session.get(self._url)
        except Cancelled:
            self._said.put("cancelled")
            raise


def test_an_actor_that_is_blocked_in_a_call_ends_at_the_stop(
    quick: type[ResyncHandler], silent: str
) -> None:
    said: queue.Queue[str] = queue.Queue()
    actor = functools.partial(Streaming, silent, said, itertools.count(1))
    with SandboxedSystem([quick], [actor], eventListener=CALM) as rig:
        assert said.get(timeout=SOON) == "calls"
        assert rig.system.stop()
        assert said.get_nowait() == "cancelled"
        assert rig.system.status()["leftBehind"] == []


class Asking(Actor):
    """Requests a resync, and says at each start what is unsettled.

    It fails once `decided` has an item, which `Deciding` adds, for each of its requests.
    """

    subscribes_to = (RunStarted,)

    def __init__(self, said: queue.Queue[Any], decided: queue.Queue[str] | None) -> None:
        super().__init__()
        self._said = said
        self._decided = decided

    def on_start(self) -> None:
        self._said.put(self.context.unsettled())

    @handles(RunStarted)
    def on_run_started(self, event: RunStarted) -> None:
        if event.run.trigger == "manual":
            self.context.request_resync("one", notify=True, correlation=7, policy="queue")
            self.context.request_resync("two", notify=True, correlation=8, policy="queue")
            if self._decided is not None:
                assert {self._decided.get(timeout=SOON) for _ in range(2)} == {"one", "two"}
            raise OSError("forgets what it requested")

    @handles(RequestSettled)
    def on_settled(self, settled: RequestSettled) -> None:
        self._said.put((settled.request.correlation, self.context.unsettled()))


class Deciding(Actor):
    """Delays what `Asking` requests."""

    def __init__(self, seconds: float, decided: queue.Queue[str]) -> None:
        super().__init__()
        self._seconds = seconds
        self._decided = decided

    def decide(self, request: ResyncRequested) -> Allow | Delay:
        if request.trigger != "Asking":
            return Allow()
        self._decided.put(request.reason)
        return Delay(self._seconds)


@pytest.mark.parametrize("delay", [None, 2.0])
def test_an_actor_learns_after_a_restart_what_is_unsettled(delay: float | None) -> None:
    released = threading.Event()

    class Held(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            if run.trigger == "manual":
                released.wait(SOON)

    said: queue.Queue[Any] = queue.Queue()
    decided: queue.Queue[str] | None = None
    deciders = []
    if delay is not None:
        decided = queue.Queue()
        deciders = [functools.partial(Deciding, delay, decided)]
    asking = functools.partial(Asking, said, decided)
    with SandboxedSystem([Held], [asking, *deciders], eventListener=CALM) as rig:
        assert said.get(timeout=SOON) == ()
        rig.expect(RunEnded)
        rig.system.request_resync()
        (unsettled,) = said.get(timeout=SOON)
        released.set()
        assert (unsettled.reason, unsettled.correlation, unsettled.trigger) == ("two", 8, "Asking")
        assert said.get(timeout=SOON) == (8, ())


class RetriedOnce(ResyncHandler):
    """Fails in the first run."""

    def resync(self, run: ResyncRun) -> None:
        if run.info.number == 1:
            raise LookupError("not yet")


def test_the_registration_and_a_retry_are_published() -> None:
    retry = {"retry": {"attempts": 2, "backoff": 0.1}}
    with SandboxedSystem([RetriedOnce], eventListener=CALM, resync=retry) as rig:
        registered = rig.expect(IntegrationRegistered)
        assert dict(registered.snapshot.config) == {}
        failed = rig.expect(RunEnded)
        assert rig.expect(RetryScheduled) == RetryScheduled(failed.run.id, 0.1, 1)
        assert rig.expect(RunEnded).status == "completed"
