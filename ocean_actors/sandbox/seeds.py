"""What a sandbox holds from the beginning: blueprints, and the mapping of new integrations."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ocean_actors import blueprints
from ocean_actors.errors import UsageError
from ocean_actors.frozen import thaw
from ocean_actors.sandbox.errors import ApiError
from ocean_actors.sandbox.schemas import Blueprint, check
from ocean_actors.settings.errors import SettingsError, describe_type
from ocean_actors.settings.files import read_data
from ocean_actors.text import one_line

Json = dict[str, Any]


class SeedError(UsageError):
    """Blueprints or a mapping for a sandbox cannot be used; one readable line."""


def read_blueprints(declared: blueprints.Declaration) -> list[Json]:
    """Returns the fields of blueprints as Port would take them. Raises SeedError."""
    try:
        found = blueprints.read_blueprints(declared, "blueprints", Path.cwd())
    except blueprints.BlueprintError as error:
        raise SeedError(str(error)) from None
    fields = []
    for blueprint in found:
        try:
            fields.append(check(Blueprint, thaw(blueprint)).given())
        except ApiError as error:
            name = one_line(blueprints.identifier_of(blueprint), 80)
            raise SeedError(f"blueprints: {name}: {one_line(error.message)}") from None
    return fields


def read_mapping(mapping: Mapping[str, Any] | str | os.PathLike[str] | None) -> Json | None:
    """Returns a mapping, which may be the path of a JSON or YAML file. Raises SeedError."""
    if mapping is None:
        return None
    found: object = mapping
    label = "mapping"
    if isinstance(mapping, str | os.PathLike):
        try:
            found = read_data(Path(mapping))
        except SettingsError as error:
            raise SeedError(f"mapping: {error}") from None
        label = f"mapping: {one_line(mapping, 200)}"
    if not isinstance(found, Mapping):
        raise SeedError(f"{label}: expected a mapping with resources, got {describe_type(found)}")
    try:
        copy: Json = json.loads(json.dumps(found, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise SeedError(f"{label}: expected JSON-like data: {one_line(error)}") from None
    return copy
