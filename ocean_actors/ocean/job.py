"""One resync that the child runs, between the handler that wants it and the actor of the child."""

from __future__ import annotations

from dataclasses import dataclass
from queue import SimpleQueue

from ocean_actors.actors import Message
from ocean_actors.messages import Status
from ocean_actors.ocean.protocol import RunCounts


@dataclass(frozen=True)
class AbortWanted:
    """The run was aborted."""


@dataclass(frozen=True)
class JobEnded:
    """The resync is over; the handler is told nothing after this. `failure` is one line."""

    status: Status
    failure: str | None = None


class OceanJob:
    """A resync for run `number`. The handler's thread reads `events`; any thread may put some."""

    def __init__(self, number: int, run_id: str, trigger: str) -> None:
        self.number = number
        self.run_id = run_id
        self.trigger = trigger
        self.events: SimpleQueue[RunCounts | AbortWanted | JobEnded] = SimpleQueue()


@dataclass(frozen=True)
class StartJob(Message):
    """To the actor of the child: run this resync as soon as there is a child."""

    job: OceanJob


@dataclass(frozen=True)
class AbortJob(Message):
    """To the actor of the child: cancel this resync, and kill the child if that does not end it."""

    job: OceanJob
