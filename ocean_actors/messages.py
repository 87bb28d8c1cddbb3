"""The public events of an integration, and the values inside them.

Commands to and from the coordinator are in `resync/commands.py`, the gatekeeper's messages in
`resync/admission.py`, those of other actors with the actor.
"""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import ClassVar, Literal, Protocol, get_args

from ocean_actors.actors import Message, Query, Ref
from ocean_actors.checked import (
    check_types,
    check_word,
    checked_kinds,
    checked_parameters,
    checked_policy,
    make_lines,
)
from ocean_actors.frozen import FrozenDict
from ocean_actors.text import one_line

Status = Literal["completed", "failed", "aborted"]
"""How a run ended; the spelling of Port's resync state."""

Policy = Literal["abort", "drop", "queue", "ignore"]
"""What a request does to a run in flight; the values of `resync.onNewRequest`."""

Outcome = Literal["completed", "failed", "aborted", "ignored"]
"""How a request was settled: as the run that covered it ended, or not served.

`aborted` only if the run was aborted on request (`OceanSystem.abort`): otherwise the requests of a
run that is aborted wait for the next one. `ignored` under the policy `ignore`, or because an
actor decided so.
"""

Reception = Literal["accepted", "ignored", "refused"]
"""What the coordinator did with a request: refused means it is stopping."""


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
        """Returns the newer of the two by Port's time; this one if that cannot be told."""
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


# -- requests, and what is decided about them --------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ResyncRequested(Query[Reception]):
    """Somebody wants a resync. Asked (not told), the coordinator answers with a `Reception`.

    `trigger` names the listener. A later request of one trigger stands for its earlier ones:
    when a run has settled it, so are they. `policy` replaces `resync.onNewRequest` for this
    request. `correlation` is the listener's own: it comes back with `RequestSettled`. `kinds` are
    those to resync (default: all). `parameters`, which the handlers read, is JSON-like data that
    may contain dates and times.

    `reason` and `trigger` become one line of text, `kinds` a tuple, and `parameters` is frozen.
    Raises ValueError for an unknown policy, for empty `kinds` and for parameters that are nested
    too deeply, TypeError for kinds or parameters of another type.
    """

    reason: str
    trigger: str
    requested_at: datetime
    reply_to: Ref | None = None
    policy: Policy | None = None
    correlation: str | int | None = None
    kinds: tuple[str, ...] | None = None
    parameters: FrozenDict = field(default_factory=FrozenDict)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        """Check foreign values here, in the thread of whoever makes the request."""
        make_lines(self, "reason", "trigger")
        object.__setattr__(self, "policy", checked_policy(self.policy, get_args(Policy)))
        object.__setattr__(self, "kinds", checked_kinds(self.kinds))
        object.__setattr__(self, "parameters", checked_parameters(self.parameters))


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


@dataclass(frozen=True)
class Allow:
    """A decision: the request is taken."""


@dataclass(frozen=True)
class Delay:
    """A decision: the request is taken after so many seconds, and nobody is asked again.

    Raises ValueError unless `seconds` is a finite number that is not negative.
    """

    seconds: float

    def __post_init__(self) -> None:
        given: object = self.seconds
        try:
            seconds = float(given) if isinstance(given, int | float) else math.nan
        except OverflowError:
            seconds = math.inf
        if not 0 <= seconds <= LONGEST_DELAY:
            shown = one_line(given, 40)
            raise ValueError(f"seconds: expected a number from 0 to {LONGEST_DELAY:g}, got {shown}")
        object.__setattr__(self, "seconds", seconds)  # a subclass of float may define anything


@dataclass(frozen=True)
class Ignore:
    """A decision: the request is settled as ignored."""

    reason: str

    def __post_init__(self) -> None:
        make_lines(self, "reason")


Decision = Allow | Delay | Ignore
"""What a custom actor decides about a request before it is taken; see `Actor.decide`."""

LONGEST_DELAY = 366 * 86400.0  # seconds


@dataclass(frozen=True)
class RequestSettled(Message):
    """A request needs nothing more, nor (unless it was ignored) do earlier ones of its trigger.

    Told to `reply_to`, and published. A request that a stop leaves unserved is never settled:
    it is still owed.
    """

    request: ResyncRequested
    outcome: Outcome
    run_id: str | None

    def __post_init__(self) -> None:
        check_types(self, request=ResyncRequested)
        check_word(self, "outcome", get_args(Outcome))


# -- handlers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShardProgress:
    """How far a shard at work is: entities that it has yielded, and what it says itself.

    `done`, `total` and `message` are as in `Progress`, None where it has said nothing. `attempt`
    counts from 1.
    """

    name: str
    items: int = 0
    attempt: int = 1
    done: float | None = None
    total: float | None = None
    message: str | None = None


