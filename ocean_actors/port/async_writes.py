"""How coroutines write entities to Port: by blocking calls in other threads that can be ended."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Protocol, TypeVar

from ocean_actors.actors.in_thread import in_thread
from ocean_actors.messages import UpsertResult
from ocean_actors.port.batches import KEPT_FAILURES, LARGEST_UPSERT
from ocean_actors.port.client import PortClient

Item = TypeVar("Item")
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
    """Has the client no longer closed with the one that it was cloned from."""


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
            result = send(blueprint, ())  # checks what it was given, and calls nobody
            async for chunk in _chunks(entities, LARGEST_UPSERT):
                sent = await in_thread(functools.partial(send, blueprint, chunk))
                result = _joined(result, sent)
            return result

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
            client = self._client.clone(token=self._client.token)
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


async def _chunks(items: AsyncIterable[Item], size: int) -> AsyncIterator[list[Item]]:
    chunk: list[Item] = []
    async for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _joined(first: UpsertResult, second: UpsertResult) -> UpsertResult:
    """Returns the counts of both."""
    sums = {
        each.name: getattr(first, each.name) + getattr(second, each.name) for each in fields(first)
    }
    return replace(first, **{**sums, "failures": sums["failures"][:KEPT_FAILURES]})
