"""Port's API for blueprints and entities, a function per call; docs/port-wire.md, section 2."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ocean_actors.port_time import parse_time
from ocean_actors.sandbox import schemas
from ocean_actors.sandbox.api import Handler, Reply, ok
from ocean_actors.sandbox.entity_rules import Writing
from ocean_actors.sandbox.errors import ApiError, invalid
from ocean_actors.sandbox.request import Request
from ocean_actors.sandbox.state import State

MAX_UPSERT = 20  # entities in one call
MAX_DELETE = 100

# -- blueprints ----------------------------------------------------------------------------------


def list_blueprints(_request: Request, state: State) -> Reply:
    """GET /blueprints."""
    return ok(blueprints=state.catalog.blueprints())


def get_blueprint(_request: Request, state: State, blueprint: str) -> Reply:
    """GET /blueprints/{bp}."""
    return ok(blueprint=state.catalog.blueprint(blueprint))


def create_blueprint(request: Request, state: State) -> Reply:
    """POST /blueprints."""
    fields = request.body(schemas.Blueprint).given()
    _check_relations(state, fields)
    return ok(201, blueprint=state.catalog.create_blueprint(fields))


def put_blueprint(request: Request, state: State, blueprint: str) -> Reply:
    """PUT /blueprints/{bp}."""
    fields = request.body(schemas.Blueprint).given()
    _check_relations(state, fields)
    return ok(blueprint=state.catalog.change_blueprint(blueprint, fields))


def patch_blueprint(request: Request, state: State, blueprint: str) -> Reply:
    """PATCH /blueprints/{bp}."""
    before = state.catalog.blueprint(blueprint)
    changes = request.json or {}
    if not isinstance(changes, dict):
        raise invalid("body: must be an object")
    merged = {**before, **changes, "identifier": blueprint}
    fields = schemas.check(schemas.Blueprint, merged).given()
    _check_relations(state, fields)
    return ok(blueprint=state.catalog.change_blueprint(blueprint, fields))


def _check_relations(state: State, fields: dict[str, Any]) -> None:
    if state.behaviour.relations_need_targets:
        state.catalog.check_relations(fields)


def delete_blueprint(_request: Request, state: State, blueprint: str) -> Reply:
    """DELETE /blueprints/{bp}."""
    state.catalog.delete_blueprint(blueprint)
    return ok()


# -- entities ------------------------------------------------------------------------------------


def upsert_entities(request: Request, state: State, blueprint: str) -> Reply:
    """POST /blueprints/{bp}/entities/bulk: 207 if some were refused."""
    state.catalog.blueprint(blueprint)
    bodies = request.body(schemas.Entities).entities
    if len(bodies) > MAX_UPSERT:
        raise invalid(f"entities: at most {MAX_UPSERT}, not {len(bodies)}")
    writing, written, errors = _writing(request), [], []
    for index, body in enumerate(bodies):
        try:
            entity, created = state.catalog.write(blueprint, body, writing, request.agent)
        except ApiError as error:
            problem = {"statusCode": error.status, "error": error.error, "message": error.message}
            errors.append({"index": index, "identifier": _identifier_of(body), **problem})
        else:
            item = {"index": index, "identifier": entity.identifier, "created": created}
            written.append(item)
    return ok(207 if errors else 200, entities=written, errors=errors)


def upsert_entity(request: Request, state: State, blueprint: str) -> Reply:
    """POST /blueprints/{bp}/entities."""
    entity, created = state.catalog.write(blueprint, request.json, _writing(request), request.agent)
    return ok(201 if created else 200, entity=entity.as_json())


def put_entity(request: Request, state: State, blueprint: str, entity: str) -> Reply:
    """PUT /blueprints/{bp}/entities/{id}: replaces the entity."""
    return _change_entity(request, state, blueprint, entity, merge=False)


def patch_entity(request: Request, state: State, blueprint: str, entity: str) -> Reply:
    """PATCH /blueprints/{bp}/entities/{id}: changes the given fields."""
    return _change_entity(request, state, blueprint, entity, merge=True)


def list_entities(_request: Request, state: State, blueprint: str) -> Reply:
    """GET /blueprints/{bp}/entities."""
    return ok(entities=[item.as_json() for item in state.catalog.entities(blueprint)])


def get_entity(_request: Request, state: State, blueprint: str, entity: str) -> Reply:
    """GET /blueprints/{bp}/entities/{id}."""
    return ok(entity=state.catalog.entity(blueprint, entity).as_json())


def delete_entity(request: Request, state: State, blueprint: str, entity: str) -> Reply:
    """DELETE /blueprints/{bp}/entities/{id}."""
    state.catalog.entity(blueprint, entity)
    state.catalog.delete(blueprint, [entity], request.flag("delete_dependents"))
    return ok()


def delete_entities(request: Request, state: State, blueprint: str) -> Reply:
    """POST /blueprints/{bp}/bulk/entities/delete."""
    names = request.body(schemas.EntityNames).entities
    if len(names) > MAX_DELETE:
        raise invalid(f"entities: at most {MAX_DELETE}, not {len(names)}")
    deleted = state.catalog.delete(blueprint, names, request.flag("delete_dependents"))
    return ok(deletedEntities=deleted)


def owned_entities(request: Request, state: State) -> Reply:
    """POST /blueprints/entities/datasource-entities: one integration's entities, in pages."""
    body = request.body(schemas.Owned)
    until = parse_time(body.before)
    owned = (
        entity
        for entity in state.catalog.entities()
        if entity.writer.startswith(body.datasource_prefix)
        and entity.writer.endswith(body.datasource_suffix)
        and (until is None or _before(entity.updated_at, until))
    )
    page, mark = state.catalog.page_of(owned, body.limit, body.start)
    return ok(entities=[entity.as_json() for entity in page], next=mark)


