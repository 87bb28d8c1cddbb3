"""Sends the entities of all shards of one handler: one call of `run.port.upsert` per blueprint.

    threads of the attempts ──put──▶ EntityStreams ──▶ a thread for each blueprint: upsert

With one long call the batches are full and several are in flight, whatever the size of the chunks,
and entities that relate to those of any shard are tried again at its end, as in a plain handler.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import cast

from ocean_actors.messages import FailedEntity
from ocean_actors.port.async_writes import END_OF_CHUNK
from ocean_actors.port.batches import Item
from ocean_actors.resync.run import ResyncAborted, ResyncRun
from ocean_actors.shards.executor import Entities

MOST_ITEMS = 5_000
MOST_BYTES = 8 * 1024 * 1024
"""Entities that may wait in this process; a chunk is taken anyway if nothing waits."""

MOST_STREAMS = 16
"""Blueprints that are written at the same time; for one more, all calls are completed first."""

FLUSH_SECONDS = 1.0
"""After so many seconds in which nothing came, a batch that is not full is sent."""

Group = tuple[tuple["Item | FailedEntity", ...], int]
"""Entities of one blueprint, and the bytes of their JSON."""


class EntityStreams:
    """Takes chunks of entities from several threads, and has them written to Port."""

    def __init__(self, run: ResyncRun, on_error: Callable[[], object]) -> None:
        """`on_error` is called in some thread when a call has raised."""
        self.error: BaseException | None = None
        """What the first call that failed has raised, except ResyncAborted."""
        self._run = run
        self._on_error = on_error
        self._changed = threading.Condition()  # the threads of attempts wait for those of streams
        self._streams: dict[str, _Stream] = {}
        self._completing = False
        self._stopped = False
        self._items = self._bytes = 0
        self._forget = run.token.on_cancel(self._wake)

    def put(self, chunk: Entities) -> None:
        """Take a chunk; blocks until there is room. Drops it once the run is aborted or failed."""
        try:
            while not self._take(chunk):
                self._complete()
        except RuntimeError as error:  # no thread can be started any more
            self.fail(error)

    def close(self) -> None:
        """Wait until everything is written. Raises what a call has raised."""
        self._complete()
        self._forget()
        self._run.check()
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        """Drop what waits, and wait for the end of the calls."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._complete()
        self._forget()

    def _take(self, chunk: Entities) -> bool:
        """Returns False if the calls have to be completed first."""
        groups = {
            blueprint: (items, sum(len(each.data) for each in items if isinstance(each, Item)))
            for blueprint, items in chunk.groups
        }
        with self._changed:
            self._changed.wait_for(lambda: self.over or self._has_room(chunk))
            if self.over:
                return True
            new = [blueprint for blueprint in groups if blueprint not in self._streams]
            if self._streams and len(self._streams) + len(new) > MOST_STREAMS:
                return False
            for blueprint in new:
                self._streams[blueprint] = _Stream(self, self._run, blueprint)
            for blueprint, group in groups.items():
                self._streams[blueprint].waiting.append(group)
            self._items += chunk.items
            self._bytes += chunk.size
            self._changed.notify_all()
            return True

    def _has_room(self, chunk: Entities) -> bool:
        if self._completing:
            return False
        return self._items == 0 or (
            self._items + chunk.items <= MOST_ITEMS and self._bytes + chunk.size <= MOST_BYTES
        )

    def _complete(self) -> None:
        """Have all calls return, and wait for that; entities are not taken meanwhile."""
        with self._changed:
            if self._completing:  # another thread does it
                self._changed.wait_for(lambda: not self._completing)
                return
            self._completing = True
            streams = list(self._streams.values())
            for stream in streams:
                stream.closed = True
            self._changed.notify_all()
        for stream in streams:
            stream.thread.join()
        with self._changed:
            self._streams.clear()
            self._completing = False
            self._changed.notify_all()

    # -- for the streams ---------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether no entity is to be sent any more."""
        return self._stopped or self.error is not None or self._run.token.cancelled

    def wait_for(self, stream: _Stream, seconds: float) -> bool:
        """Wait until a stream has entities or ends; returns False after so many seconds."""
        with self._changed:
            return self._changed.wait_for(
                lambda: bool(stream.waiting) or stream.closed or self.over, seconds
            )

    def next_group(self, stream: _Stream) -> Group | None:
        """Returns the next entities of a stream that `wait_for` was called for; None at the end."""
        with self._changed:
            return stream.waiting.popleft() if stream.waiting and not self.over else None

    def sent(self, group: Group) -> None:
        """Make room, as the entities were read."""
        items, size = group
        with self._changed:
            self._items -= len(items)
            self._bytes -= size
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Note that a call has raised; all others end."""
        with self._changed:
            self.error = self.error or error
            self._changed.notify_all()
        self._on_error()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


class _Stream:
    """The entities of one blueprint, and the thread that sends them."""

    def __init__(self, streams: EntityStreams, run: ResyncRun, blueprint: str) -> None:
        """Start the thread. Raises RuntimeError if that is not possible."""
        self.waiting: deque[Group] = deque()
        self.closed = False
        self._streams = streams
        self._run = run
        self._blueprint = blueprint
        self.thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._send,), name="shards-upsert",
            daemon=True,
        )  # fmt: skip
        self.thread.start()

    def _send(self) -> None:
        # `upsert` takes entities that the workers have encoded.
        entities = cast("Iterator[Mapping[str, object]]", self._entities())
        try:
            with contextlib.suppress(ResyncAborted):  # the token says so as well
                self._run.port.upsert(self._blueprint, entities)
        except BaseException as error:  # noqa: BLE001  (raised by `close`)
            self._streams.fail(error)

    def _entities(self) -> Iterator[object]:
        while True:
            while not self._streams.wait_for(self, FLUSH_SECONDS):
                yield END_OF_CHUNK  # `upsert` sends what it has, and raises what has failed
            group = self._streams.next_group(self)
            if group is None:
                return
            yield from group[0]
            self._streams.sent(group)
