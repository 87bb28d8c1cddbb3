"""All settings of an integration, and how the sources become them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypeAlias, get_args

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from ocean_actors.settings import sources
from ocean_actors.settings.errors import (
    SettingsError,
    UnusableError,
    key_name,
    kind,
    shown,
    variable_name,
)
from ocean_actors.settings.models import (
    YEAR,
    EventListener,
    HttpSettings,
    IntegrationSettings,
    PollingSettings,
    PortSettings,
    ResyncSettings,
    Section,
    SslSettings,
    not_bool,
)
from ocean_actors.settings.sources import Leaf, Names, Reader

MASK = "***"
CONFIG: Leaf = ("integration", "config")
LISTENERS: dict[str, type[Section]] = {
    model.model_fields["type"].default: model for model in get_args(EventListener)
}
"""The event listeners by their type."""


def _minutes(value: Any) -> Any:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str) and not (value.strip().isascii() and value.strip().isdigit()):
        raise UnusableError("expected whole minutes, for example 60")
    return not_bool(value)


Minutes: TypeAlias = Annotated[
    Annotated[int, Field(ge=1, le=YEAR // 60)] | None, BeforeValidator(_minutes)
]


class Settings(Section):
    """All settings of an integration.

    Made by `from_file` or `from_dict`, which raise `SettingsError`. The sources, the later above
    the earlier at every leaf: the file or dict, the file `.env`, the environment (`OCEAN__…`),
    overrides. Names ignore case and underscores, so camelCase and snake_case are both fine.
    """

    port: PortSettings
    integration: IntegrationSettings = IntegrationSettings()
    event_listener: Annotated[EventListener, Field(discriminator="type")] = PollingSettings()
    scheduled_resync_interval: Minutes = Field(
        default=None, description="Minutes between resyncs that nobody asked for. Default: none."
    )
    resync: ResyncSettings = ResyncSettings()
    http: HttpSettings = HttpSettings()
    ssl: SslSettings = SslSettings()
    ignored: tuple[str, ...] = Field(
        default=(), repr=False, description="What was given but is not used here, as written."
    )

    @classmethod
    def from_dict(
        cls,
        values: Mapping[str, Any],
        env: Mapping[str, str] | None = None,
        *,
        overrides: Mapping[str, Any] | None = None,
    ) -> Settings:
        """Settings from a mapping shaped like the YAML file.

        `env` (default: the process's environment) goes above it, `overrides`, shaped like
        `values`, above both. Raises `SettingsError`.
        """
        return _load(values, {}, os.environ if env is None else env, overrides or {})

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        env: Mapping[str, str] | None = None,
        *,
        dotenv: str | Path | None = ".env",
        overrides: Mapping[str, Any] | None = None,
    ) -> Settings:
        """Settings from a YAML file, the file `dotenv` (which need not exist), `env` (default:
        the process's environment) and `overrides`, shaped like the YAML file.

        Raises `SettingsError`.
        """
        from ocean_actors.settings import files

        values = files.read_yaml(Path(path))
        variables = files.read_dotenv(Path(dotenv)) if dotenv is not None else {}
        return _load(values, variables, os.environ if env is None else env, overrides or {})

    def masked(self) -> dict[str, Any]:
        """Plain, JSON-able data in YAML spelling for people to read: no secret is in it."""
        return {
            key_name((name,)): _masked(getattr(self, name))
            for name in type(self).model_fields
            if name != "ignored"
        }


def _load(
    values: Mapping[str, Any],
    dotenv: Mapping[str, str],
    env: Mapping[str, str],
    overrides: Mapping[str, Any],
) -> Settings:
    if not isinstance(values, Mapping):
        raise SettingsError([f"settings: expected a mapping, got {kind(values)}"])
    reader = Reader(_names(Settings))
    reader.read(values, {**dotenv, **env})
    reader.read_environment(dotenv)
    reader.read_environment(env)
    reader.read(overrides)
    name = "APPLICATION__PORT"
    port = sources.variable(env, name) or sources.variable(dotenv, name)
    if port and reader.leaves.get(("http", "port")) is None:
        reader.set(("http", "port"), port, name, name)
    leaves = _without_unset(reader, _for_listener(reader, reader.leaves))
    invalid: list[str] = []
    try:
        settings = Settings.model_validate({"port": {}, **sources.nested(leaves)})
    except ValidationError as error:
        details = error.errors(include_url=False)
        invalid = [
            _problem(reader, detail["loc"], detail)
            for detail in details
            if not (detail["type"] == "missing" and _is_told(reader, detail["loc"]))
        ]
    problems = tuple(dict.fromkeys([*reader.problems, *invalid]))
    if problems:
        raise SettingsError(problems)
    return settings.model_copy(update={"ignored": tuple(dict.fromkeys(reader.ignored))})


def _without_unset(reader: Reader, leaves: Mapping[Leaf, Any]) -> dict[Leaf, Any]:
    """The leaves that have a value; null is as good as not given.

    A variable that is not there is a problem, but within `integration.config` only leaves its
    key out, with a note, as upstream does: which keys are needed is known to the user's code.
    """
    kept = {}
    for leaf, value in leaves.items():
        rest, unset = sources.prune(value, key_name(leaf))
        if leaf == CONFIG:
            reader.ignored += [f"{path} ({why})" for path, why in unset]
        else:
            reader.problems += [f"{path}: {why}" for path, why in unset]
        if rest is not None:
            kept[leaf] = rest
    return kept


def _for_listener(reader: Reader, leaves: Mapping[Leaf, Any]) -> dict[Leaf, Any]:
    """The same without what only other event listeners use, which is noted."""
    key = ("event_listener", "type")
    value = leaves.get(key)
    value = "POLLING" if value is None else value
    model = LISTENERS.get(value.strip().upper()) if isinstance(value, str) else None
    if model is None:
        known = ", ".join(LISTENERS)
        reader.problems.append(f"{reader.label(key)}: expected one of {known}, got {shown(value)}")
        return {leaf: value for leaf, value in leaves.items() if leaf[0] != key[0]}
    others = {leaf for leaf in leaves if leaf[0] == key[0] and leaf[1] not in model.model_fields}
    reader.ignored += [reader.written[leaf] for leaf in leaves if leaf in others]
    kept = {leaf: value for leaf, value in leaves.items() if leaf not in others}
    return {**kept, key: model.model_fields["type"].default}


# --- what the models tell -------------------------------------------------------------------------


def _sections(annotation: Any) -> list[type[Section]]:
    """The sections that a field's annotation is, or is a choice of."""
    kinds = get_args(annotation) or (annotation,)
    return [each for each in kinds if isinstance(each, type(Section)) and issubclass(each, Section)]


def _names(*models: type[Section]) -> Names:
    """The tree of names that a source may use for a section, or for a choice of sections."""
    names: dict[str, Names | None] = {}
    for model in models:
        for name, info in model.model_fields.items():
            below = _sections(info.annotation)
            names[name] = _names(*below) if below else None
    if IntegrationSettings in models:
        names["config"] = Names(free=True)
    names.pop("ignored", None)
    # Where upstream adds settings, and lets anybody add some.
    tolerant = not {Settings, PortSettings, IntegrationSettings}.isdisjoint(models)
    return Names(names, tolerant=tolerant)


def _masked(value: Any, secret: bool = False) -> Any:
    if isinstance(value, BaseModel):
        fields = type(value).model_fields.items()
        return {
            key_name((name,)): _masked(getattr(value, name), not info.repr) for name, info in fields
        }
    if isinstance(value, Mapping):
        return {key: _masked(item, secret) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item, secret) for item in value]
    if secret:
        return MASK
    if isinstance(value, Enum):
        return value.value
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _is_secret(leaf: Leaf) -> bool:
    models: list[type[Section]] = [Settings]
    for name in leaf:
        infos = [model.model_fields[name] for model in models if name in model.model_fields]
        if any(not info.repr for info in infos):
            return True
        models = [model for info in infos for model in _sections(info.annotation)]
    return False


# --- pydantic's findings in our words -------------------------------------------------------------


def _problem(reader: Reader, place: tuple[int | str, ...], detail: Mapping[str, Any]) -> str:
    names = [part for part in place if isinstance(part, str) and part not in LISTENERS]
    leaf, index = tuple(names), next((part for part in place if isinstance(part, int)), None)
    label = reader.label(leaf) + ("" if index is None else f"[{index}]")
    if detail["type"] == "missing":
        return f"{label}: missing; set it in the file or as {variable_name(leaf)}"
    text = f"{label}: {_expected(detail)}"
    value = detail["input"]
    # An address may carry a password or a token.
    hidden = _is_secret(leaf) or (isinstance(value, str) and not {"@", "?"}.isdisjoint(value))
    return text if hidden else f"{text}, got {shown(value)}"


def _is_told(reader: Reader, place: tuple[int | str, ...]) -> bool:
    """Whether it was said already why a setting, or the section it is in, is missing."""
    leaf = tuple(part for part in place if isinstance(part, str) and part not in LISTENERS)
    told = tuple(f"{key_name(leaf[: length + 1])}: " for length in range(len(leaf)))
    return any(problem.startswith(told) for problem in reader.problems)


def _expected(detail: Mapping[str, Any]) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "value_error":
            return str(context["error"])
        case "float_type" | "float_parsing":
            return "expected a number"
        case "int_type" | "int_parsing" | "int_from_float" | "int_parsing_size":
            return "expected a whole number"
        case "bool_type" | "bool_parsing":
            return "expected true or false"
        case "string_type":
            return "expected text (in quotes, if it looks like something else)"
        case "string_too_short" | "too_short":
            return "must not be empty"
        case "finite_number":
            return "expected a finite number"
        case "greater_than":
            return f"expected more than {context['gt']:.0f}"
        case "greater_than_equal":
            return f"expected {context['ge']:.0f} or more"
        case "less_than_equal":
            return f"expected {context['le']:.0f} or less"
        case "literal_error" | "enum":
            return f"expected {context['expected']}"
        case "tuple_type":
            return "expected a list, or items separated by commas"
        case _:
            return str(detail["msg"])
