"""Collects the entities that a shard yields, so that they travel in chunks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from ocean_actors.messages import FailedEntity
from ocean_actors.port.batches import Item, encode
from ocean_actors.shards.errors import ShardError
from ocean_actors.shards.executor import Entities
from ocean_actors.text import one_line

MOST_ITEMS = 500
MOST_BYTES = 256 * 1024
MOST_SECONDS = 0.1
"""A chunk is due when it has so many entities or bytes of JSON, or at the first entity after that
time. A larger entity makes a chunk of its own, together with what came before it."""


class Chunks:
    """Encodes and collects what `what`, the user's method, yields. For one thread at a time."""

    def __init__(self, what: str, send: Callable[[Entities], None]) -> None:
        self.items = 0
        """How many entities were added."""
        self._what = what
        self._send = send
        self._groups: dict[str, list[Item | FailedEntity]] = {}
        self._waiting = 0
        self._size = 0
        self._due_at = 0.0

    def add(self, yielded: object) -> bool:
        """Add one value; returns whether the chunk is due.

        Raises ShardError unless it is `(blueprint, entity)`.
        """
        if not isinstance(yielded, tuple | list) or len(yielded) != 2:
            raise self._unusable(f"a {type(yielded).__name__}")
        blueprint, entity = yielded
        if not isinstance(blueprint, str) or not isinstance(entity, Mapping):
            got = f"({type(blueprint).__name__}, {type(entity).__name__})"
            raise self._unusable(got)
        item = encode(entity)
        group = self._groups.get(blueprint)
        if group is None:
            # What is sent to the parent has no class of the user's, which it would have to import.
            group = self._groups[str.__str__(blueprint)] = []
        group.append(item)
        self.items += 1
        self._waiting += 1
        if isinstance(item, Item):
            self._size += len(item.data)
        now = time.monotonic()
        if self._waiting == 1:
            self._due_at = now + MOST_SECONDS
        return self._waiting >= MOST_ITEMS or self._size >= MOST_BYTES or now >= self._due_at

    def flush(self) -> None:
        """Send what was added since the last chunk."""
        if not self._waiting:
            return
        groups = tuple((name, tuple(items)) for name, items in self._groups.items())
        chunk = Entities(groups, self._waiting, self._size)
        self._groups, self._waiting, self._size = {}, 0, 0
        self._send(chunk)

    def _unusable(self, got: str) -> ShardError:
        return ShardError(
            f"{one_line(self._what)} yielded {got}: expected (blueprint, entity), a string and a "
            "mapping"
        )
