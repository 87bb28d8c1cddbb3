"""The integration's own work, and the actors that carry it out."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from ocean_actors.actors import Actor, CancelToken, Ref, handles
from ocean_actors.messages import HandlerFinished, ResyncStarted
from ocean_actors.resync.run import ResyncAborted, ResyncRun

logger = logging.getLogger(__name__)


class ResyncHandler(ABC):
    """Subclass it and do the integration's work in `resync`.

    One object serves run after run, each in the same thread, until it has to be fenced off;
    then a fresh object takes its place. Other handlers work beside it in threads of their own.
    """

    kinds: ClassVar[tuple[str, ...]] = ()
    """What it brings to Port; shown in status and logs."""

    @abstractmethod
    def resync(self, run: ResyncRun) -> Awaitable[None] | None:
        """Do one run; may equally be `async def`.

        Returning means success, any exception failure. Call `run.check()` often, or use
        `run.guard`, `run.sleep` and `run.port`, so that an abort is noticed; an `async def`
        is cancelled at its next await. Whoever does not notice within `resync.abortGrace`
        seconds is fenced off: its results are dropped.
        """


HandlerFactory = Callable[[], ResyncHandler]


class HandlerActor(Actor):
    """Runs one handler; a failure of its code is a failed run, never a failed actor."""

    def __init__(self, handler_name: str, factory: HandlerFactory, coordinator: Ref) -> None:
        super().__init__()
        self._name = handler_name
        self._factory = factory
        self._coordinator = coordinator

    def on_start(self) -> None:
        """Build the handler, in the thread that will run it."""
        self._handler = self._factory()

    @handles(ResyncStarted)
    def work(self, message: ResyncStarted) -> None:
        """Do this handler's part of the run and tell the coordinator how it went."""
        run = message.run
        failure = self._attempt(run)
        run.flush_progress()
        self._coordinator.tell(HandlerFinished(run.info.number, self._name, failure))

    def _attempt(self, run: ResyncRun) -> str | None:
        """Run the handler: None, or one line that says why it failed."""
        try:
            result: Any = self._handler.resync(run)
            if inspect.isawaitable(result):
                asyncio.run(_until_cancelled(result, run.token))
        except BaseException as error:  # noqa: BLE001  (user code may raise anything, SystemExit too)
            if run.aborted and isinstance(error, ResyncAborted):
                return None
            logger.error(  # noqa: TRY400  (the level depends on nothing: a traceback always)
                "handler %s failed in run %s", self._name, run.id, exc_info=error
            )
            return f"{self._name}: {type(error).__name__}: {error}"
        return None


async def _until_cancelled(work: Awaitable[None], token: CancelToken) -> None:
    """Await `work` and cancel it when `token` is; its `finally` blocks run."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()

    def cancel() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: the work is over
            loop.call_soon_threadsafe(task.cancel)

    forget = token.on_cancel(cancel)
    try:
        await task
    except asyncio.CancelledError:
        token.check()
        raise
    finally:
        forget()
