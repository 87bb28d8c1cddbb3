"""Blueprints as handlers declare them, in code or in files: read, checked, immutable.

A declaration is a blueprint in the form of Port's API, the path of a JSON or YAML file with one or
a list of them, or a sequence of these.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from ocean_actors.errors import UsageError
from ocean_actors.frozen import FrozenDict, NestedTooDeeply, freeze
from ocean_actors.text import one_line

Blueprint: TypeAlias = Mapping[str, object]
"""A blueprint in the form of Port's API: `identifier`, `title`, `schema`, `relations`, …"""
Declaration: TypeAlias = (
    Blueprint | str | os.PathLike[str] | Sequence[Blueprint | str | os.PathLike[str]]
)

EXPECTED = "expected a blueprint (a mapping) or the path of a JSON or YAML file"
SECTIONS = ("mirrorProperties", "calculationProperties", "aggregationProperties")


class BlueprintError(UsageError):
    """A blueprint cannot be used; one readable line that names its class, file and position."""


def blueprints_of(name: str, declaring: object) -> tuple[FrozenDict, ...]:
    """Returns the blueprints that a class declares in its attribute `blueprints`.

    `name` is the class's name in errors. A relative path starts at the folder of the module of
    the class in whose body it stands. What has no such attribute declares none. Raises
    BlueprintError.
    """
    label = f"{one_line(name, 80)}.blueprints"
    try:
        declared: object = getattr(declaring, "blueprints", ())
    except Exception as error:  # noqa: BLE001  (a metaclass of the user's may raise anything)
        raise BlueprintError(f"{label}: cannot be read: {one_line(error)}") from None
    return read_blueprints(declared, label, _folder_of(declaring))


def read_blueprints(declared: object, label: str, folder: Path) -> tuple[FrozenDict, ...]:
    """Returns the blueprints of a declaration; relative paths start at `folder`.

    `label` begins the line of an error. Raises BlueprintError, also if two blueprints with one
    identifier differ.
    """
    if isinstance(declared, Sequence) and not isinstance(declared, str | bytes):
        found = [
            blueprint
            for position, item in enumerate(declared)
            for blueprint in _read_one(item, f"{label}[{position}]", folder)
        ]
    else:
        found = list(_read_one(declared, label, folder))
    return united({label: found})


def united(declared: Mapping[str, Iterable[FrozenDict]]) -> tuple[FrozenDict, ...]:
    """Returns the blueprints of all declarers, each once.

    Raises BlueprintError if two with the same identifier differ.
    """
    first: dict[str, tuple[str, FrozenDict]] = {}
    for owner, blueprints in declared.items():
        for blueprint in blueprints:
            identifier = identifier_of(blueprint)
            other, known = first.setdefault(identifier, (owner, blueprint))
            if known != blueprint:
                where = f"differently in {other}" if other != owner else "twice, and differently"
                raise BlueprintError(
                    f"{owner}: the blueprint {one_line(identifier, 80)} is declared {where}: "
                    "declare it once, or the same everywhere"
                )
    return tuple(blueprint for _, blueprint in first.values())


def identifier_of(blueprint: Blueprint) -> str:
    """Returns the identifier of a blueprint that was checked."""
    return str(blueprint["identifier"])


def names_in(blueprint: Blueprint, section: str) -> frozenset[str]:
    """Returns the names in a section, such as `relations`; `schema` stands for its properties."""
    found: object = blueprint.get(section)
    if section == "schema" and isinstance(found, Mapping):
        found = found.get("properties")
    return frozenset(found) if isinstance(found, Mapping) else frozenset()


def _read_one(item: object, label: str, folder: Path) -> list[FrozenDict]:
    if isinstance(item, Mapping):
        return [_checked(item, label)]
    if not isinstance(item, str | os.PathLike):
        raise BlueprintError(f"{label}: {EXPECTED}, got {_described(item)}")
    from ocean_actors.settings.errors import SettingsError
    from ocean_actors.settings.files import read_data

    try:
        path = folder / os.fspath(item)
        content = read_data(path)
    except SettingsError as error:
        raise BlueprintError(f"{label}: {error}") from None
    except TypeError:  # a path of bytes
        raise BlueprintError(f"{label}: {EXPECTED}, got {_described(item)}") from None
    place = f"{label}: {one_line(path, 200)}"
    if isinstance(content, list):
        return [_checked(each, f"{place}[{position}]") for position, each in enumerate(content)]
    if not isinstance(content, Mapping):
        raise BlueprintError(
            f"{place}: expected a blueprint (a mapping) or a list of them, got "
            f"{_described(content)}"
        )
    return [_checked(content, place)]


