"""What a handler's view of a run and a worker's view of a shard have in common."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from ocean_actors.actors import CancelToken, Clock
from ocean_actors.frozen import FrozenDict
from ocean_actors.log import RunLogger
from ocean_actors.mapping.resources import PortMapping, Resource
from ocean_actors.messages import RunInfo
from ocean_actors.resync.throttled_reports import ThrottledReports
from ocean_actors.settings import Settings
from ocean_actors.text import one_line

if TYPE_CHECKING:
    from ocean_actors.session import CancellableSession

Item = TypeVar("Item")
Report = TypeVar("Report")

LARGEST_COUNT = 2**63 - 1


class Work(ABC, Generic[Report]):
    """Base class of the view of a run (`ResyncRun`) and of one of its shards (`Shard`)."""

    def __init__(
        self,
        info: RunInfo,
        settings: Settings,
        token: CancelToken,
        clock: Clock,
        logger: RunLogger,
        report: Callable[[Report], None],
        mark_incomplete: Callable[[str], None],
    ) -> None:
        self.info = info
        self.settings = settings
        """The settings of the system, immutable; the handlers' own are `integration.config`."""
        self.token = token
        self._clock = clock
        self._logger = logger
        self._reports = ThrottledReports(clock, report)
        self._mapping = PortMapping(info.config, token, clock, logger, mark_incomplete)
        self._session: CancellableSession | None = None
        self._session_lock = threading.Lock()  # several threads may ask at the same time

    @property
    def config(self) -> FrozenDict:
        """The integration's config as Port holds it, deeply immutable."""
        return self.info.config

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that were asked for; by default all that the handlers declare."""
        return self.info.kinds

    @property
    def parameters(self) -> FrozenDict:
        """What was asked for besides the kinds, deeply immutable; empty by default."""
        return self.info.parameters

    @property
    def aborted(self) -> bool:
        """Whether the run was aborted; nothing that is still done for it will count."""
        return self.token.cancelled

    @property
    def logger(self) -> RunLogger:
        """The logger `ocean_actors.run.<handler>`; its lines carry the run in any thread.

        Those of a shard carry the shard, too. In the handler's own thread and its tasks, the lines
        of every logger carry them; see `ocean_actors.log.ContextFilter`.
        """
        return self._logger

    @property
    def session(self) -> CancellableSession:
        """A `requests.Session` of this handler or shard in this run, for third-party APIs.

        Its calls have time-outs and retries, and raise ResyncAborted as soon as the run is
        aborted, even while they wait for an answer. There is one session for all threads of the
        handler or shard. Several threads may send calls with it; set its headers before they start.

        Its `limit` holds for all handlers of the run, and for all workers together: under
        `threads` they share it, otherwise each of the `resync.workers` has its part of it.
        """
        with self._session_lock:
            if self._session is None:
                self._session = self._open_session()
            return self._session

    def resources(self, kind: str) -> tuple[Resource, ...]:
        """Returns the entries of Port's mapping (`config["resources"]`) for a kind.

        With the extra `ocean-actors[jq]`, `resource.entities(items)` evaluates one. If the
        mapping does not have the kind, that is logged as a warning, and the result is empty.
        """
        return self._mapping.resources(kind)

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
        """Report how far this handler or shard has come; call it as often as you like.

        At most ten reports a second are passed on: the newest each time, and always the last.
        A `done` that is not a finite number counts as 0, and such a `total` counts as None. The
        entities of shards are counted without it.
        """
        text = None if message is None else one_line(message)
        self._reports.report(self._report_of(count_of(done) or 0, count_of(total), text))

    def close(self) -> None:
        """Report the last progress and close what was opened. Called when the work is done."""
        self._mapping.close()
        self._reports.close()
        with self._session_lock:
            session = self._session
        if session is not None:
            session.close()

    @abstractmethod
    def _open_session(self) -> CancellableSession:
        """Returns a session that `token` ends."""

    @abstractmethod
    def _report_of(self, done: float, total: float | None, message: str | None) -> Report:
        """Returns what `progress` reports."""


def count_of(value: object) -> float | None:
    """Returns `value` as a plain number that JSON can hold; None if it is not a finite one."""
    if isinstance(value, int):
        return max(-LARGEST_COUNT, min(int(value), LARGEST_COUNT))
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    return None
