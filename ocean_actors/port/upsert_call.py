"""One call of `run.port.upsert`: its batches, and what is tried again after them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ocean_actors.port.batches import Item, batches
from ocean_actors.port.deferred import Deferred, levels, split, targets
from ocean_actors.port.in_flight import BatchGroup
from ocean_actors.port.live_writes import RunWrites, prints_of
from ocean_actors.port.sent_entities import SentEntities
from ocean_actors.port.upserts import BatchSender, UpsertCounts
from ocean_actors.port.window import Claim


class UpsertCall:
    """Sends the entities of one call, several batches at a time. For one thread."""

    def __init__(
        self,
        blueprint: str,
        query: Mapping[str, str],
        sender: BatchSender,
        counts: UpsertCounts,
        deferred: Deferred,
        sent: SentEntities,
        writes: RunWrites,
        group: BatchGroup,
    ) -> None:
        self._blueprint = blueprint
        self._query = query
        self._sender = sender
        self._counts = counts
        self._deferred = deferred
        self._sent = sent
        self._position = sent.position
        self._writes = writes
        self._group = group

    def send(self, items: Iterable[Item | None], *, few: bool) -> None:
        """Send all, and return once Port has answered. Raises PortError and the token's error.

        `few`: they are known to fit into one batch, which this thread can send.
        """
        try:
            with self._group:
                self._send_batches(items, few=few)
                self._send_deferred()
        finally:  # after an error, what Port has refused counts as such
            refused = [each.failure for each in self._deferred.close() if each.failure]
            if refused:
                self._counts.fail(refused)

    def _send_deferred(self) -> None:
        """Send once more what Port refused, as what it relates to was not there yet."""
        waiting = self._deferred.close()
        if not waiting:
            return
        written = self._sent.written_since(self._position, self._blueprint, targets(waiting))
        hopeful, failures = split(waiting, written)
        if failures:
            self._counts.fail(failures)
        for level in levels(hopeful, written):
            self._send_batches(level, few=len(level) <= self._sender.largest)

    def _send_batches(self, items: Iterable[Item | None], *, few: bool) -> None:
        """Send, and wait for the answers."""
        is_last = few

        def read() -> Iterator[Item | None]:
            nonlocal is_last
            for item in items:
                if item is None:  # the next may take long: what has failed is told before
                    self._group.check()
                yield item
            is_last = True

        for batch in batches(read(), lambda: self._sender.largest):
            # After the last batch this thread would only wait, so it sends that itself.
            claim = _claim(self._blueprint, batch)
            self._group.send(claim, functools.partial(self._send_batch, batch), here=is_last)
        self._group.wait()

    def _send_batch(self, batch: Sequence[Item]) -> None:
        """Send what no live event has written during this run."""
        batch = [item for item in batch if not self._deferred.takes(item)]
        names = [None if item.exact is None else (self._blueprint, item.exact) for item in batch]
        groups = [() if name is None else prints_of(name) for name in names]
        with self._writes.sending(groups) as free:
            wanted = [item for item, is_free in zip(batch, free, strict=True) if is_free]
            if wanted:
                self._sender.send(self._blueprint, wanted, self._query, self._counts)
        left_out = [item for item, is_free in zip(batch, free, strict=True) if not is_free]
        if left_out:
            self._counts.supersede([item.exact or item.identifier for item in left_out])


def _claim(blueprint: str, batch: Sequence[Item]) -> Claim:
    names = frozenset(item.exact for item in batch if item.exact is not None)
    return Claim(blueprint, names, whole=any(item.exact is None for item in batch))
