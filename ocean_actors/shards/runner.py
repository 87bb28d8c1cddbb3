"""The executor of one system: made when the first sharded run needs it, ended with the system."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ocean_actors.actors import Clock
from ocean_actors.resync.handlers import HandlerFactory
from ocean_actors.resync.run import ResyncRun
from ocean_actors.settings import Settings
from ocean_actors.shards.places import Places

if TYPE_CHECKING:
    from ocean_actors.shards.executor import Executor

OURS_WITHOUT_NEEDS = ("threads", "processes")
"""Executors that can always be used."""


class ShardRunner:
    """Has the workers of a system do shards: the `Sharding` of `resync.run`.

    It imports nothing and starts nothing before the first sharded run.
    """

    def __init__(
        self, settings: Settings, clock: Clock, factories: Mapping[str, HandlerFactory]
    ) -> None:
        """`factories` are the system's handlers by name."""
        self._settings = settings
        self._clock = clock
        self._factories = factories
        self._places = Places(settings.resync.workers)
        self._executor: Executor | None = None
        self._closed = False
        self._lock = threading.Lock()  # the threads of the handlers ask at the same time

    def resync(self, handler: object, run: ResyncRun) -> None:
        """Do the shards of a handler; see `Drive.do`. Raises UsageError if no worker can be had."""
        from ocean_actors.shards.drive import Drive
        from ocean_actors.shards.handler import ShardedHandler

        assert isinstance(handler, ShardedHandler)  # noqa: S101  (it calls this)
        executor = self._find_executor()
        Drive(handler, run, executor, self._places, self._settings.resync, self._clock).do()

    def require(self) -> None:
        """Raises UsageError if the executor that the settings name cannot be used here."""
        if self._settings.resync.executor not in OURS_WITHOUT_NEEDS:
            from ocean_actors.shards.executor import require_executor

            require_executor(self._settings)

    def close(self) -> list[str]:
        """End all workers. Returns the names of those that have not ended."""
        with self._lock:
            self._closed = True
            executor = self._executor
        if executor is None:
            return []
        from ocean_actors.shards.executor import close_executor

        return close_executor(executor, self._settings)

    def _find_executor(self) -> Executor:
        from ocean_actors.shards.executor import ExecutorContext, build_executor

        with self._lock:
            if self._closed:
                raise RuntimeError("the system has stopped")
            if self._executor is None:
                context = ExecutorContext(self._settings, self._clock, self._factories)
                self._executor = build_executor(context)
            return self._executor
