"""What `resync_shard` is given: a worker's view of one shard."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ocean_actors.actors import CancelToken, Clock
from ocean_actors.log import RunLogger
from ocean_actors.resync.run import ResyncAborted
from ocean_actors.resync.work import Work
from ocean_actors.session import CancellableSession
from ocean_actors.settings import Settings
from ocean_actors.shards.executor import Advanced, Event, Incomplete, Task
from ocean_actors.text import one_line

if TYPE_CHECKING:
    from typing import Any

__all__ = ["ResyncAborted", "Shard"]


class Shard(Work[Advanced]):
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
        super().__init__(
            task.run, settings, token, clock, logger, emit,
            lambda reason: emit(Incomplete(reason)),
        )  # fmt: skip
        self.name = task.shard
        """The shard's name, as `status()` and the log show it: what `shards` listed, as text."""
        self.value = value
        """What `shards` listed; a copy, as it was pickled."""
        self.attempt = task.attempt
        """1, and one more for each worker that was lost while it worked on this shard."""
        self._emit = emit
        self._open = open_session

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.info.id

    def mark_incomplete(self, reason: str) -> None:
        """Say that entities that exist may not be sent; see `run.port.mark_incomplete`."""
        self._emit(Incomplete(one_line(reason)))

    def _open_session(self) -> CancellableSession:
        return self._open()

    def _report_of(self, done: float, total: float | None, message: str | None) -> Advanced:
        return Advanced(done, total, message)

    def __repr__(self) -> str:
        return f"<Shard {self.name} of run {self.info.id}>"
