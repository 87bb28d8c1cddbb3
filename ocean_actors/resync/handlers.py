"""The integration's own work, and the actors that carry it out."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from ocean_actors.actors import Actor, CancelToken, Message, Ref, handles
from ocean_actors.messages import HandlerFinished
from ocean_actors.resync.run import ResyncAborted, ResyncRun
from ocean_actors.text import one_line

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

    def __init_subclass__(cls, **more: Any) -> None:
        """Refuse a `resync` that yields (as Port Ocean's do): called, it would do nothing."""
        super().__init_subclass__(**more)
        if inspect.isgeneratorfunction(cls.resync) or inspect.isasyncgenfunction(cls.resync):
            raise TypeError(f"{cls.__name__}.resync yields: hand entities to run.port.upsert")


HandlerFactory = Callable[[], ResyncHandler]


class RetryLater(Exception):
    """Raised by a handler: this run failed, and is to be tried again in `seconds`.

    Heard whatever `resync.retry` says, unless a newer request comes first. Raises ValueError
    unless `seconds` is a number from 0 on.
    """

    def __init__(self, seconds: float, why: str = "asked to be run again later") -> None:
        super().__init__(why)
        if not 0 <= seconds < math.inf:
            raise ValueError(f"seconds: expected a number from 0 on, got {seconds}")
        self.seconds = float(seconds)


@dataclass(frozen=True)
class StartResync(Message):
    """To a handler actor: do your part of this run."""

    run: ResyncRun


class HandlerActor(Actor):
    """Runs one handler; a failure of its code is a failed run, never a failed actor."""

    message_bound = None  # a resync takes as long as it takes; `resync.timeout` may limit it

    def __init__(self, handler_name: str, factory: HandlerFactory, coordinator: Ref) -> None:
        super().__init__()
        self._name = handler_name
        self._factory = factory
        self._coordinator = coordinator
        self._handler: ResyncHandler | None = None

    @handles(StartResync)
    def work(self, message: StartResync) -> None:
        """Do this handler's part of the run and tell the coordinator how it went."""
        run = message.run
        failure: str | None = f"{self._name}: failed"
        retry_after = None
        try:
            try:
                self._attempt(run)
                failure = None
            except BaseException as error:  # noqa: BLE001  (user code may raise anything, SystemExit too)
                failure = self._explain(run, error)
                if isinstance(error, RetryLater):
                    retry_after = error.seconds
            run.close()
        finally:  # the coordinator waits for it
            self._coordinator.tell(
                HandlerFinished(run.info.number, self._name, failure, retry_after)
            )

    def _attempt(self, run: ResyncRun) -> None:
        if self._handler is None:  # built in the thread that runs it
            self._handler = self._factory()
        result: Any = self._handler.resync(run)
        if inspect.isawaitable(result):
            asyncio.run(_until_cancelled(result, run.token))
        elif inspect.isgenerator(result) or inspect.isasyncgen(result):
            raise TypeError("resync returned a generator, which did nothing: go through it")

    def _explain(self, run: ResyncRun, error: BaseException) -> str | None:
        """One line that says why the handler failed; None if it only obeyed an abort."""
        if isinstance(error, ResyncAborted) and run.aborted:
            return None
        if isinstance(error, RetryLater):
            logger.warning(
                "handler %s in run %s: %s (%g s)", self._name, run.id, error, error.seconds
            )
        else:
            logger.error("handler %s failed in run %s", self._name, run.id, exc_info=error)
        return f"{self._name}: {one_line(error)}"


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
