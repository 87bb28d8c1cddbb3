"""Every message that passes between the actors of an integration, and the values inside."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal, Protocol, get_args

import pykka

from ocean_actors.actors import Message, Ref
from ocean_actors.frozen import FrozenDict
from ocean_actors.text import one_line

Status = Literal["completed", "failed", "aborted"]
"""How a run ended; the spelling of Port's resync state."""

Policy = Literal["abort", "drop", "queue", "ignore"]
"""What a request does to a run in flight; the values of `resync.onNewRequest`."""

Outcome = Literal["completed", "failed", "ignored"]
"""How a request was settled: as the run that covered it ended, or not served under `ignore`."""


@dataclass(frozen=True)
class ConfigSnapshot:
    """The integration's config (the mapping in Port) and Port's own time of its last change."""

    config: FrozenDict
    updated_at: datetime | None = None

    def __post_init__(self) -> None:
        """Raise TypeError in the thread of whoever makes a snapshot that cannot be used.

        A time without a zone is taken as UTC.
        """
        if not isinstance(self.config, FrozenDict):
            raise TypeError("config: expected a FrozenDict, as ocean_actors.frozen.freeze makes it")
        moment: object = self.updated_at
        if not isinstance(moment, datetime | None):
            raise TypeError(f"updated_at: expected a datetime or None, got {one_line(moment, 40)}")
        if moment is not None and moment.utcoffset() is None:
            object.__setattr__(self, "updated_at", moment.replace(tzinfo=timezone.utc))

    def newer(self, other: ConfigSnapshot | None) -> ConfigSnapshot:
        """The newer of the two by Port's time; this one if that cannot be told."""
        if other is None or self.updated_at is None or other.updated_at is None:
            return self
        return self if self.updated_at >= other.updated_at else other


@dataclass(frozen=True)
class PortRequest:
    """The newest resync request that Port has, by Port's own id and time.

    Two of them are the same request only if both are equal: Port's clock may be set back.
    """

    id: str | None = None
    updated_at: datetime | None = None


# -- listener to coordinator, and back ---------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ResyncRequested(Message):
    """Somebody wants a resync. Asked (not told), the coordinator answers with a `Reception`.

    `trigger` names the listener. A later request of one trigger stands for its earlier ones:
    when a run has settled it, so are they. `policy` replaces `resync.onNewRequest` for this
    request. `correlation` is the listener's own: it comes back with `RequestSettled`.

    `reason` and `trigger` become one line of text. Raises ValueError for an unknown policy.
    """

    reason: str
    trigger: str
    requested_at: datetime
    reply_to: Ref | None = None
    policy: Policy | None = None
    correlation: str | int | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        """Check foreign values here, in the thread of whoever makes the request."""
        if self.policy is not None and self.policy not in get_args(Policy):
            known = ", ".join(get_args(Policy))
            given = one_line(self.policy, 40)
            raise ValueError(f"policy: expected one of {known}, or None, got {given!r}")
        object.__setattr__(self, "reason", one_line(self.reason))
        object.__setattr__(self, "trigger", one_line(self.trigger))


@dataclass(frozen=True, kw_only=True)
class ConfigUpdated(ResyncRequested):
    """The integration's config changed. `snapshot`: only from a source that proved itself."""

    snapshot: ConfigSnapshot | None = None

    def __post_init__(self) -> None:
        """Check foreign values here, in the thread of whoever makes the request."""
        super().__post_init__()
        given: object = self.snapshot
        if not isinstance(given, ConfigSnapshot | None):
            raise TypeError(f"snapshot: expected a ConfigSnapshot, got {one_line(given, 40)}")


Reception = Literal["accepted", "ignored", "refused"]
"""What the coordinator did with a request: refused means it is stopping."""


@dataclass(frozen=True)
class RequestSettled(Message):
    """A request needs nothing more, nor (unless it was ignored) do earlier ones of its trigger.

    Told to `reply_to`, and published. A request that a stop leaves unserved is never settled:
    it is still owed.
    """

    request: ResyncRequested
    outcome: Outcome
    run_id: str | None


# -- coordinator and the actor that speaks to Port -----------------------------------------------


