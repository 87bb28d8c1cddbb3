"""Deletes entities that the integration owns and a run did not send (docs/port-wire.md, 2)."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ocean_actors.port.batches import targets_of
from ocean_actors.port.client import PortClient
from ocean_actors.port.deletion import Deletion, Each
from ocean_actors.port.errors import (
    AnswerTooLarge,
    PortError,
    ReconcileRefused,
    UnexpectedAnswer,
)
from ocean_actors.port.live_writes import Name, RunWrites, prints_with_relations
from ocean_actors.port.sent_entities import SentEntities, fingerprint
from ocean_actors.retry import Retry
from ocean_actors.text import one_line

LARGEST_PAGE = 5000  # entities
PAGE_BYTES = 16 * 1024 * 1024
"""Of one page of owned entities; a page that is larger is asked for in smaller ones."""

Entity = Mapping[str, Any]


@dataclass(frozen=True)
class Planned:
    """What a dry run would have written, which Port's list of owned entities does not tell.

    `targets` are the fingerprints of all identifiers to which the entities would relate; `counts`
    has the number of the entities, by blueprint.
    """

    targets: AbstractSet[int]
    counts: Mapping[str, int]


class Reconciliation:
    """The delete phase of one run."""

    def __init__(
        self,
        client: PortClient,
        sent: SentEntities,
        query: Mapping[str, str],
        retry: Retry,
        writes: RunWrites,
        blueprints: frozenset[str] | None = None,
        *,
        planned: Planned | None = None,
        each: Each = map,
    ) -> None:
        """Take the query of each deletion, and how to repeat calls that fail temporarily.

        Only entities of `blueprints` are deleted; None: of any blueprint. `writes` knows what
        live events have written. `planned` is what was sent in a dry run. `each`: see `Deletion`.
        """
        self._client = client
        self._sent = sent
        self._query = query
        self._retry = retry
        self._writes = writes
        self._blueprints = blueprints
        self._planned = planned
        self._each = each

    def run(self, max_share: float) -> int:
        """Delete, and return how many entities were deleted.

        Raises ReconcileRefused if more than `max_share` (0 to 1) of the owned entities would be
        deleted, or if an entity that exists may not have been sent; PortError if Port cannot be
        asked.
        """
        self._sent.mark_reconciled(ok=False)
        deletion = Deletion(
            self._client,
            self._query,
            self._retry,
            self._claim,
            self._sent.add_deleted,
            self._each,
        )
        deleted = deletion.delete(self.stale(max_share))
        self._sent.mark_reconciled(ok=True)
        return deleted

    def stale(self, max_share: float) -> list[Name]:
        """Returns the entities to delete, sorted. Raises as `run` does."""
        if self._sent.incomplete is not None:
            raise ReconcileRefused(f"nothing is deleted: {self._sent.incomplete}")
        if self._blueprints is not None and not self._blueprints:
            return []
        stale, owned = self._stale()
        if owned and len(stale) / owned > max_share:
            raise ReconcileRefused(
                f"nothing is deleted: {len(stale)} of {owned} entities would be deleted, more "
                f"than the share of {max_share:g} (entityDeletionThreshold in the mapping, or "
                "max_share)"
            )
        return sorted(stale)

    def _stale(self) -> tuple[list[Name], int]:
        """Returns the owned entities that were not sent, and how many are owned, of the blueprints.

        Entities to which a sent one relates are kept: Port may just have created them for that
        relation, and would delete with them what depends on them. So is what live events have
        written during the run, and what that relates to.
        """
        was_sent = self._sent.lookup()
        stale: list[Name] = []
        targets = array("Q")
        owned = 0
        for entity in self._owned():
            name = _name_of(entity)
            if name is None:
                continue
            may_go = self._blueprints is None or name[0] in self._blueprints
            sent = was_sent(*name) or self._writes.touched_live(name)
            owned += may_go and not (sent and self._planned)
            if sent:
                targets.extend(map(fingerprint, targets_of(entity)))
            elif may_go:
                stale.append(name)
        candidates = {fingerprint(identifier) for _, identifier in stale}
        if self._planned is not None:
            owned += sum(
                count
                for name, count in self._planned.counts.items()
                if self._blueprints is None or name in self._blueprints
            )
        kept = candidates.intersection(targets if self._planned is None else self._planned.targets)
        return [name for name in stale if fingerprint(name[1]) not in kept], owned

    @contextmanager
    def _claim(self, names: Sequence[Name]) -> Iterator[list[Name]]:
        """Yields those of a batch that live events have left alone until now."""
        with self._writes.sending([prints_with_relations(name) for name in names]) as free:
            yield [name for name, is_free in zip(names, free, strict=True) if is_free]

    def _owned(self) -> Iterator[Entity]:
        """Yields all entities that the integration owns, page by page."""
        prefix, suffix = self._client.ownership
        marks: set[str] = set()
        mark: str | None = None
        limit = LARGEST_PAGE
        while True:
            body: dict[str, Any] = {
                "datasource_prefix": prefix,
                "datasource_suffix": suffix,
                "limit": limit,
            }
            if mark is not None:
                body["from"] = mark
            try:
                page, mark = self._client.call(
                    "POST",
                    "/blueprints/entities/datasource-entities",
                    _parse_page,
                    body=body,
                    retry=self._retry,
                    exporter=True,
                    max_bytes=PAGE_BYTES,
                )
            except AnswerTooLarge:
                if limit == 1:
                    raise
                limit //= 2
                continue
            yield from page
            if mark is None:
                return
            if mark in marks:
                shown = one_line(mark)
                raise PortError(f"Port's list of owned entities repeats itself at {shown!r}")
            marks.add(mark)


def _parse_page(answer: Mapping[str, Any]) -> tuple[list[Entity], str | None]:
    found, mark = answer.get("entities"), answer.get("next")
    if not isinstance(found, list):
        raise UnexpectedAnswer("expected a list 'entities'")
    entities: list[Entity] = [item for item in found if isinstance(item, dict)]
    return entities, mark if isinstance(mark, str) and mark else None


def _name_of(entity: Entity) -> Name | None:
    blueprint, identifier = entity.get("blueprint"), entity.get("identifier")
    if isinstance(blueprint, str) and isinstance(identifier, str):
        return blueprint, identifier
    return None
