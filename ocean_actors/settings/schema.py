"""The JSON Schema of a settings file, for editors and other tools."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic.json_schema import JsonSchemaMode, models_json_schema

from ocean_actors import plugins
from ocean_actors.errors import UsageError
from ocean_actors.settings.errors import key_name
from ocean_actors.settings.models import IntegrationSettings, PortSettings, Section
from ocean_actors.settings.settings import CHOICES, Choice, Settings

DRAFT = "https://json-schema.org/draft/2020-12/schema"
MODE: JsonSchemaMode = "validation"
NOT_IN_A_FILE = ("ignored", "upstream")
BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum"}
"""Pydantic leaves a bound as it is if the value is read by a function of ours first."""


def json_schema(left_out: Callable[[str], object] = lambda _line: None) -> dict[str, Any]:
    """Returns the JSON Schema (draft 2020-12) of a settings file, with its keys in camelCase.

    A section whose keys depend on its `type` has the types of installed packages, too. No key is
    required, as the environment may set what the file leaves out. Keys that are ignored with a
    note are allowed. `left_out` is called with a line for each type that cannot be used.
    """
    types = {choice: _models(choice, left_out) for choice in CHOICES}
    tolerant: list[type[Section]] = [
        Settings, PortSettings, IntegrationSettings, *itertools.chain(*types.values())
    ]  # fmt: skip
    bases = [choice.base for choice in CHOICES]
    places, found = models_json_schema([(model, MODE) for model in (*tolerant, *bases)])
    definitions = found["$defs"]
    for model in tolerant:
        definitions[_name(places[model, MODE])]["additionalProperties"] = True
    settings = definitions.pop(_name(places[Settings, MODE]))
    for name in NOT_IN_A_FILE:
        del settings["properties"][name]
    for choice, models in types.items():
        del definitions[_name(places[choice.base, MODE])]
        settings["properties"][choice.section] = {"anyOf": [places[each, MODE] for each in models]}
    return {
        "$schema": DRAFT,
        **_of_file(settings),
        "$defs": {name: _of_file(each) for name, each in definitions.items()},
    }


def _models(choice: Choice, left_out: Callable[[str], object]) -> list[type[Section]]:
    """Returns the models of all types of a section that can be used."""
    models = []
    for name in plugins.known(choice.group):
        try:
            model = choice.model(name)
            with plugins.calling(choice.group, name, "settings"):
                json.dumps(_of_file(model.model_json_schema(mode=MODE)))
        except UsageError as error:
            left_out(f"{key_name(choice.type_leaf)}: left out of the schema: {error}")
        else:
            models.append(model)
    return models


def _name(reference: Mapping[str, str]) -> str:
    return reference["$ref"].rpartition("/")[2]


def _of_file(schema: Any) -> Any:
    """Returns a schema with keys as a file spells them, without what only models need."""
    if isinstance(schema, list):
        return [_of_file(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    kept = {key: value for key, value in schema.items() if key not in ("required", "title")}
    if isinstance(kept.get("default"), Mapping):
        del kept["default"]  # each key below has its own
    properties = kept.pop("properties", None)
    written = {BOUNDS.get(key, key): _of_file(value) for key, value in kept.items()}
    if properties is not None:
        written["properties"] = {
            key_name((name,)): _of_file(each) for name, each in properties.items()
        }
    return written
