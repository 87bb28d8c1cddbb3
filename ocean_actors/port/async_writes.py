"""How coroutines write entities to Port: by blocking calls in other threads that can be ended."""

from __future__ import annotations

import contextlib
import functools
import queue
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ocean_actors.actors.in_thread import in_thread
from ocean_actors.messages import UpsertResult
from ocean_actors.port.batches import LARGEST_UPSERT
from ocean_actors.port.client import PortClient

if TYPE_CHECKING:
    import asyncio

Item = TypeVar("Item")
END = None
END_OF_CHUNK: Mapping[str, object] = {}
"""Among the entities: send those before it, as the next one may take long."""

Entities = Iterable[Mapping[str, object]]


class BlockingPort(Protocol):
    """What `run.port` offers to threads."""

    def upsert(
        self,
        blueprint: str,
        entities: Entities,
        *,
        merge: bool | None = None,
        create_missing_related_entities: bool | None = None,
    ) -> UpsertResult:
        """Create or update entities."""

    def reconcile(self, max_share: float | None = None) -> int:
        """Delete what was not sent."""


@dataclass(frozen=True)
class _Lent:
    client: PortClient
    port: BlockingPort
    forget: Callable[[], None]
    """Unregisters `client.close` from the run's token."""


class AsyncWrites:
    """Does what coroutines ask of one handler's `run.port`.

    Each call has a port with a client of its own, so that cancelling the call ends what the
    thread does for it and nothing else. Ports are used again while nothing fails; cancelling the
    token of `client` ends and closes all.
    """

    def __init__(self, client: PortClient, open_port: Callable[[PortClient], BlockingPort]) -> None:
        """`open_port` makes the handler's `run.port` over another client."""
        self._client = client
        self._open_port = open_port
        self._idle: list[_Lent] = []

    async def upsert(
        self,
        blueprint: str,
        entities: Entities | AsyncIterable[Mapping[str, object]],
        *,
        merge: bool | None,
        create_missing_related_entities: bool | None,
    ) -> UpsertResult:
        """See `HandlerPort.aupsert`."""
        with self._lent() as port:
            send = functools.partial(
                port.upsert,
                merge=merge,
                create_missing_related_entities=create_missing_related_entities,
            )
            if not isinstance(entities, AsyncIterable):
                return await in_thread(functools.partial(send, blueprint, entities))
            send(blueprint, ())  # checks what it was given, and calls nobody
            chunks = Handoff()
            sending = in_thread(functools.partial(send, blueprint, chunks))
            try:
                await chunks.wanted(sending)
                async for chunk in _chunks(entities, LARGEST_UPSERT):
                    chunks.put(chunk)
                    if not await chunks.wanted(sending):
                        break
            except BaseException as error:
                chunks.fail(error)
                sending.add_done_callback(_retrieve)
                sending.cancel()
                raise
            chunks.end()
            return await sending

    async def reconcile(self, max_share: float | None) -> int:
        """See `HandlerPort.areconcile`."""
        with self._lent() as port:
            return await in_thread(functools.partial(port.reconcile, max_share))

    @contextlib.contextmanager
    def _lent(self) -> Iterator[BlockingPort]:
        """Lend a port for the block, and end its calls if the block raises."""
        try:
            lent = self._idle.pop()
        except IndexError:
            client = self._client.clone(token=self._client.token, waits=self._client.waits)
            lent = _Lent(
                client, self._open_port(client), self._client.token.on_cancel(client.close)
            )
        try:
            yield lent.port
        except BaseException:
            lent.forget()
            lent.client.close()
            raise
        self._idle.append(lent)


class SourceFailed(Exception):
    """Ends the thread that reads a `Handoff` if the coroutine that fills it has failed."""


class Handoff:
    """Entities on their way from a coroutine to one thread, which iterates over them.

    The coroutine puts a chunk each time that the thread wants one. It must call `end` or `fail`:
    the thread waits for that.
    """

    def __init__(self) -> None:
        import asyncio  # imported already by whoever runs a coroutine

        self._loop = asyncio.get_running_loop()
        self._wanted = asyncio.Semaphore(0)
        self._chunks: queue.SimpleQueue[list[Mapping[str, object]] | BaseException | None] = (
            queue.SimpleQueue()
        )

    async def wanted(self, reading: asyncio.Future[Any]) -> bool:
        """Wait until the thread wants a chunk; returns False if its future `reading` is done."""
        import asyncio

        wanted = asyncio.ensure_future(self._wanted.acquire())
        try:
            await asyncio.wait((wanted, reading), return_when=asyncio.FIRST_COMPLETED)
        finally:
            wanted.cancel()
        return not reading.done()

    def put(self, chunk: list[Mapping[str, object]]) -> None:
        """Pass a chunk on."""
        self._chunks.put(chunk)

    def end(self) -> None:
        """Say that there is no more."""
        self._chunks.put(END)

    def fail(self, error: BaseException) -> None:
        """Have the thread raise SourceFailed."""
        self._chunks.put(error)

    def __iter__(self) -> Iterator[Mapping[str, object]]:
        """Yield the entities, in the thread, and END_OF_CHUNK after each full chunk."""
        while True:
            with contextlib.suppress(RuntimeError):  # the loop has closed, after `fail`
                self._loop.call_soon_threadsafe(self._wanted.release)
            chunk = self._chunks.get()
            if isinstance(chunk, BaseException):
                raise SourceFailed from chunk
            if chunk is END:
                return
            yield from chunk
            if len(chunk) == LARGEST_UPSERT:
                yield END_OF_CHUNK


async def _chunks(items: AsyncIterable[Item], size: int) -> AsyncIterator[list[Item]]:
    chunk: list[Item] = []
    async for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Take the exception that nobody waits for, which asyncio would log."""
    if not future.cancelled():
        future.exception()
