"""Which entities Port accepts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ocean_actors.sandbox.errors import ApiError, invalid

Json = dict[str, Any]
Resolve = Callable[[Json], "str | None"]  # runs a search that must find exactly one entity

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}


@dataclass(frozen=True)
class Writing:
    """How to write entities: the query parameters of docs/port-wire.md, section 2."""

    upsert: bool = False
    merge: bool = False
    create_missing: bool = False
    validate_only: bool = False


@dataclass(frozen=True)
class Fields:
    """A sent entity; `given` has those of title, icon and team that were sent."""

    identifier: str
    given: Json
    properties: Json
    relations: Json


def read_entity(body: Any, resolve: Resolve) -> Fields:
    """Returns an entity's fields. Raises ApiError 422, or 404 unless a search finds exactly one.

    The identifier and the values of relations may be searches.
    """
    if not isinstance(body, dict):
        raise invalid("entity: must be an object")
    identifier = body.get("identifier")
    if isinstance(identifier, dict):
        identifier = _found(identifier, resolve)
    if not isinstance(identifier, str) or not identifier:
        raise invalid("identifier: must be a string that is not empty")
    properties, relations = body.get("properties") or {}, body.get("relations") or {}
    if not isinstance(properties, dict) or not isinstance(relations, dict):
        raise invalid("properties and relations: must be objects")
    given = {key: body[key] for key in ("title", "icon", "team") if key in body}
    if not all(isinstance(given.get(key), (str, type(None))) for key in ("title", "icon")):
        raise invalid("title and icon: must be strings")
    resolved = {name: _relation(name, value, resolve) for name, value in relations.items()}
    return Fields(identifier, given, properties, resolved)


def without_unknown(entity: Fields, schema: Json) -> Fields:
    """Returns the entity without the properties that its blueprint does not have."""
    known = schema.get("properties") or {}
    kept = {name: value for name, value in entity.properties.items() if name in known}
    return replace(entity, properties=kept)


def check_properties(properties: Json, schema: Json) -> None:
    """Raises ApiError 422 for an unknown, a missing or a wrongly typed property."""
    known = schema.get("properties") or {}
    for name in schema.get("required") or ():
        if properties.get(name) is None:
            raise invalid(f"properties.{name}: is required")
    for name, value in properties.items():
        if name not in known:
            raise invalid(f"properties.{name}: the blueprint has no such property")
        wanted = str(known[name].get("type"))
        if value is not None and not isinstance(value, TYPES.get(wanted, (object,))):
            raise invalid(f"properties.{name}: must be of type {wanted}")
        if isinstance(value, bool) and wanted == "number":
            raise invalid(f"properties.{name}: must be of type number")


def _relation(name: str, value: Any, resolve: Resolve) -> Any:
    if isinstance(value, dict):
        return _found(value, resolve)
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, (str, type(None))) for item in items):
        raise invalid(f"relations.{name}: must be an identifier, a list of them, or null")
    return value


def _found(query: Json, resolve: Resolve) -> str:
    identifier = resolve(query)
    if identifier is None:
        raise ApiError(404, "not_found", "the search does not find exactly one entity")
    return identifier