@dataclass(frozen=True)
class FetchConfig(Message):
    """Run `number` is about to start: ask Port for the config and answer `ConfigFetched`."""

    number: int
    reply_to: Ref


@dataclass(frozen=True)
class ConfigFetched(Message):
    """The newest config that is to be had for run `number`.

    `fresh` says that Port was asked for this run; otherwise this is the last known config, as Port
    did not answer. `answers` is the newest resync request that Port has, where a listener needs
    it: the run starts later, so it answers that request.
    """

    number: int
    snapshot: ConfigSnapshot
    answers: PortRequest | None = None
    fresh: bool = True


# -- handlers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """How far a handler has come, in units of its own: finite numbers, and one line of text."""

    handler: str
    done: float
    total: float | None = None
    message: str | None = None


@dataclass(frozen=True)
class FailedEntity:
    """An entity that was not written. `status` is Port's HTTP status, None if it was not sent.

    `error` and `message` are one line each.
    """

    identifier: str
    status: int | None
    error: str
    message: str


@dataclass(frozen=True)
class UpsertResult:
    """Counts of the entities of one `run.port.upsert`.

    `upserted` were written, and `created` of them are new in Port. `failures` describes the first
    thousand of the `failed`, so that memory stays bounded.
    """

    upserted: int = 0
    created: int = 0
    failed: int = 0
    failures: tuple[FailedEntity, ...] = ()


# -- the event stream ------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunInfo:
    """What is known of a run when its handlers start. `number` counts the runs of one process.

    `answers`: see `ConfigFetched`.
    """

    id: str
    number: int
    trigger: str
    reason: str
    requested_at: datetime
    started_at: datetime
    config: FrozenDict
    answers: PortRequest | None = None


@dataclass(frozen=True)
class Written:
    """Entities that a run sent to Port, that Port or we refused, and that it deleted."""

    upserted: int = 0
    failed: int = 0
    deleted: int = 0


@dataclass(frozen=True)
class RunStarted(Message):
    """A run's handlers are about to start."""

    run: RunInfo


@dataclass(frozen=True)
class RunProgressed(Message):
    """A handler of the present run came further."""

    run: RunInfo
    progress: Progress


@dataclass(frozen=True)
class RunEnded(Message):
    """A run is over: all its handlers returned or were fenced off."""

    run: RunInfo
    status: Status
    ended_at: datetime
    failures: tuple[str, ...]
    written: Written


class Lease(Protocol):
    """The right to run resyncs, for as long as it is valid (as in client-go's leader election)."""

    def valid(self) -> bool:
        """Returns whether this instance still holds the role. Any thread may call it."""


@dataclass(frozen=True)
class SetRole(Message):
    """To the coordinator: run the resyncs (active), or stand by while another instance does.

    When the role is lost, the run in flight is aborted and nothing more of it is reported. The
    pending requests of `source`, the listener's name, are then dropped, as the instance that
    becomes active is given them. `lease`, checked before each report, says whether this instance
    still holds the role; None if it cannot be lost.
    """

    active: bool
    source: str | None = None
    lease: Lease | None = None


@dataclass(frozen=True)
class RoleChanged(Message):
    """Published: this instance runs the resyncs from now on (active), or stands by."""

    active: bool
    lease: Lease | None = None


# -- the life of the system ------------------------------------------------------------------------


@dataclass(frozen=True)
class IntegrationRegistered(Message):
    """Port knows the integration and answers: the listeners may start."""

    snapshot: ConfigSnapshot


@dataclass(frozen=True)
class IntegrationMissing(Message):
    """Published by a listener: Port does not know the integration any more (404)."""


@dataclass(frozen=True)
class StopResyncs(Message):
    """To the coordinator: abort the run in flight and take no more requests.

    Once nothing is in flight any more, `CoordinatorStopped` is published and `stopped` is set.
    """

    stopped: pykka.Future[None] | None = None


@dataclass(frozen=True)
class GetStatus(Message):
    """To the coordinator: answer what runs, what waits and what ran, as plain data."""


@dataclass(frozen=True)
class CoordinatorStopped(Message):
    """The coordinator has nothing in flight any more and will start nothing."""
