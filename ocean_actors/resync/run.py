"""What a handler is given: its view of one run."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from ocean_actors.actors import Cancelled, CancelToken, Clock
from ocean_actors.log import LogContext, RunLogger, current_context, get_logger
from ocean_actors.messages import Progress, RunInfo, UpsertResult, Written
from ocean_actors.pauses import SharedPauses
from ocean_actors.rate_limit import RateLimiter, WaitTally
from ocean_actors.resync.work import Work
from ocean_actors.settings import Settings
from ocean_actors.tracing import RunTrace

if TYPE_CHECKING:
    from ocean_actors.session import CancellableSession


class ResyncAborted(Cancelled):
    """Raised in a handler whose run was aborted: let it pass. `reason` says why."""


class RunPort(Protocol):
    """Writes one handler's entities to Port; see `ocean_actors.port.entities` for the contract."""

    def upsert(
        self,
        blueprint: str,
        entities: Iterable[Mapping[str, object]],
        *,
        merge: bool | None = None,
        create_missing_related_entities: bool | None = None,
    ) -> UpsertResult:
        """Create or update entities."""

    def reconcile(self, max_share: float | None = None) -> int:
        """Delete what this integration owned and this run did not send; returns how many."""

    def mark_incomplete(self, reason: str) -> None:
        """Say that entities that exist may not be sent: `reconcile` is then refused."""

    async def aupsert(
        self,
        blueprint: str,
        entities: Iterable[Mapping[str, object]] | AsyncIterable[Mapping[str, object]],
        *,
        merge: bool | None = None,
        create_missing_related_entities: bool | None = None,
    ) -> UpsertResult:
        """Like `upsert`, but for coroutines."""

    async def areconcile(self, max_share: float | None = None) -> int:
        """Like `reconcile`, but for coroutines."""


class RunWriter(Protocol):
    """Writes the entities of one run, whichever handler sends them."""

    def for_handler(self, name: str) -> RunPort:
        """Returns the `run.port` of one handler."""

    def handler_finished(self, name: str, *, ok: bool) -> None:
        """Note that this handler sends nothing more; `ok` unless it failed."""

    def written(self) -> Written:
        """Returns the counts so far."""

    def written_by(self, handler: str) -> tuple[tuple[str, Written], ...]:
        """Returns one handler's counts so far, by blueprint."""

    def close(self) -> None:
        """Close the connections."""


class Sharding(Protocol):
    """Has the workers of a system do shards."""

    def resync(self, handler: object, run: ResyncRun) -> None:
        """Do the shards of a handler, a `ShardedHandler`; raises what fails the run."""


class ResyncRun(Work[Progress]):
    """One handler's view of a run.

    For the handler's own thread, and for threads that it starts and joins itself.
    """

    def __init__(
        self,
        info: RunInfo,
        handler: str,
        token: CancelToken,
        clock: Clock,
        port: RunPort,
        report: Callable[[Progress], None],
        settings: Settings,
        *,
        trace: RunTrace | None = None,
        limiter: RateLimiter | None = None,
        pauses: SharedPauses | None = None,
        waits: WaitTally | None = None,
        sharding: Sharding | None = None,
    ) -> None:
        context = LogContext(current_context().integration, info.id, info.trigger, handler)
        logger = RunLogger(get_logger(f"ocean_actors.run.{handler}"), context)
        super().__init__(info, settings, token, clock, logger, report, port.mark_incomplete)
        self.handler = handler
        """The handler's name, as `status()` shows it."""
        self.begun = False
        """Whether the handler's actor has begun with this run."""
        self.port = port
        self.fenced = CancelToken(ResyncAborted)
        """Cancelled if the handler is fenced off, as it did not return in time."""
        self.trace = trace
        self.waits = waits or WaitTally()
        """How long the calls of `session` waited for the rate limit of the run or of a server."""
        self.limiter = limiter or RateLimiter(clock)
        """What `session.limit` limits: the calls of all handlers of the run."""
        self._pauses = pauses or SharedPauses()
        self.sharding = sharding
        """Has workers do the shards of a `ShardedHandler`."""

    @property
    def id(self) -> str:
        """The run's id, unique for all time; sent to Port as `ocean_info_resync_id`."""
        return self.info.id

    @property
    def reason(self) -> str:
        """The reason of the newest request that this run covers; one line."""
        return self.info.reason

    @property
    def trigger(self) -> str:
        """The name of the listener that made this request."""
        return self.info.trigger

    @property
    def requested_at(self) -> datetime:
        """When this request was made (UTC)."""
        return self.info.requested_at

    @property
    def started_at(self) -> datetime:
        """When the handlers were started (UTC)."""
        return self.info.started_at

    def open_session(self, token: CancelToken) -> CancellableSession:
        """Returns another session of this run, which `token` ends; close it."""
        from ocean_actors.session import CancellableSession

        return CancellableSession(
            token,
            clock=self._clock,
            strict=self.settings.ssl.third_party.x509.strict,
            limiter=self.limiter,
            pauses=self._pauses,
            waits=self.waits,
        )

    def note_kinds(self, kinds: Iterable[str]) -> None:
        """Log a warning for kinds that the mapping does not have, if it has any."""
        if self._mapping.kinds:
            self._mapping.require_kinds(kinds)

    def report(self, progress: Progress) -> None:
        """Report progress as it is; see `progress`."""
        self._reports.report(progress)

    def _open_session(self) -> CancellableSession:
        return self.open_session(self.token)

    def _report_of(self, done: float, total: float | None, message: str | None) -> Progress:
        return Progress(self.handler, done, total, message)

    def __repr__(self) -> str:
        return f"<ResyncRun {self.id}: {self.reason}>"
