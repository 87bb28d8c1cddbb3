"""Handlers that do what a test tells them, in their own threads."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import Any

from ocean_actors import ResyncHandler, ResyncRun

WITHIN = 60.0


class Script:
    """Lets a test follow the handlers of its systems, and decide when they finish."""

    def __init__(self) -> None:
        self.entered: queue.Queue[Any] = queue.Queue()  # the run of each handler that begins
        self.go_on = threading.Semaphore(0)  # released once for each handler that may finish

    def wait_until_at_work(self, within: float = WITHIN) -> Any:
        """Returns the next item of `entered`. Raises queue.Empty."""
        return self.entered.get(timeout=within)

    def let_finish(self, times: int = 1) -> None:
        """Let so many handlers finish."""
        self.go_on.release(times)


def scripted_handler(script: Script) -> type[ResyncHandler]:
    """Returns a handler that works until `script` lets it finish, and obeys an abort."""

    class Scripted(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            script.entered.put(run)
            while not script.go_on.acquire(timeout=0.01):
                run.check()

    return Scripted


def scripted_async_handler(script: Script) -> type[ResyncHandler]:
    """Returns the same handler as a coroutine."""

    class ScriptedAsync(ResyncHandler):
        async def resync(self, run: ResyncRun) -> None:
            script.entered.put(run)
            while not script.go_on.acquire(blocking=False):
                await asyncio.sleep(0.01)

    return ScriptedAsync


class Quick(ResyncHandler):
    """Does nothing, and so completes at once."""

    def resync(self, run: ResyncRun) -> None:
        pass


class Failing(ResyncHandler):
    """Fails at once."""

    def resync(self, run: ResyncRun) -> None:
        raise ValueError("no such repository")
