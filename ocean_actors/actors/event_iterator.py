"""Events for coroutines: an async iterator over an event stream."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ocean_actors.actors.events import EventStream
from ocean_actors.actors.message import Message
from ocean_actors.log import get_logger
from ocean_actors.text import one_line

if TYPE_CHECKING:
    import asyncio

    from typing_extensions import Self

logger = get_logger(__name__)

EventT = TypeVar("EventT", bound=Message)

MOST_WAITING = 1_000
"""Events that wait in one iterator, by default."""


class _Buffer:
    """The events that wait for one iterator. It subscribes to the stream; any thread may use it."""

    def __init__(self, what: str, limit: int) -> None:
        self.abandoned = False  # set without the lock, by a finalizer
        self.ended = False
        self.dropped = 0
        self.events: deque[Message] = deque()
        self.waiters: set[asyncio.Future[None]] = set()
        self.lock = threading.Lock()  # of the four above
        self._what = what
        self._limit = limit

    def is_alive(self) -> bool:
        """Returns whether it takes events."""
        return not (self.ended or self.abandoned)

    def deliver(self, message: Message) -> bool:
        """Keep an event, instead of the oldest one at the limit; never waits."""
        with self.lock:
            if not self.is_alive():
                return False
            full = len(self.events) >= self._limit
            if full:
                self.events.popleft()
                self.dropped += 1
            first = full and self.dropped == 1
            self.events.append(message)
            self._wake()
        if first:
            logger.warning(
                "an iterator over %s has %d events waiting: the oldest are dropped",
                self._what, self._limit,
            )  # fmt: skip
        return True

    def end(self, *, discard: bool = False) -> None:
        """Take no more events; `discard` those that wait."""
        with self.lock:
            self.ended = True
            if discard:
                self.events.clear()
            self._wake()

    def _wake(self) -> None:
        """Have every waiter look again. Needs the lock."""
        for waiter in self.waiters:
            with contextlib.suppress(RuntimeError):  # its loop has closed
                waiter.get_loop().call_soon_threadsafe(_release, waiter)
        self.waiters.clear()


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class EventIterator(AsyncIterator[EventT], Generic[EventT]):
    """The events of some types from now on, in their order, as an async iterator.

    It is subscribed from the moment it is made, and ends once its system has stopped and the
    events that waited were read. At most `limit` events wait: a further one replaces the oldest,
    which `dropped` counts. `aclose`, the end of `async with` and its deletion end the
    subscription. Tasks of several event loops may read from it; each event goes to one of them.

    Awaiting the iterator returns it.
    """

    def __init__(self, stream: EventStream, event_types: tuple[type[EventT], ...], limit: int):
        """Raises TypeError for what is not an event class, ValueError for none or a low limit."""
        if not event_types:
            raise ValueError("events: expected at least one event class, such as RunEnded")
        for each in event_types:
            given: object = each
            if not (isinstance(given, type) and issubclass(given, Message)):
                raise TypeError(f"events: expected event classes, got {one_line(given, 80)}")
        if limit < 1:
            raise ValueError(f"limit: expected at least 1, got {limit}")
        names = ", ".join(each.__name__ for each in event_types)
        self._stream = stream
        self._buffer = _Buffer(names, limit)
        for event_type in event_types:
            stream.subscribe(self._buffer, event_type)

    @property
    def dropped(self) -> int:
        """How many events were dropped, as they were not read in time."""
        return self._buffer.dropped

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EventT:
        """Returns the next event. Raises StopAsyncIteration at the end."""
        import asyncio

        buffer = self._buffer
        while True:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            with buffer.lock:
                if buffer.events:
                    event: EventT = buffer.events.popleft()  # type: ignore[assignment]  # only such are delivered
                    return event
                if buffer.ended:
                    raise StopAsyncIteration
                buffer.waiters.add(waiter)
            try:
                await waiter
            finally:
                with buffer.lock:
                    buffer.waiters.discard(waiter)

    def __await__(self) -> Generator[None, None, Self]:
        """Returns the iterator, which is subscribed already."""
        return self
        yield  # makes this a generator, as `await` expects

    async def aclose(self) -> None:
        """End the subscription; those who wait for an event find the end."""
        self.close()

    def close(self) -> None:
        """End the subscription, from any thread."""
        self._stream.unsubscribe(self._buffer)
        self._buffer.end(discard=True)

    def end(self) -> None:
        """Take no more events; those that wait are still read."""
        self._stream.unsubscribe(self._buffer)
        self._buffer.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the subscription."""
        self.close()

    def __del__(self) -> None:
        """Take no more events. Without a lock: the collector may call it at any time."""
        buffer: _Buffer | None = getattr(self, "_buffer", None)
        if buffer is not None:
            buffer.abandoned = True  # the stream forgets it at the next event


class EventIterators:
    """The iterators over the events of one system. Safe to use from any thread."""

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self._open: weakref.WeakSet[EventIterator[Any]] = weakref.WeakSet()
        self._ended = False
        self._lock = threading.Lock()

    def open(self, event_types: tuple[type[EventT], ...], limit: int) -> EventIterator[EventT]:
        """Returns an iterator over these events from now on. Raises what `EventIterator` does."""
        iterator = EventIterator(self._stream, event_types, limit)
        with self._lock:
            self._open.add(iterator)
            ended = self._ended
        if ended:
            iterator.end()
        return iterator

    def end(self) -> None:
        """End all iterators, also those that are opened later."""
        with self._lock:
            self._ended = True
            iterators = list(self._open)
        for iterator in iterators:
            iterator.end()
