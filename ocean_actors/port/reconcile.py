"""Deletes what the integration owns in Port and a run did not send (docs/port-wire.md, section 2)."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterator, Mapping
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from ocean_actors.port.batches import parse_largest
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError, ReconcileRefused, UnexpectedAnswer
from ocean_actors.port.sent_entities import SentEntities, fingerprint
from ocean_actors.port.transport import segment
from ocean_actors.retry import Retry

logger = logging.getLogger(__name__)

LARGEST_PAGE = 5000
LARGEST_DELETE = 100  # entities in one call

Entity = Mapping[str, Any]
Name = tuple[str, str]
"""An entity's blueprint and identifier."""


class Reconciliation:
    """The delete phase of one run."""

    def __init__(
        self, client: PortClient, sent: SentEntities, query: Mapping[str, str], retry: Retry
    ) -> None:
        """Take the query of each delete, and how to try again."""
        self._client = client
        self._sent = sent
        self._query = query
        self._retry = retry
        self._largest = LARGEST_DELETE

    def run(self, max_share: float) -> int:
        """Delete, and say how many are gone.

        Raises ReconcileRefused if more than `max_share` (0 to 1) of what is owned would go, or
        what was sent is not all there is; PortError if Port cannot be asked.
        """
        if self._sent.incomplete is not None:
            raise ReconcileRefused(f"nothing is deleted: {self._sent.incomplete}")
        stale, owned = self._stale()
        if owned and len(stale) / owned > max_share:
            raise ReconcileRefused(
                f"nothing is deleted: {len(stale)} of {owned} entities would go, more than the "
                f"share of {max_share:g} (entityDeletionThreshold in the mapping, or max_share)"
            )
        return self._delete(sorted(stale))

    def _stale(self) -> tuple[list[Name], int]:
        """What was not sent, and how many are owned.

        What an entity that was sent relates to stays: Port may just have made it for that
        reason, and would delete with it what depends on it.
        """
        was_sent = self._sent.lookup()
        stale: list[Name] = []
        targets = array("Q")
        owned = 0
        for entity in self._owned():
            name = _name_of(entity)
            if name is None:
                continue
            owned += 1
            if was_sent(*name):
                targets.extend(map(fingerprint, _targets_of(entity)))
            else:
                stale.append(name)
        candidates = {fingerprint(identifier) for _, identifier in stale}
        kept = candidates.intersection(targets)
        return [name for name in stale if fingerprint(name[1]) not in kept], owned

    def _owned(self) -> Iterator[Entity]:
        """Everything that the integration owns, page by page."""
        prefix, suffix = self._client.ownership
        marks: set[str] = set()
        mark: str | None = None
        while True:
            body: dict[str, Any] = {
                "datasource_prefix": prefix,
                "datasource_suffix": suffix,
                "limit": LARGEST_PAGE,
            }
            if mark is not None:
                body["from"] = mark
            page, mark = self._client.call(
                "POST",
                "/blueprints/entities/datasource-entities",
                _parse_page,
                body=body,
                retry=self._retry,
                exporter=True,
            )
            yield from page
            if mark is None:
                return
            if mark in marks:
                raise PortError(f"Port's list of owned entities goes in circles at {mark!r}")
            marks.add(mark)

    def _delete(self, stale: list[Name]) -> int:
        """Delete in batches; what Port refuses so, one by one."""
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
        """How many are gone; None if Port refuses the batch for one of them."""
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
        """Delete one by one; again those that others depended on, as long as that helps."""
        gone = 0
        while left:
            refused: list[Name] = []
            reason = ""
            for blueprint, identifier in left:
                path = f"/blueprints/{segment(blueprint)}/entities/{segment(identifier)}"
                try:
                    self._client.call(
                        "DELETE", path, _nothing, query=self._query, retry=self._retry,
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
                    "%d entities stay: Port refuses to delete them: %s", len(left), reason
                )
                break
            left = refused
        return gone


def _refused(error: PortError) -> bool:
    """Whether it is about the entities, rather than about us or the weather."""
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


def _nothing(_answer: Mapping[str, Any]) -> None:
    pass


def _name_of(entity: Entity) -> Name | None:
    blueprint, identifier = entity.get("blueprint"), entity.get("identifier")
    if isinstance(blueprint, str) and isinstance(identifier, str):
        return blueprint, identifier
    return None


def _targets_of(entity: Entity) -> Iterator[str]:
    """The identifiers that an entity relates to."""
    relations = entity.get("relations")
    for value in relations.values() if isinstance(relations, dict) else ():
        for target in value if isinstance(value, list) else (value,):
            if isinstance(target, str):
                yield target
