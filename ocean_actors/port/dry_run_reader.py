"""What a dry run reads from Port: blueprints, and the entities to compare with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ocean_actors.port.client import PortClient
from ocean_actors.port.dry_run import Blueprint, Entity
from ocean_actors.port.dry_run_notes import DryRunNotes
from ocean_actors.port.entity_calls import PATIENT
from ocean_actors.port.errors import PortError, UnexpectedAnswer
from ocean_actors.port.transport import segment

ANSWER_BYTES = 16 * 1024 * 1024  # of the entities of one batch, as Port holds them


class Refused(Exception):
    """Port would refuse an entity; `status` is the one that it would answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class PortReader:
    """Reads from Port what a dry run compares with."""

    def __init__(
        self, client: PortClient, declared: Mapping[str, Blueprint], notes: DryRunNotes
    ) -> None:
        self._client = client
        self._declared = declared
        self._notes = notes

    def blueprint(self, name: str) -> Blueprint:
        """Returns a blueprint. Raises PortError with status 404 if it would not exist."""
        known = self._notes.known.get(name)
        if known is None:
            self._notes.known[name] = known = self._fetch(name)
        return known

    def entities(self, blueprint: str, identifiers: Sequence[str]) -> dict[str, Entity]:
        """Returns those of the entities that exist, by identifier."""
        rule = {"property": "$identifier", "operator": "in", "value": list(identifiers)}
        if not identifiers:
            return {}
        found = self._search(blueprint, {"combinator": "and", "rules": [rule]}, len(identifiers))
        return {name: each for each in found if isinstance(name := each.get("identifier"), str)}

    def found(self, blueprint: str, query: Mapping[str, Any]) -> str:
        """Returns what a search query stands for. Raises Refused unless it is exactly one."""
        found = self._search(blueprint, query, 2)
        identifier = found[0].get("identifier") if len(found) == 1 else None
        if not isinstance(identifier, str):
            raise Refused(404, "the search does not find exactly one entity")
        return identifier

    def _fetch(self, name: str) -> Blueprint:
        try:
            return self._client.get_blueprint(name, retry=PATIENT)
        except PortError as error:
            if error.status != 404:
                raise
            if name in self._declared:
                self._notes.missing.add(name)
                return self._declared[name]
            self._notes.unknown.add(name)
            raise

    def _search(self, blueprint: str, query: Mapping[str, Any], limit: int) -> list[Entity]:
        if blueprint in self._notes.missing:
            return []
        return self._client.call(
            "POST",
            f"/blueprints/{segment(blueprint)}/entities/search",
            _parse_entities,
            query={"exclude_calculated_properties": "true"},
            body={"query": query, "limit": limit},
            retry=PATIENT,
            exporter=True,
            max_bytes=ANSWER_BYTES,
        )


def _parse_entities(answer: Mapping[str, Any]) -> list[Entity]:
    found = answer.get("entities")
    if not isinstance(found, list):
        raise UnexpectedAnswer("expected a list 'entities'")
    return list(_objects(found))


def _objects(items: Sequence[object]) -> Iterator[Entity]:
    return (item for item in items if isinstance(item, Mapping))
