"""What a handler is given: its view of one run."""

from __future__ import annotations

import math
import threading
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

from ocean_actors.actors import Cancelled, CancelToken, Clock
from ocean_actors.frozen import FrozenDict
from ocean_actors.log import LogContext, RunLogger, current_context, get_logger
from ocean_actors.mapping.resources import PortMapping, Resource
from ocean_actors.messages import Progress, RunInfo, UpsertResult, Written
from ocean_actors.pauses import SharedPauses
from ocean_actors.rate_limit import RateLimiter, WaitTally
from ocean_actors.resync.paced import PacedReports
from ocean_actors.settings import Settings
from ocean_actors.text import one_line
from ocean_actors.tracing import RunTrace

if TYPE_CHECKING:
    from ocean_actors.session import CancellableSession

Item = TypeVar("Item")

LARGEST_COUNT = 2**63 - 1


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
        """As `upsert`, for coroutines."""

    async def areconcile(self, max_share: float | None = None) -> int:
        """As `reconcile`, for coroutines."""


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


class ResyncRun:
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
        self.info = info
        self.handler = handler
        """The handler's name, as `status()` shows it."""
        self.begun = False
        """Whether the handler's actor has begun with this run."""
        self.port = port
        self.settings = settings
        """The settings of the system, immutable; the handlers' own are `integration.config`."""
        self.token = token
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
        context = LogContext(current_context().integration, info.id, info.trigger, handler)
        self._logger = RunLogger(get_logger(f"ocean_actors.run.{handler}"), context)
        self._clock = clock
        self._reports = PacedReports(clock, report)
        self._session: CancellableSession | None = None
        self._session_lock = threading.Lock()  # the handler's threads may ask at the same time
        self._mapping = PortMapping(info.config, token, clock, self._logger, port.mark_incomplete)

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
    def config(self) -> FrozenDict:
        """The integration's config as Port holds it, deeply immutable."""
        return self.info.config

    @property
    def requested_at(self) -> datetime:
        """When this request was made (UTC)."""
        return self.info.requested_at

    @property
    def started_at(self) -> datetime:
        """When the handlers were started (UTC)."""
        return self.info.started_at

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that were asked for; by default all that the handlers declare."""
        return self.info.kinds

    @property
    def parameters(self) -> FrozenDict:
        """What was asked for beside the kinds, deeply immutable; empty by default."""
        return self.info.parameters

    @property
    def logger(self) -> RunLogger:
        """The logger `ocean_actors.run.<handler>`; its lines carry this run in any thread.

        In the handler's own thread and its tasks, the lines of every logger carry it; see
        `ocean_actors.log.ContextFilter`.
        """
        return self._logger

    @property
    def aborted(self) -> bool:
        """Whether the run was aborted; nothing that the handler still does will count."""
        return self.token.cancelled

    @property
    def session(self) -> CancellableSession:
        """A `requests.Session` of this handler in this run, for the third system's API.

        Its calls have time-outs and retries, and raise ResyncAborted as soon as the run is
        aborted, also while they wait for an answer. There is one session for all threads of the
        handler. Several threads may send calls with it; set its headers before they start. Its
        `limit` holds for all handlers of the run.
        """
        with self._session_lock:
            if self._session is None:
                self._session = self.open_session(self.token)
            return self._session

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

    def resources(self, kind: str) -> tuple[Resource, ...]:
        """Returns the entries of Port's mapping (`config["resources"]`) for a kind.

        With the extra `ocean-actors[jq]`, `resource.entities(items)` evaluates one. If the
        mapping does not have the kind, that is logged as a warning, and the result is empty.
        """
        return self._mapping.resources(kind)

    def note_kinds(self, kinds: Iterable[str]) -> None:
        """Log a warning for kinds that the mapping does not have, if it has any."""
        if self._mapping.kinds:
            self._mapping.require_kinds(kinds)

    def check(self) -> None:
        """Raises ResyncAborted if the run was aborted."""
        self.token.check()

    def sleep(self, seconds: float) -> None:
        """Wait `seconds`; raises ResyncAborted at once when the run is aborted.

        Blocks its thread: in an `async def` use `asyncio.sleep`.
        """
        self.token.sleep(seconds, self._clock)

    def guard(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items; raises ResyncAborted before the next one once the run is aborted."""
        for item in items:
            self.check()
            yield item
        self.check()

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Report how far this handler has come; call it as often as you like.

        At most ten reports a second are passed on: the newest each time, and always the last.
        A `done` that is not a finite number counts as 0, such a `total` as None.
        """
        latest = Progress(
            self.handler, count_of(done) or 0, count_of(total),
            None if message is None else one_line(message),
        )  # fmt: skip
        self.report(latest)

    def report(self, progress: Progress) -> None:
        """Report progress as it is; see `progress`."""
        self._reports.offer(progress)

    def close(self) -> None:
        """Report the last progress and close what was opened. Called when the handler is done."""
        self._mapping.close()
        self._reports.close()
        with self._session_lock:
            session = self._session
        if session is not None:
            session.close()

    def __repr__(self) -> str:
        return f"<ResyncRun {self.id}: {self.reason}>"


def count_of(value: object) -> float | None:
    """Returns `value` as a plain number that JSON can hold; None if it is not a finite one."""
    if isinstance(value, int):
        return max(-LARGEST_COUNT, min(int(value), LARGEST_COUNT))
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    return None
