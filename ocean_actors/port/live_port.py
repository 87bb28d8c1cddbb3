"""How live handlers write entities to Port, independently of the runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ocean_actors.actors import Backoff
from ocean_actors.messages import UpsertResult
from ocean_actors.port.batches import Item, as_stored, batches, encode, targets_of
from ocean_actors.port.client import PortClient
from ocean_actors.port.deletion import Deletion
from ocean_actors.port.live_writes import LiveWrites, Name, prints_of
from ocean_actors.port.sent_entities import fingerprint
from ocean_actors.port.upserts import (
    BatchSender,
    UpsertCounts,
    UpsertOutcome,
    check_many,
    config_flag,
    upsert_query,
    write_batch,
)
from ocean_actors.retry import Retry
from ocean_actors.throttle import Throttle

BRIEF = Retry(attempts=3, seconds=20.0, backoff=Backoff(initial=0.2, maximum=5.0))
"""For one call to Port; the event itself is retried, too."""

ORIGIN = {"ocean_info_event_type": "http_request"}
"""As upstream marks what its live events write."""


class LiveEventPort:
    """`live.port` of one worker: see `ocean_actors.live.handler.LivePort` for the contract.

    It writes as the integration, with the same User-Agent as the runs, so `reconcile` knows the
    entities as its own. It marks what it writes in `writes` before it calls Port. `config`
    returns the newest config of the integration that is known.
    """

    def __init__(
        self,
        client: PortClient,
        writes: LiveWrites,
        config: Callable[[], Mapping[str, Any]],
        throttle: Throttle,
    ) -> None:
        self._client = client
        self._writes = writes
        self._config = config
        self._throttle = throttle
        self._kept = Throttle(client.clock)  # of deletions that Port refuses
        self._sender = BatchSender(functools.partial(write_batch, client, BRIEF))

    def upsert(
        self,
        blueprint: str,
        entities: Iterable[Mapping[str, object]],
        *,
        merge: bool | None = None,
        create_missing_related_entities: bool | None = None,
    ) -> UpsertResult:
        """Create the entities of `blueprint` in Port, or update those that exist."""
        check_many("upsert", blueprint, entities)
        query = upsert_query(self._config(), ORIGIN, merge, create_missing_related_entities)
        counts = UpsertCounts(blueprint, self._throttle, _note_nothing)
        related: set[int] = set()
        items = self._encoded(entities, counts, related)
        for batch in batches(items, lambda: self._sender.largest):
            self._send(blueprint, batch, query, counts, related)
        self._client.token.check()
        return counts.result()

    def delete(self, blueprint: str, identifiers: Iterable[str | float]) -> int:
        """Delete entities of `blueprint`; returns how many were there."""
        check_many("delete", blueprint, identifiers, "identifiers")
        names: list[Name] = []
        for each in identifiers:
            identifier = as_stored(each)
            if not isinstance(identifier, str) or not identifier:
                raise TypeError("identifiers: expected strings that are not empty, or numbers")
            names.append((blueprint, identifier))
        delete_dependents = config_flag(self._config(), "deleteDependentEntities", None)
        query = {"delete_dependents": delete_dependents, **ORIGIN}
        deletion = Deletion(self._client, query, BRIEF, self._claim, throttle=self._kept)
        return deletion.delete(names)

    def _encoded(
        self, entities: Iterable[object], counts: UpsertCounts, related: set[int]
    ) -> Iterator[Item]:
        """Yield the entities ready to be sent; adds the prints of their relations' targets."""
        for entity in entities:
            self._client.token.check()
            item = encode(entity)
            if not isinstance(item, Item):
                counts.fail([item])
                continue
            if isinstance(entity, Mapping):
                related.update(map(fingerprint, targets_of(entity)))
            yield item

    def _send(
        self,
        blueprint: str,
        batch: Sequence[Item],
        query: Mapping[str, str],
        counts: UpsertCounts,
        related: set[int],
    ) -> None:
        """Send a batch while the runs leave its entities alone.

        Only the answer tells which entity a search query finds. While a run is open, that entity
        is then marked and sent again: the run may have sent it at the same time.
        """
        prints = {
            each for item in batch if item.exact for each in prints_of((blueprint, item.exact))
        }
        client = self._client
        with self._writes.writing(prints | related, client.token, client.clock) as mark:
            outcomes = self._sender.send(blueprint, batch, query, counts)
            mark.prints = mark.prints.difference(_unwritten(blueprint, outcomes))
        found = [(item, name) for item, name in outcomes if name and not item.exact]
        if not found or not self._writes.run_open:
            return
        prints = {each for _, name in found for each in prints_of((blueprint, name))}
        with self._writes.writing(prints, client.token, client.clock):
            again = UpsertCounts(blueprint, self._throttle, _note_nothing)
            self._sender.send(blueprint, [item for item, _ in found], query, again)

    @contextmanager
    def _claim(self, names: Sequence[Name]) -> Iterator[list[Name]]:
        prints = {each for name in names for each in prints_of(name)}
        with self._writes.writing(prints, self._client.token, self._client.clock):
            yield list(names)


def _unwritten(blueprint: str, outcomes: Iterable[UpsertOutcome]) -> Iterator[int]:
    for item, name in outcomes:
        if name is None and item.exact:
            yield from prints_of((blueprint, item.exact))


def _note_nothing(_names: Sequence[str], _failed: int, _superseded: int) -> None:
    """Do nothing, as a live event keeps no record of what it wrote."""
