"""What the coordinator is told and asked, and what it asks of the actor that speaks to Port."""

from __future__ import annotations

from dataclasses import dataclass

import pykka

from ocean_actors.actors import Message, Query, Ref
from ocean_actors.checked import make_lines
from ocean_actors.messages import ConfigSnapshot, Lease, PortRequest, ResyncRequested


@dataclass(frozen=True)
class AbortResync(Query[bool]):
    """To the coordinator: abort the run in flight; its requests are settled as aborted.

    The coordinator answers whether a run was aborted.
    """

    reason: str

    def __post_init__(self) -> None:
        make_lines(self, "reason")


@dataclass(frozen=True)
class PauseResyncs(Message):
    """To the coordinator: start no run until `owner` resumes; requests are taken and wait.

    The run in flight finishes. With `abort` it is aborted, and its requests wait as well.
    """

    owner: str
    reason: str
    abort: bool = False

    def __post_init__(self) -> None:
        make_lines(self, "owner", "reason")


@dataclass(frozen=True)
class ResumeResyncs(Message):
    """To the coordinator: lift the pause of `owner`. No effect if it has none."""

    owner: str
    reason: str

    def __post_init__(self) -> None:
        make_lines(self, "owner", "reason")


@dataclass(frozen=True)
class SetRole(Message):
    """To the coordinator: run the resyncs (active), or stand by while another instance does.

    When the role is lost, the run in flight is aborted and nothing more of it is reported. The
    pending requests of the triggers `sources` are then dropped, as the instance that becomes
    active is given them. `lease`, checked before each report, says whether this instance
    still holds the role; None if it cannot be lost.
    """

    active: bool
    sources: tuple[str, ...] = ()
    lease: Lease | None = None


@dataclass(frozen=True)
class StopResyncs(Message):
    """To the coordinator: abort the run in flight and take no more requests.

    Once nothing is in flight any more, `CoordinatorStopped` is published and `stopped` is set.
    """

    stopped: pykka.Future[None] | None = None


@dataclass(frozen=True)
class GetUnsettled(Query[tuple[ResyncRequested, ...]]):
    """To the coordinator or the gatekeeper: answer with the requests of `trigger` that it has.

    The oldest comes first. Only the coordinator settles them.
    """

    trigger: str


@dataclass(frozen=True)
class GetStatus(Query[dict[str, object]]):
    """To the coordinator: answer with what runs, what waits and what ran, as plain data."""


@dataclass(frozen=True)
class FetchConfig(Message):
    """Run `number` is about to start: ask Port for the config and answer `ConfigFetched`."""

    number: int
    reply_to: Ref
    run_id: str


@dataclass(frozen=True)
class ConfigFetched(Message):
    """The newest config that is available for run `number`.

    `fresh` says that Port was asked for this run; otherwise this is the last known config, as Port
    did not answer. `answers` is the newest resync request that Port has, where a listener needs
    it: the run starts later, so it answers that request.
    """

    number: int
    snapshot: ConfigSnapshot
    answers: PortRequest | None = None
    fresh: bool = True
