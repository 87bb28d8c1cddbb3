"""What a worker does with a task; the same under every executor."""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from ocean_actors.actors import CancelToken, Clock
from ocean_actors.actors.in_thread import in_thread
from ocean_actors.errors import OceanError
from ocean_actors.log import LogContext, RunLogger, get_logger, logging_context
from ocean_actors.resync.awaiting import awaited
from ocean_actors.resync.handler_actor import end_if_forked
from ocean_actors.resync.handlers import HandlerFactory, retry_after
from ocean_actors.resync.run import ResyncAborted
from ocean_actors.session import CancellableSession
from ocean_actors.settings import Settings
from ocean_actors.shards.chunks import Chunks
from ocean_actors.shards.errors import CannotBuild, ShardError
from ocean_actors.shards.executor import Event, Task
from ocean_actors.shards.handler import ShardedHandler
from ocean_actors.shards.outcome import Cancelled, Completed, Failed, ShardOutcome
from ocean_actors.shards.shard import Shard
from ocean_actors.text import one_line
from ocean_actors.throttle import Throttle

if TYPE_CHECKING:
    from ocean_actors.shards.writer import ShardWriter

logger = get_logger(__name__)

OpenSession = Callable[[Task, CancelToken], CancellableSession]
"""Makes the session of a shard, which the token ends."""

SetWriter = Callable[["ShardWriter | None"], None]


class Workplace:
    """What the tasks of a worker share: the settings, and an object of each handler.

    Several threads may work at the same time; each takes an object of its own.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        factories: Mapping[str, HandlerFactory],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._factories = factories
        self._idle: dict[str, list[ShardedHandler]] = {}
        self._lock = threading.Lock()  # the threads of the executor `threads`
        self._failed_log = Throttle(clock)
        self._process = os.getpid()

    def work(
        self,
        task: Task,
        token: CancelToken,
        emit: Callable[[Event], None],
        open_session: OpenSession,
        set_writer: SetWriter = lambda _writer: None,
    ) -> ShardOutcome:
        """Do a task; returns how it ended, whatever the handler's code does.

        `token` raises ResyncAborted; cancel it to end the work. `emit` takes the events, from any
        thread, and may block. `set_writer` is given what hears the messages for a task that
        writes, and None when there are no more to come.
        """
        context = LogContext(
            self._settings.integration.identifier,
            task.run.id, task.run.trigger, task.handler, task.shard,
        )  # fmt: skip
        with logging_context(context):
            error: BaseException | None = None
            items = 0
            try:
                token.check()
                handler = self._take(task.handler)
                logs = RunLogger(get_logger(f"ocean_actors.run.{task.handler}"), context)
                value = pickle.loads(task.value)  # noqa: S301  (made by the process of the run)
                shard = Shard(
                    task, value, self._settings, token, self._clock, logs, emit,
                    lambda: open_session(task, token),
                )  # fmt: skip
                with self._writing(task, token, emit, set_writer) as writer:
                    items = _send_all(handler, shard, task, writer.emit if writer else emit)
                    if writer is not None:
                        writer.finish()
                self._give_back(task.handler, handler)
            except BaseException as raised:  # noqa: BLE001  (user code may raise anything)
                error = raised
            end_if_forked(self._process, error)
            if error is None:
                return Completed(items)
            if isinstance(error, ResyncAborted) and token.cancelled:
                return Cancelled()
            return self._failed(task, error)

    @contextlib.contextmanager
    def _writing(
        self, task: Task, token: CancelToken, emit: Callable[[Event], None], set_writer: SetWriter
    ) -> Iterator[ShardWriter | None]:
        """Yields what sends the entities of a task that writes itself; else None."""
        if not task.writes:
            yield None
            return
        from ocean_actors.shards.writer import ShardWriter

        writer = ShardWriter(self._settings, token, self._clock, emit)
        set_writer(writer)
        try:
            yield writer
        finally:
            writer.close()
            set_writer(None)

    def _take(self, name: str) -> ShardedHandler:
        """Returns an object that nobody else uses. Raises what the user's code raises."""
        with self._lock:
            idle = self._idle.setdefault(name, [])
            if idle:
                return idle.pop()
        try:
            built: object = self._factories[name]()
        except Exception as error:  # the user's code, which is imported and built here
            message = f"{name} cannot be built in a worker: {one_line(error)}"
            raise CannotBuild(message) from error
        if not isinstance(built, ShardedHandler):
            raise ShardError(
                f"the handler was built as a {type(built).__name__}, which is not a ShardedHandler"
            )
        return built

    def _give_back(self, name: str, handler: ShardedHandler) -> None:
        with self._lock:
            self._idle[name].append(handler)

    def _failed(self, task: Task, error: BaseException) -> Failed:
        """Returns the outcome, and logs it: with a traceback unless the error explains itself.

        There may be thousands of shards, which fail for the same reason.
        """
        ours = isinstance(error, OceanError)
        reason = one_line(str(error)) if isinstance(error, ShardError) else one_line(error)
        admission = self._failed_log.admit()
        if admission.admitted:
            with contextlib.suppress(Exception):  # the error's own class may raise anything
                logger.error(
                    "shard %s of handler %s failed in run %s: %s%s",
                    task.shard, task.handler, task.run.id, reason, admission.more,
                    exc_info=None if ours else error,
                )  # fmt: skip
        lasting = isinstance(error, OceanError) and error.lasting is True
        return Failed(reason, lasting, retry_after(error))


def _send_all(
    handler: ShardedHandler, shard: Shard, task: Task, emit: Callable[[Event], None]
) -> int:
    """Call the handler, and emit what it yields; returns how many entities that were."""
    method = f"{task.handler}.resync_shard"
    chunks = Chunks(method, emit)
    try:
        yielded: object = handler.resync_shard(shard)
        if isinstance(yielded, AsyncIterable):
            awaited(_each_async(yielded, chunks, shard), shard.token)
        elif isinstance(yielded, Iterable) and not isinstance(yielded, str | bytes | Mapping):
            _each(yielded, chunks, shard)
        else:
            close = getattr(yielded, "close", None)  # of a coroutine, which nobody awaits
            if callable(close):
                close()
            raise ShardError(
                f"{method} returned a {type(yielded).__name__}: expected a generator that yields "
                "(blueprint, entity)"
            )
        shard.check()
        chunks.flush()
    finally:
        shard.close()
    return chunks.items


def _each(yielded: Iterable[object], chunks: Chunks, shard: Shard) -> None:
    try:
        for item in yielded:
            shard.check()
            if chunks.add(item):
                chunks.flush()
    finally:
        close = getattr(yielded, "close", None)  # of a generator that was not exhausted
        if callable(close):
            close()


async def _each_async(yielded: AsyncIterable[object], chunks: Chunks, shard: Shard) -> None:
    try:
        async for item in yielded:
            shard.check()
            if chunks.add(item):
                await in_thread(chunks.flush)  # it may block
    finally:
        close = getattr(yielded, "aclose", None)
        if callable(close):
            await close()
