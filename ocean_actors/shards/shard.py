"""What `resync_shard` is given: a worker's view of one shard."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from ocean_actors.actors import CancelToken, Clock
from ocean_actors.frozen import FrozenDict
from ocean_actors.log import RunLogger
from ocean_actors.mapping.resources import PortMapping, Resource
from ocean_actors.resync.paced import PacedReports
from ocean_actors.resync.run import ResyncAborted, count_of
from ocean_actors.session import CancellableSession
from ocean_actors.settings import Settings
from ocean_actors.shards.executor import Advanced, Event, Incomplete, Task
from ocean_actors.text import one_line

if TYPE_CHECKING:
    from typing import Any

Item = TypeVar("Item")

__all__ = ["ResyncAborted", "Shard"]


class Shard:
    """One shard of a run, in the worker that does it.

    For the thread in which `resync_shard` is called, and for threads that it starts and joins
    itself.
    """

    def __init__(
        self,
        task: Task,
        value: Any,
        settings: Settings,
        token: CancelToken,
        clock: Clock,
        logger: RunLogger,
        emit: Callable[[Event], None],
        open_session: Callable[[], CancellableSession],
    ) -> None:
        self.name = task.shard
        """The shard's name, as `status()` and the log show it: what `shards` listed, as text."""
        self.value = value
        """What `shards` listed; a copy, as it was pickled."""
        self.attempt = task.attempt
        """1, and one more for each worker that was lost while it worked on this shard."""
        self.info = task.run
        self.settings = settings
        """The settings of the system, immutable; the handlers' own are `integration.config`."""
        self.logger = logger
        """The logger `ocean_actors.run.<handler>`; its lines carry the run and the shard."""
        self.token = token
        self._clock = clock
        self._emit = emit
        self._open_session = open_session
        self._session: CancellableSession | None = None
        self._session_lock = threading.Lock()  # the shard's threads may ask at the same time
        self._reports: PacedReports[Advanced] = PacedReports(clock, emit)
        self._mapping = PortMapping(
            task.run.config, token, clock, logger, lambda reason: emit(Incomplete(reason))
        )

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.info.id

    @property
    def config(self) -> FrozenDict:
        """The integration's config as Port holds it, deeply immutable."""
        return self.info.config

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that were asked for; see `run.kinds`."""
        return self.info.kinds

    @property
    def parameters(self) -> FrozenDict:
        """What was asked for beside the kinds; see `run.parameters`."""
        return self.info.parameters

    @property
    def aborted(self) -> bool:
        """Whether the run was aborted; nothing that is yielded now is sent."""
        return self.token.cancelled

    @property
    def session(self) -> CancellableSession:
        """A `requests.Session` of this shard, for the third system's API; see `run.session`.

        A limit that `shards` or `resync_shard` sets with `session.limit` holds for all workers
        together: under `threads` they share it, otherwise each of the `resync.workers` has its
        part of it.
        """
        with self._session_lock:
            if self._session is None:
                self._session = self._open_session()
            return self._session

    def resources(self, kind: str) -> tuple[Resource, ...]:
        """Returns the entries of Port's mapping for a kind; see `run.resources`."""
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
        """Report how far this shard has come; call it as often as you like.

        At most ten reports a second are passed on: the newest each time, and always the last.
        A `done` that is not a finite number counts as 0, such a `total` as None. The number of
        entities that were yielded is shown without it.
        """
        self._reports.offer(
            Advanced(
                count_of(done) or 0,
                count_of(total),
                None if message is None else one_line(message),
            )
        )

    def mark_incomplete(self, reason: str) -> None:
        """Say that entities that exist may not be sent; see `run.port.mark_incomplete`."""
        self._emit(Incomplete(one_line(reason)))

    def close(self) -> None:
        """Report the last progress and close what was opened."""
        self._mapping.close()
        self._reports.close()
        with self._session_lock:
            session = self._session
        if session is not None:
            session.close()

    def __repr__(self) -> str:
        return f"<Shard {self.name} of run {self.info.id}>"