@dataclass(frozen=True)
class Progress:
    """How far a handler has come, in units of its own: finite numbers, and one line of text.

    For a `ShardedHandler`, `done` and `total` count shards, and `shards` are those at work.
    `shards` is None for other handlers.
    """

    handler: str
    done: float
    total: float | None = None
    message: str | None = None
    shards: tuple[ShardProgress, ...] | None = None


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
    thousand of the `failed`, so that memory stays bounded. `superseded` were left out, as a live
    event has written or deleted them during the run.
    """

    upserted: int = 0
    created: int = 0
    failed: int = 0
    failures: tuple[FailedEntity, ...] = ()
    superseded: int = 0


# -- the event stream ------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunInfo:
    """What is known of a run when its handlers start. `number` counts the runs of one process.

    `answers` is the newest resync request that Port had when it was asked for the run's config,
    where a listener needs it. `kinds` and `parameters` are what was asked for, `handlers` the
    names of those that work in the run, and `covered` counts the requests that it stands for.
    `partial`: not everything was asked for, so the run serves no change of the config and no
    request of Port that a listener has not told yet.
    """

    id: str
    number: int
    trigger: str
    reason: str
    requested_at: datetime
    started_at: datetime
    config: FrozenDict
    answers: PortRequest | None = None
    kinds: tuple[str, ...] = ()
    parameters: FrozenDict = field(default_factory=FrozenDict)
    handlers: tuple[str, ...] = ()
    partial: bool = False
    covered: int = 1


@dataclass(frozen=True)
class Written:
    """Entities that a run sent to Port, that Port or we refused, and that it deleted.

    `reconciled` says whether `reconcile` succeeded; None if no handler called it. `superseded`
    were left out, as a live event has written or deleted them during the run.
    """

    upserted: int = 0
    failed: int = 0
    deleted: int = 0
    reconciled: bool | None = None
    superseded: int = 0


@dataclass(frozen=True)
class _RunEvent(Message):
    """An event about `run`."""

    run: RunInfo

    def __post_init__(self) -> None:
        check_types(self, run=RunInfo)


@dataclass(frozen=True)
class RunStarted(_RunEvent):
    """A run's handlers are about to start."""


@dataclass(frozen=True)
class RunProgressed(_RunEvent):
    """A handler of the present run made progress."""

    progress: Progress

    def __post_init__(self) -> None:
        super().__post_init__()
        check_types(self, progress=Progress)


@dataclass(frozen=True)
class HandlerEnded(_RunEvent):
    """A handler's part of the present run is over.

    `status` is `aborted` if the run was aborted before, and `failed` if the handler raised.
    `written` has the handler's counts by blueprint.
    """

    handler: str
    status: Status
    ended_at: datetime
    written: tuple[tuple[str, Written], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_types(self, handler=str, ended_at=datetime, written=tuple)
        check_word(self, "status", get_args(Status))


@dataclass(frozen=True)
class RunEnded(_RunEvent):
    """A run is over: all its handlers returned or were fenced off."""

    status: Status
    ended_at: datetime
    failures: tuple[str, ...]
    written: Written

    def __post_init__(self) -> None:
        super().__post_init__()
        check_types(self, ended_at=datetime, failures=tuple, written=Written)
        check_word(self, "status", get_args(Status))


@dataclass(frozen=True)
class RunReported(Message):
    """Published: Port was told how a run ended, or (not `accepted`) refuses to be told.

    That may be long after `RunEnded` and, if Port answers at once, just before it.
    """

    run_id: str
    accepted: bool


@dataclass(frozen=True)
class LiveEventFailed(Message):
    """An event of the live handler at `path` was given up after `attempts`; it is not retried.

    `key` and `failure` are one line each.
    """

    path: str
    key: str
    attempts: int
    failure: str
    failed_at: datetime


@dataclass(frozen=True)
class RetryScheduled(Message):
    """Published: the failed run `run_id` is retried after `seconds`, unless a request comes first.

    `attempt` counts the retries in a row, from 1. The retry is a run of its own.
    """

    run_id: str
    seconds: float
    attempt: int


@dataclass(frozen=True)
class ResyncsPaused(Message):
    """Published: no run is started until `owner` resumes."""

    owner: str
    reason: str
    since: datetime


@dataclass(frozen=True)
class ResyncsResumed(Message):
    """Published: the pause of `owner` was lifted. `paused`: others still pause."""

    owner: str
    reason: str
    paused: bool


class Lease(Protocol):
    """The right to run resyncs, for as long as it is valid (as in client-go's leader election)."""

    def valid(self) -> bool:
        """Returns whether this instance still holds the role. Any thread may call it."""


@dataclass(frozen=True)
class RoleChanged(Message):
    """Published: this instance runs the resyncs from now on (active), or stands by.

    Published at the start as well, and told at once to actors that subscribe later or restart.
    `lease` says whether this instance still holds the role; None if it cannot be lost, and at the
    start.
    """

    retained: ClassVar[bool] = True

    active: bool
    lease: Lease | None = None


# -- the life of the system ------------------------------------------------------------------------


@dataclass(frozen=True)
class IntegrationRegistered(Message):
    """Port knows the integration and answers: the listeners may start."""

    snapshot: ConfigSnapshot

    def __post_init__(self) -> None:
        check_types(self, snapshot=ConfigSnapshot)


@dataclass(frozen=True)
class IntegrationMissing(Message):
    """Published by a listener: Port does not know the integration any more (404)."""


@dataclass(frozen=True)
class CoordinatorStopped(Message):
    """The coordinator has nothing in flight any more and will start nothing."""