def search_entities(request: Request, state: State) -> Reply:
    """POST /entities/search."""
    found = state.catalog.search(request.json)
    blueprints = sorted({entity.blueprint for entity in found})
    return ok(entities=[entity.as_json() for entity in found], matchingBlueprints=blueprints)


def search_blueprint(request: Request, state: State, blueprint: str) -> Reply:
    """POST /blueprints/{bp}/entities/search, in pages."""
    body = request.body(schemas.Search)
    found = state.catalog.search(body.query, blueprint)
    page, mark = state.catalog.page_of(found, body.limit, body.start)
    return ok(entities=[entity.as_json() for entity in page], next=mark)


def _before(stamp: str, until: datetime) -> bool:
    written = parse_time(stamp)
    return written is not None and written < until


def _writing(request: Request) -> Writing:
    return Writing(
        upsert=request.flag("upsert"),
        merge=request.flag("merge"),
        create_missing=request.flag("create_missing_related_entities"),
        validate_only=request.flag("validation_only"),
    )


def _change_entity(
    request: Request, state: State, blueprint: str, name: str, *, merge: bool
) -> Reply:
    state.catalog.entity(blueprint, name)
    if not isinstance(request.json, dict):
        raise invalid("body: must be an object")
    body = {**request.json, "identifier": name}
    create_missing = request.flag("create_missing_related_entities")
    writing = Writing(upsert=True, merge=merge, create_missing=create_missing)
    changed, _ = state.catalog.write(blueprint, body, writing, request.agent)
    return ok(entity=changed.as_json())


def _identifier_of(body: Any) -> str:
    name = body.get("identifier") if isinstance(body, dict) else None
    return name if isinstance(name, str) else "unknown"


BLUEPRINT = "/v1/blueprints/<blueprint:part>"
ENTITY = f"{BLUEPRINT}/entities/<entity:part>"

ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", "/v1/blueprints", list_blueprints),
    ("POST", "/v1/blueprints", create_blueprint),
    ("POST", "/v1/blueprints/entities/datasource-entities", owned_entities),
    ("GET", BLUEPRINT, get_blueprint),
    ("PUT", BLUEPRINT, put_blueprint),
    ("PATCH", BLUEPRINT, patch_blueprint),
    ("DELETE", BLUEPRINT, delete_blueprint),
    ("POST", f"{BLUEPRINT}/entities/bulk", upsert_entities),
    ("POST", f"{BLUEPRINT}/bulk/entities/delete", delete_entities),
    ("POST", f"{BLUEPRINT}/entities/search", search_blueprint),
    ("GET", f"{BLUEPRINT}/entities", list_entities),
    ("POST", f"{BLUEPRINT}/entities", upsert_entity),
    ("GET", ENTITY, get_entity),
    ("PUT", ENTITY, put_entity),
    ("PATCH", ENTITY, patch_entity),
    ("DELETE", ENTITY, delete_entity),
    ("POST", "/v1/entities/search", search_entities),
]