def _checked(blueprint: object, label: str) -> FrozenDict:
    """Returns a frozen copy of a blueprint. Raises BlueprintError unless it can be one."""
    if not isinstance(blueprint, Mapping):
        raise BlueprintError(
            f"{label}: expected a blueprint (a mapping), got {_described(blueprint)}"
        )
    identifier = blueprint.get("identifier")
    if isinstance(identifier, str) and identifier.strip():
        label = f"{label} ({one_line(identifier, 80)})"
    problem = _problem(blueprint)
    if problem is None:
        try:
            frozen: FrozenDict = freeze(blueprint)
        except NestedTooDeeply as error:
            problem = str(error)
        else:
            problem = _not_json(frozen)
    if problem is not None:
        raise BlueprintError(f"{label}: {problem}")
    return frozen


def _problem(blueprint: Mapping[object, object]) -> str | None:
    """Returns what is wrong with a blueprint as far as we rely on it; Port checks the rest."""
    identifier = blueprint.get("identifier")
    if not isinstance(identifier, str) or not identifier.strip() or not identifier.isprintable():
        return (
            f"identifier: expected a name, got {_described(identifier, 'identifier' in blueprint)}"
        )
    schema = blueprint.get("schema", {})
    if not isinstance(schema, Mapping):
        return f"schema: expected a mapping with properties, got {_described(schema)}"
    properties, required = schema.get("properties", {}), schema.get("required", [])
    problem = _not_mappings("schema.properties", properties)
    if problem is not None:
        return problem
    if not isinstance(required, list | tuple) or not all(
        isinstance(each, str) for each in required
    ):
        return f"schema.required: expected a list of names, got {_described(required)}"
    unknown = [name for name in required if name not in properties]
    if unknown:
        return f"schema.required: {one_line(unknown[0], 80)} is not one of schema.properties"
    for section in ("relations", *SECTIONS):
        problem = _not_mappings(section, blueprint.get(section, {}))
        if problem is not None:
            return problem
    relations = blueprint.get("relations")
    for name, relation in relations.items() if isinstance(relations, Mapping) else ():
        target = relation.get("target")
        if not isinstance(target, str) or not target:
            given = _described(target, "target" in relation)
            return (
                f"relations.{one_line(name, 80)}.target: expected the identifier of a blueprint, "
                f"got {given}"
            )
    return None


def _not_mappings(section: str, value: object) -> str | None:
    """Returns what is wrong unless `value` is a mapping of mappings."""
    if not isinstance(value, Mapping):
        return f"{section}: expected a mapping, got {_described(value)}"
    for name, item in value.items():
        if not isinstance(item, Mapping):
            return f"{section}.{one_line(name, 80)}: expected a mapping, got {_described(item)}"
    return None


def _not_json(value: object, path: str = "") -> str | None:
    """Returns where a frozen value is not what JSON can hold, and what is there; None if it is."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                return f"{path or 'the blueprint'}: keys must be text, got {_described(key)}"
            problem = _not_json(item, f"{path}.{key}" if path else key)
            if problem is not None:
                return problem
    elif isinstance(value, list):
        for position, item in enumerate(value):
            problem = _not_json(item, f"{path}[{position}]")
            if problem is not None:
                return problem
    elif not (value is None or isinstance(value, bool | int | float | str)):
        return f"{one_line(path, 120)}: expected JSON-like data, got {_described(value)}"
    elif isinstance(value, float) and not math.isfinite(value):
        return f"{one_line(path, 120)}: expected a finite number"
    return None


def _described(value: object, given: bool = True) -> str:
    from ocean_actors.settings.errors import describe

    return one_line(describe(value), 80) if given else "nothing"


def _folder_of(declaring: object) -> Path:
    """Returns the folder of the module of the class in whose body `blueprints` stands."""
    classes = declaring.__mro__ if isinstance(declaring, type) else ()
    owner = next((each for each in classes if "blueprints" in vars(each)), declaring)
    module = sys.modules.get(str(getattr(owner, "__module__", "")))
    file = getattr(module, "__file__", None)
    return Path(file).resolve().parent if isinstance(file, str) else Path.cwd()
