"""All settings of an integration, and how the sources become them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias, get_args

from pydantic import BaseModel, BeforeValidator, Field, SecretStr, ValidationError

from ocean_actors.settings import sources
from ocean_actors.settings.errors import SettingsError, key_name, shown, variable_name
from ocean_actors.settings.models import (
    YEAR,
    EventListener,
    HttpSettings,
    IntegrationSettings,
    PollingSettings,
    PortSettings,
    ResyncSettings,
    Section,
    not_bool,
)
from ocean_actors.settings.sources import Leaf, Names, Reader

MASK = "***"
LISTENERS: dict[str, type[Section]] = {
    model.model_fields["type"].default: model for model in get_args(EventListener)
}
"""The event listeners by their type."""


def _minutes(value: Any) -> Any:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str) and not (value.strip().isascii() and value.strip().isdigit()):
        raise ValueError("expected whole minutes, for example 60")
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
        values = sources.read_yaml(Path(path))
        variables = sources.read_dotenv(Path(dotenv)) if dotenv is not None else {}
        return _load(values, variables, os.environ if env is None else env, overrides or {})

    def masked(self) -> dict[str, Any]:
        """Plain, JSON-able data in YAML spelling for people to read: no secret is in it."""
        shape = _masked(self)
        del shape["ignored"]
        return shape


def _load(
    values: Mapping[str, Any],
    dotenv: Mapping[str, str],
    env: Mapping[str, str],
    overrides: Mapping[str, Any],
) -> Settings:
    if not isinstance(values, Mapping):
        raise SettingsError([f"settings: expected a mapping, got {shown(values)}"])
    variables = {**dotenv, **env}
    reader = Reader(_names_of(Settings))
    reader.read(values, variables)
    reader.read_environment(dotenv)
    reader.read_environment(env)
    reader.read(overrides)
    port = sources.variable(env, "APPLICATION__PORT") or sources.variable(
        dotenv, "APPLICATION__PORT"
    )
    if port and reader.leaves.get(("http", "port")) is None:
        reader.set(("http", "port"), port, "APPLICATION__PORT")
    leaves = _for_listener(reader, _without_unset(reader))
    try:
        settings = Settings.model_validate(
            {**sources.nested(leaves), "ignored": tuple(dict.fromkeys(reader.ignored))}
        )
    except ValidationError as error:
        invalid = [_problem(reader, detail) for detail in error.errors()]
        raise SettingsError(list(dict.fromkeys([*reader.problems, *invalid]))) from None
    if reader.problems:
        raise SettingsError(reader.problems)
    return settings


def _without_unset(reader: Reader) -> dict[Leaf, Any]:
    """The leaves that have a value; null is as good as not given.

    A variable that is not there is a problem, but within `integration.config` only leaves its
    key out, with a note, as upstream does: which keys are needed is known to the user's code.
    """
    leaves = {}
    for leaf, value in reader.leaves.items():
        kept, notes = sources.prune(value, reader.label(leaf))
        (reader.ignored if leaf == CONFIG else reader.problems).extend(notes)
        if kept is not None:
            leaves[leaf] = kept
    return leaves


CONFIG: Leaf = ("integration", "config")


def _for_listener(reader: Reader, leaves: dict[Leaf, Any]) -> dict[Leaf, Any]:
    """The same without what other listeners would use, which is noted."""
    key = ("event_listener", "type")
    kind = leaves.get(key, "POLLING")
    model = LISTENERS.get(kind.strip().upper()) if isinstance(kind, str) else None
    if model is None:
        known = ", ".join(LISTENERS)
        reader.problems.append(f"{reader.label(key)}: expected one of {known}, got {shown(kind)}")
        return {leaf: value for leaf, value in leaves.items() if leaf[0] != "event_listener"}
    kept = {}
    for leaf, value in leaves.items():
        if leaf[0] == "event_listener" and leaf[1] not in model.model_fields:
            reader.ignored.append(reader.origins[leaf])
        else:
            kept[leaf] = value
    return {**kept, key: model.model_fields["type"].default}


# --- what the models tell -------------------------------------------------------------------------


def _names_of(model: type[BaseModel]) -> Names:
    """The tree of names that a source may use."""
    names: dict[str, Names | None] = {}
    for name, info in model.model_fields.items():
        inner = get_args(info.annotation) or (info.annotation,)
        models = [kind for kind in inner if isinstance(kind, type) and issubclass(kind, Section)]
        below = [_names_of(kind).names for kind in models]
        names[name] = Names({k: v for part in below for k, v in part.items()}) if below else None
    if model is IntegrationSettings:
        names["config"] = Names(free=True)
    names.pop("ignored", None)
    tolerant = model in (Settings, PortSettings, IntegrationSettings)
    if model is Settings:
        return Names(names, tolerant=True)
    return Names(names, tolerant=tolerant)


def _masked(value: Any) -> Any:
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {key_name((name,)): _masked(getattr(value, name)) for name in fields}
    return value


def _problem(reader: Reader, detail: Mapping[str, Any]) -> str:
    return f"{key_name([str(part) for part in detail['loc']])}: {detail['msg']}"
