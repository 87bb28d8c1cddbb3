"""Blueprints and their entities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from ocean_actors.sandbox.entity_rules import (
    Writing,
    check_properties,
    read_entity,
    without_unknown,
)
from ocean_actors.sandbox.errors import ApiError, conflict, invalid, not_found
from ocean_actors.sandbox.search import compile_query
from ocean_actors.sandbox.stamps import Stamps

Json = dict[str, Any]


@dataclass(frozen=True)
class Entity:
    """An entity. `writer` is the User-Agent that wrote it last, which owns it."""

    identifier: str
    blueprint: str
    title: str | None
    icon: str | None
    team: Any
    properties: Json
    relations: Json
    writer: str
    created_at: str
    updated_at: str

    def value(self, name: str) -> Any:
        """Returns the value of a property in a search rule."""
        meta = {
            "$identifier": self.identifier,
            "$blueprint": self.blueprint,
            "$title": self.title,
            "$icon": self.icon,
            "$team": self.team,
            "$datasource": self.writer,
            "$createdAt": self.created_at,
            "$updatedAt": self.updated_at,
        }
        if name in meta:
            return meta[name]
        return self.properties[name] if name in self.properties else self.relations.get(name)

    def targets(self) -> Iterator[tuple[str, str]]:
        """Yields the name of each relation with each identifier in it."""
        for name, value in self.relations.items():
            for target in value if isinstance(value, list) else [value]:
                if target is not None:
                    yield name, target

    def as_json(self) -> Json:
        """Returns the entity as the API shows it."""
        return {
            "identifier": self.identifier,
            "blueprint": self.blueprint,
            "title": self.title,
            "icon": self.icon,
            "team": self.team,
            "properties": self.properties,
            "relations": self.relations,
            "createdAt": self.created_at,
            "createdBy": "sandbox",
            "updatedAt": self.updated_at,
            "updatedBy": "sandbox",
        }


class Catalog:
    """Blueprints by identifier, and the entities of each by identifier."""

    def __init__(self, stamps: Stamps) -> None:
        self.refuse_unknown_properties = True
        self._stamps = stamps
        self._blueprints: dict[str, Json] = {}
        self._entities: dict[str, dict[str, Entity]] = {}

    # -- blueprints --------------------------------------------------------------------------------

    def blueprints(self) -> list[Json]:
        """Returns all blueprints."""
        return list(self._blueprints.values())

    def blueprint(self, identifier: str) -> Json:
        """Returns a blueprint. Raises ApiError 404."""
        if identifier not in self._blueprints:
            raise not_found("Blueprint", identifier)
        return self._blueprints[identifier]

    def create_blueprint(self, fields: Json) -> Json:
        """Create a blueprint. Raises ApiError 409 if it exists."""
        if fields["identifier"] in self._blueprints:
            raise conflict("identifier_taken", f'Blueprint "{fields["identifier"]}" exists already')
        return self._put_blueprint(fields, self._stamps.next())

    def change_blueprint(self, identifier: str, fields: Json) -> Json:
        """Replace the fields of a blueprint. Raises ApiError 404."""
        before = self.blueprint(identifier)
        return self._put_blueprint({**fields, "identifier": identifier}, before["createdAt"])

    def check_relations(self, fields: Json) -> None:
        """Raises ApiError 422 if a blueprint relates to one that does not exist."""
        for name, relation in (fields.get("relations") or {}).items():
            target = relation.get("target")
            if target not in self._blueprints and target != fields.get("identifier"):
                raise invalid(f'relations.{name}.target: blueprint "{target}" does not exist')

    def delete_blueprint(self, identifier: str) -> None:
        """Delete a blueprint. Raises ApiError 404, or 409 if it has entities."""
        self.blueprint(identifier)
        if self._entities[identifier]:
            raise conflict("has_dependents", f'Blueprint "{identifier}" still has entities')
        del self._blueprints[identifier], self._entities[identifier]

    def _put_blueprint(self, fields: Json, created_at: str) -> Json:
        blueprint = {
            "title": fields["identifier"],
            "schema": {"properties": {}, "required": []},
            "relations": {},
            **fields,
            "createdAt": created_at,
            "updatedAt": self._stamps.next(),
        }
        self._blueprints[blueprint["identifier"]] = blueprint
        self._entities.setdefault(blueprint["identifier"], {})
        return blueprint

    # -- entities ----------------------------------------------------------------------------------

    def entities(self, blueprint: str | None = None) -> list[Entity]:
        """Returns all entities, or those of one blueprint. Raises ApiError 404 if it is unknown."""
        if blueprint is not None:
            self.blueprint(blueprint)
            return list(self._entities[blueprint].values())
        return [entity for entities in self._entities.values() for entity in entities.values()]

    def entity(self, blueprint: str, identifier: str) -> Entity:
        """Returns an entity. Raises ApiError 404."""
        self.blueprint(blueprint)
        if identifier not in self._entities[blueprint]:
            raise not_found("Entity", identifier)
        return self._entities[blueprint][identifier]

    def write(
        self, blueprint: str, body: Any, writing: Writing, writer: str
    ) -> tuple[Entity, bool]:
        """Write an entity; returns it and whether it is new. Raises ApiError."""
        model = self.blueprint(blueprint)
        fields = read_entity(body, self._one_matching)
        if not self.refuse_unknown_properties:
            fields = without_unknown(fields, model.get("schema") or {})
        old = self._entities[blueprint].get(fields.identifier)
        if old is not None and not writing.upsert:
            raise conflict("entity_exists", f'Entity "{fields.identifier}" exists already')
        now = self._stamps.next()
        if old is not None and writing.merge:
            entity = replace(
                old,
                **fields.given,
                properties={**old.properties, **fields.properties},
                relations={**old.relations, **fields.relations},
                writer=writer,
                updated_at=now,
            )
        else:
            entity = Entity(
                identifier=fields.identifier,
                blueprint=blueprint,
                properties=fields.properties,
                relations=fields.relations,
                writer=writer,
                created_at=old.created_at if old is not None else now,
                updated_at=now,
                **{"title": None, "icon": None, "team": [], **fields.given},
            )
        check_properties(entity.properties, model.get("schema") or {})
        missing = self._missing_targets(entity, model)
        if missing and not writing.create_missing:
            (target, name), *_ = missing
            raise ApiError(404, "not_found", f'Entity "{name}" of "{target}" was not found')
        if not writing.validate_only:
            for target, name in missing:
                self._put(Entity(name, target, None, None, [], {}, {}, writer, now, now))
            self._put(entity)
        return entity, old is None

    def delete(self, blueprint: str, identifiers: Iterable[str], dependents: bool) -> list[str]:
        """Delete entities and return the identifiers of those that existed.

        Entities that relate to them are deleted too if `dependents` is true; else ApiError 409 is
        raised and nothing is deleted.
        """
        self.blueprint(blueprint)
        doomed = {(blueprint, name) for name in identifiers if name in self._entities[blueprint]}
        named = [name for _, name in doomed]
        newest = doomed
        while newest:
            newest = set(self._relating_to(newest)) - doomed
            if newest and not dependents:
                example = min(newest)
                raise conflict("has_dependents", f'Entity "{example[1]}" relates to one of these')
            doomed |= newest
        for owner, name in doomed:
            del self._entities[owner][name]
        return sorted(named)

    def search(self, query: Any, blueprint: str | None = None) -> list[Entity]:
        """Returns the entities that a query matches. Raises ApiError 422."""
        matches = compile_query(query)
        return [entity for entity in self.entities(blueprint) if matches(entity)]

    def page_of(
        self, entities: Iterable[Entity], limit: int, after: str | None
    ) -> tuple[list[Entity], str | None]:
        """Returns at most `limit` entities after the mark `after`, by name, and the next mark.

        The mark is a name, so that deleting earlier entities does not shift the following ones.
        """
        named = ((f"{item.blueprint}\n{item.identifier}", item) for item in entities)
        ordered = sorted(named, key=lambda pair: pair[0])
        rest = [pair for pair in ordered if after is None or pair[0] > after]
        page = list(islice(rest, limit))
        return [item for _, item in page], page[-1][0] if len(rest) > limit else None

    def _put(self, entity: Entity) -> None:
        self._entities[entity.blueprint][entity.identifier] = entity

    def _missing_targets(self, entity: Entity, model: Json) -> list[tuple[str, str]]:
        relations = model.get("relations") or {}
        missing = []
        for name, target in entity.targets():
            if name not in relations:
                raise invalid(
                    f'relations.{name}: blueprint "{entity.blueprint}" has no such relation'
                )
            blueprint = str(relations[name].get("target"))
            own = (blueprint, target) == (entity.blueprint, entity.identifier)
            if not own and target not in self._entities.get(blueprint, {}):
                self.blueprint(blueprint)
                missing.append((blueprint, target))
        return missing

    def _relating_to(self, targets: set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        for blueprint, entities in self._entities.items():
            relations = self._blueprints[blueprint].get("relations") or {}
            for entity in entities.values():
                for name, target in entity.targets():
                    if (relations.get(name, {}).get("target"), target) in targets:
                        yield blueprint, entity.identifier

    def _one_matching(self, query: Json) -> str | None:
        found = self.search(query)
        return found[0].identifier if len(found) == 1 else None
