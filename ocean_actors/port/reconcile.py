"""Deletes entities that the integration owns and a run did not send (docs/port-wire.md, 2)."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from ocean_actors.log import get_logger
from ocean_actors.port.batches import parse_largest
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import (
    AnswerTooLarge,
    PortError,
    ReconcileRefused,
    UnexpectedAnswer,
)
from ocean_actors.port.sent_entities import SentEntities, fingerprint
from ocean_actors.port.transport import ignore, segment
from ocean_actors.retry import Retry
from ocean_actors.text import one_line

logger = get_logger(__name__)

LARGEST_PAGE = 5000  # entities
PAGE_BYTES = 16 * 1024 * 1024
"""Of one page of owned entities; a page that is larger is asked for in smaller ones."""
LARGEST_DELETE = 100  # entities in one call

Entity = Mapping[str, Any]
Name = tuple[str, str]
"""An entity's blueprint and identifier."""


@dataclass(frozen=True)
class Planned:
    """What a dry run would have written, which Port's list of owned entities does not tell.

    `targets` are the fingerprints of all identifiers to which the entities would relate; `counts`
    says how many entities they are, by blueprint.
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
        blueprints: frozenset[str] | None = None,
        *,
        planned: Planned | None = None,
    ) -> None:
        """Take the query of each deletion, and how to repeat calls that fail for a while.

        Entities of other `blueprints` are left alone; None: no blueprint is. `planned` is what
        was sent in a dry run.
        """
        self._client = client
        self._sent = sent
        self._query = query
        self._retry = retry
        self._blueprints = blueprints
        self._planned = planned
        self._largest = LARGEST_DELETE

    def run(self, max_share: float) -> int:
        """Delete, and return how many entities were deleted.

        Raises ReconcileRefused if more than `max_share` (0 to 1) of the owned entities would be
        deleted, or if an entity that exists may not have been sent; PortError if Port cannot be
        asked.
        """
        self._sent.mark_reconciled(ok=False)
        deleted = self._delete(self.stale(max_share))
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
        relation, and would delete with them what depends on them.
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
            sent = was_sent(*name)
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

    def _delete(self, stale: list[Name]) -> int:
        """Delete in batches, and the entities of refused batches one by one."""
        gone = 0
        left: list[Name] = []
        for blueprint, group in groupby(stale, key=itemgetter(0)):
            names = (identifier for _, identifier in group)
            while batch := list(islice(names, self._largest)):
                count = self._delete_batch(blueprint, batch)
                if count is None:
                    left.extend((blueprint, identifier) for identifier in batch)
                else:
                    gone += count
        return gone + self._delete_singly(left)

    def _delete_batch(self, blueprint: str, identifiers: list[str]) -> int | None:
        """Returns how many were deleted; None if Port refuses the batch because of one of them."""
        try:
            count, largest = self._client.call(
                "POST",
                f"/blueprints/{segment(blueprint)}/bulk/entities/delete",
                _parse_deleted,
                query=self._query,
                body={"entities": identifiers},
                retry=self._retry,
                exporter=True,
            )
        except PortError as error:
            if not _refused(error):
                raise
            return None
        self._largest = min(LARGEST_DELETE, largest or LARGEST_DELETE)
        self._sent.add_deleted(count)
        return count

    def _delete_singly(self, left: list[Name]) -> int:
        """Delete one by one, and repeat for entities on which others depended while that helps."""
        gone = 0
        while left:
            refused: list[Name] = []
            reason = ""
            for blueprint, identifier in left:
                path = f"/blueprints/{segment(blueprint)}/entities/{segment(identifier)}"
                try:
                    self._client.call(
                        "DELETE", path, ignore, query=self._query, retry=self._retry,
                        exporter=True,
                    )  # fmt: skip
                except PortError as error:
                    if error.status == 404:  # gone already
                        continue
                    if not _refused(error):
                        raise
                    refused.append((blueprint, identifier))
                    reason = str(error)
                else:
                    gone += 1
                    self._sent.add_deleted(1)
            if len(refused) == len(left):
                logger.warning(
                    "%d entities were kept, as Port refuses to delete them: %s", len(left), reason
                )
                break
            left = refused
        return gone


def _refused(error: PortError) -> bool:
    """Returns whether Port refuses the entities, rather than us or every call at the moment."""
    return not error.temporary and error.status not in (None, 401, 403)


def _parse_page(answer: Mapping[str, Any]) -> tuple[list[Entity], str | None]:
    found, mark = answer.get("entities"), answer.get("next")
    if not isinstance(found, list):
        raise UnexpectedAnswer("expected a list 'entities'")
    entities: list[Entity] = [item for item in found if isinstance(item, dict)]
    return entities, mark if isinstance(mark, str) and mark else None


def _parse_deleted(answer: Mapping[str, Any]) -> tuple[int, int | None]:
    deleted = answer.get("deletedEntities")
    if not isinstance(deleted, list):
        raise UnexpectedAnswer("expected a list 'deletedEntities'")
    return len(deleted), parse_largest(answer)


def _name_of(entity: Entity) -> Name | None:
    blueprint, identifier = entity.get("blueprint"), entity.get("identifier")
    if isinstance(blueprint, str) and isinstance(identifier, str):
        return blueprint, identifier
    return None


def targets_of(entity: Entity) -> Iterator[str]:
    """Yields the identifiers to which an entity relates."""
    relations = entity.get("relations")
    for value in relations.values() if isinstance(relations, dict) else ():
        for target in value if isinstance(value, list) else (value,):
            if isinstance(target, str):
                yield target
