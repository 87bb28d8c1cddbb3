"""All settings of an integration, and how they are made from their sources."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, Field, InstanceOf, ValidationError

from ocean_actors import plugins
from ocean_actors.errors import UsageError
from ocean_actors.frozen import FrozenDict, freeze
from ocean_actors.settings import ocean, sources
from ocean_actors.settings.errors import (
    SettingsError,
    UnusableError,
    describe,
    describe_type,
    key_name,
    variable_name,
)
from ocean_actors.settings.leader import (
    KubernetesLeaderSettings,
    LeaderSettings,
    NoLeaderSettings,
    PostgresLeaderSettings,
)
from ocean_actors.settings.models import (
    YEAR,
    ControlSettings,
    HttpSettings,
    IntegrationSettings,
    KafkaSettings,
    ListenerSettings,
    OnceSettings,
    PeerSettings,
    Places,
    PollingSettings,
    PortSettings,
    ResyncSettings,
    Seconds,
    Section,
    SslSettings,
    WebhookSettings,
    not_bool,
)
from ocean_actors.settings.ocean import FolderSettings, OceanSettings, folder_settings
from ocean_actors.settings.places import below, path_below, program_below
from ocean_actors.settings.ray import RaySettings
from ocean_actors.settings.sources import Leaf, Names, Reader
from ocean_actors.text import one_line

MASK = "***"
CONFIG: Leaf = ("integration", "config")
OCEAN_PATH: Leaf = ("ocean", "path")
BELOW_FOLDER: Mapping[Leaf, Callable[[Path, Any], Any]] = {
    ("handlers",): below,
    ("actors",): below,
    OCEAN_PATH: path_below,
    ("ocean", "python"): program_below,
}
"""How the settings are changed that name files, seen from the settings file's folder."""

ModelT = TypeVar("ModelT", bound=Section)


@dataclass(frozen=True)
class Choice:
    """A section whose model is chosen by its `type`: one of ours, or that of a package.

    One file may hold the keys of several of `ours`, and those that are not used are noted.
    """

    section: str
    group: plugins.Group
    base: type[Section]
    ours: tuple[type[Section], ...]

    @property
    def default(self) -> type[Section]:
        """The model of a section without a type."""
        return self.ours[0]

    def model(self, name: str) -> type[Section]:
        """Returns the model of a type. Raises plugins.PluginError if there is none to be used."""
        with plugins.calling(self.group, name, "settings"):
            model: object = plugins.load(self.group, name).settings
        if not (isinstance(model, type) and issubclass(model, self.base)):
            expected = f"expected a subclass of {self.base.__name__} as settings"
            raise plugins.wrong(self.group, name, f"{expected}, got {one_line(model, 80)}")
        config = model.model_config
        by_name = config.get("populate_by_name") or config.get("validate_by_name")
        for key, info in model.model_fields.items():
            if info.validation_alias is not None and not by_name:
                text = f"{model.__name__}.{key} has an alias: keys are named by their fields"
                raise plugins.wrong(self.group, name, text)
        return model

    @property
    def type_leaf(self) -> Leaf:
        """Where the type stands."""
        return (self.section, "type")


LISTENER = Choice(
    "event_listener",
    plugins.LISTENERS,
    ListenerSettings,
    (PollingSettings, KafkaSettings, WebhookSettings, OnceSettings),
)
LEADER = Choice(
    "leader",
    plugins.LEADERS,
    LeaderSettings,
    (NoLeaderSettings, PostgresLeaderSettings, KubernetesLeaderSettings),
)
CHOICES = (LISTENER, LEADER)
ONLY_THE_TYPES = Names(
    {choice.section: Names({"type": None}, tolerant=True) for choice in CHOICES}, tolerant=True
)
"""Enough to read the types, by which the names of the other settings are found."""

ONLY_THE_PATH = Names({"ocean": Names({"path": None}, tolerant=True)}, tolerant=True)
"""Enough to read where an integration of upstream's is, whose folder holds settings, too."""


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

    Make them with `from_file`, `from_dict` or `from_environment`, which raise `SettingsError`. The
    sources are the file or dict, the file `.env`, the environment (`OCEAN__…`) and `overrides`; at
    every leaf the later source wins. Names ignore case and underscores, so that both camelCase and
    snake_case work.
    """

    port: PortSettings
    integration: IntegrationSettings = IntegrationSettings()
    handlers: Places = Field(
        default=(),
        description="Handlers that `ocean-actors` runs, each `file.py:Class` or `module:Class`. In "
        "a file, relative paths start at its folder. `--handler` replaces them.",
    )
    actors: Places = Field(
        default=(), description="Custom actors, in the same form. `--actor` replaces them."
    )
    event_listener: InstanceOf[ListenerSettings]
    leader: InstanceOf[LeaderSettings] = NoLeaderSettings()
    scheduled_resync_interval: Minutes = Field(
        default=None, description="Minutes between scheduled resyncs. Default: no schedule."
    )
    initialize_port_resources: bool = Field(
        default=True,
        description="Whether the blueprints that handlers declare are created if Port lacks them.",
    )
    start_timeout: Seconds = Field(
        default=300.0,
        description="Seconds that `ONCE` may wait for Port before it fails; other listeners wait "
        "without a limit.",
    )
    resync: ResyncSettings = ResyncSettings()
    ray: RaySettings = RaySettings()
    http: HttpSettings = HttpSettings()
    control: ControlSettings = ControlSettings()
    ssl: SslSettings = SslSettings()
    ocean: OceanSettings = OceanSettings()
    ignored: tuple[str, ...] = Field(
        default=(), repr=False, description="The given settings that are not used, as written."
    )
    upstream: dict[str, Any] = Field(default_factory=FrozenDict, repr=False)
    """The values of those in `ignored` that upstream knows, by the variables that set them."""

    @classmethod
    def from_dict(
        cls,
        values: Mapping[str, Any],
        env: Mapping[str, str] | None = None,
        *,
        overrides: Mapping[str, Any] | None = None,
    ) -> Settings:
        """Make settings from a mapping shaped like the YAML file.

        `env` (default: the environment of the process) overrides it, and `overrides`, shaped like
        `values`, overrides both. Raises `SettingsError`.
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
        """Make settings from a YAML file.

        The file `dotenv` (which need not exist), `env` (default: the environment of the process)
        and `overrides`, shaped like the YAML file, override it in this order. Raises
        `SettingsError`.
        """
        from ocean_actors.settings import files

        values = files.read_yaml(Path(path))
        variables = files.read_dotenv(Path(dotenv)) if dotenv is not None else {}
        env = os.environ if env is None else env
        return _load(values, variables, env, overrides or {}, Path(path).parent)

    @classmethod
    def from_environment(
        cls,
        env: Mapping[str, str] | None = None,
        *,
        dotenv: str | Path | None = ".env",
        overrides: Mapping[str, Any] | None = None,
    ) -> Settings:
        """Make settings without a file of settings: from `dotenv`, `env` and `overrides` alone.

        Raises `SettingsError`.
        """
        from ocean_actors.settings import files

        variables = files.read_dotenv(Path(dotenv)) if dotenv is not None else {}
        return _load({}, variables, os.environ if env is None else env, overrides or {})

    def for_dry_run(self) -> Settings:
        """Returns these settings for one dry run: ONCE, no schedule, and no other instance."""
        return self.model_copy(
            update={
                "event_listener": OnceSettings(),
                "leader": NoLeaderSettings(),
                "scheduled_resync_interval": None,
                "resync": self.resync.model_copy(update={"dry_run": True}),
            }
        )

    def masked(self) -> dict[str, Any]:
        """Returns the settings as JSON-able data in YAML spelling, with `***` for each secret."""
        return {
            key_name((name,)): _masked(getattr(self, name))
            for name in type(self).model_fields
            if name not in ("ignored", "upstream")
        }


def _load(
    values: Mapping[str, Any],
    dotenv: Mapping[str, str],
    env: Mapping[str, str],
    overrides: Mapping[str, Any],
    folder: Path | None = None,
) -> Settings:
    """Make settings; `folder` is that of the file that `values` come from."""
    if not isinstance(values, Mapping):
        raise SettingsError([f"settings: expected a mapping, got {describe_type(values)}"])
    path = _read(values, dotenv, env, overrides, folder, FolderSettings(), ONLY_THE_PATH)
    beneath = folder_settings(path.leaves.get(OCEAN_PATH))
    dotenv = {**beneath.dotenv, **dotenv}
    read = functools.partial(_read, values, dotenv, env, overrides, folder, beneath)
    types = read(ONLY_THE_TYPES)
    found = {choice: _chosen_model(types, choice) for choice in CHOICES}
    models = {choice.section: model for choice, (model, _) in found.items()}
    reader = read(_names(Settings, chosen=models))
    reader.problems += [problem for _, problem in found.values() if problem is not None]
    leaves: Mapping[Leaf, Any] = reader.leaves
    for choice, (model, _) in found.items():
        leaves = _for_choice(reader, leaves, choice, model)
    sections = {"port": {}, **sources.nested(_without_unset(reader, leaves))}
    problems: list[str] = []
    for choice, (model, _) in found.items():
        section = sections.pop(choice.section, None)
        made: Section | None = None
        if model is not None:
            made, wrong = _chosen_section(reader, choice, model, section or {})
            problems += wrong
        sections[choice.section] = made or choice.default()  # to see what else is wrong
    settings, others = _validated(reader, Settings, sections, ())
    problems = list(dict.fromkeys([*reader.problems, *problems, *others]))
    if problems or settings is None:
        raise SettingsError(problems)
    upstream = {variable_name(leaf): value for leaf, value in reader.unused.items()}
    ignored = tuple(dict.fromkeys(reader.ignored))
    return settings.model_copy(update={"ignored": ignored, "upstream": freeze(upstream)})


def _without_unset(reader: Reader, leaves: Mapping[Leaf, Any]) -> dict[Leaf, Any]:
    """Returns the leaves that have a value; null counts as not given.

    A variable that is not set is a problem. In `integration.config` it only removes its key, with
    a note, as upstream does: only the user's code knows which keys it needs.
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


def _read(
    values: Mapping[str, Any],
    dotenv: Mapping[str, str],
    env: Mapping[str, str],
    overrides: Mapping[str, Any],
    folder: Path | None,
    beneath: FolderSettings,
    names: Names,
) -> Reader:
    """Read all sources, the later above the earlier, as far as `names` knows their keys."""
    reader = Reader(names)
    variables = {**dotenv, **env}
    _read_beneath(reader, beneath, variables)
    _read_file(reader, values, variables, folder)
    reader.read_environment(dotenv)
    reader.read_environment(env)
    reader.read(overrides)
    name = "APPLICATION__PORT"
    port = sources.variable(env, name) or sources.variable(dotenv, name)
    if port and reader.leaves.get(("http", "port")) is None:
        reader.set(("http", "port"), port, name, name)
    return reader


def _read_beneath(reader: Reader, beneath: FolderSettings, variables: Mapping[str, str]) -> None:
    """Read what the folder of an integration says; like upstream without values that are unset."""
    if beneath.type is not None:
        reader.set(("integration", "type"), beneath.type, "integration.type")
    _read_file(reader, beneath.values, variables, beneath.folder)
    for leaf, value in reader.leaves.items():
        reader.leaves[leaf], _ = sources.prune(value, key_name(leaf))


def _read_file(
    reader: Reader, values: Mapping[str, Any], variables: Mapping[str, str], folder: Path | None
) -> None:
    """Read the values of a file in `folder`, from which the paths in them start."""
    earlier = {leaf: reader.leaves.pop(leaf) for leaf in BELOW_FOLDER if leaf in reader.leaves}
    reader.read(values, variables)
    for leaf, change in BELOW_FOLDER.items():
        if folder is not None and leaf in reader.leaves:
            reader.leaves[leaf] = change(folder, reader.leaves[leaf])
    reader.leaves = {**earlier, **reader.leaves}


def _chosen_model(reader: Reader, choice: Choice) -> tuple[type[Section] | None, str | None]:
    """Returns the model that the type of a section names, or what is wrong with the name."""
    value = reader.leaves.get(choice.type_leaf)
    if value is None:
        return choice.default, None
    label = reader.label(choice.type_leaf)
    if not isinstance(value, str):
        known = ", ".join(plugins.known(choice.group))
        return None, f"{label}: expected one of {known}, got {describe(value)}"
    try:
        return choice.model(value.strip().upper()), None
    except UsageError as error:
        return None, f"{label}: {error}"


def _for_choice(
    reader: Reader, leaves: Mapping[Leaf, Any], choice: Choice, model: type[Section] | None
) -> dict[Leaf, Any]:
    """Returns the leaves without those that only other types of a section use; these are noted."""
    own = choice.section
    if model is None:
        return {leaf: value for leaf, value in leaves.items() if leaf[0] != own}
    others = {leaf for leaf in leaves if leaf[0] == own and leaf[1] not in model.model_fields}
    reader.ignored += [reader.written[leaf] for leaf in leaves if leaf in others]
    kept = {leaf: value for leaf, value in leaves.items() if leaf not in others}
    written = kept.get(choice.type_leaf)
    if isinstance(written, str):
        kept[choice.type_leaf] = written.strip().upper()
    else:
        kept.pop(choice.type_leaf, None)
    return kept


def _chosen_section(
    reader: Reader, choice: Choice, model: type[Section], values: Mapping[str, Any]
) -> tuple[Section | None, list[str]]:
    """Returns the section that `choice` is about, or None, and what is wrong with it.

    The model may be a package's, and its validators may do anything.
    """
    name = str(values.get("type", model.model_fields["type"].default))
    try:
        with_text = not _has_secrets(model)
        with plugins.calling(choice.group, name, "settings", with_text=with_text):
            made, problems = _validated(reader, model, values, (choice.section,))
        if not problems and not (isinstance(made, model) and getattr(made, "type", None) == name):
            text = f"settings: expected a {model.__name__} of the type {name} from its validators"
            raise plugins.wrong(choice.group, name, f"{text}, got {one_line(made, 80)}")
    except plugins.PluginError as error:
        return None, [f"{key_name((choice.section,))}: {error}"]
    return made, problems


def _validated(
    reader: Reader, model: type[ModelT], values: Mapping[str, Any], at: Leaf
) -> tuple[ModelT | None, list[str]]:
    """Returns the model made of `values`, or None, and what is wrong with the section `at`."""
    try:
        return model.model_validate(values), []
    except ValidationError as error:
        return None, [
            _problem(reader, model, at, detail)
            for detail in error.errors(include_url=False)
            if not (detail["type"] == "missing" and _is_reported(reader, (*at, *detail["loc"])))
        ]


UNUSED: Mapping[type[Section], frozenset[str]] = {
    Settings: ocean.TOP_LEVEL,
    PortSettings: ocean.PORT,
    IntegrationSettings: ocean.INTEGRATION,
    ListenerSettings: ocean.EVENT_LISTENER,
    PeerSettings: ocean.SSL_CLIENT,
}
"""Keys of upstream that are not used here, by the section that they stand in."""


# --- read from the models -------------------------------------------------------------------------


def _sections(annotation: Any) -> list[type[Section]]:
    """Returns the section, or the choice of sections, that a field's annotation names."""
    types = get_args(annotation) or (annotation,)
    return [each for each in types if isinstance(each, type(Section)) and issubclass(each, Section)]


def _names(
    *models: type[Section], chosen: Mapping[str, type[Section] | None] | None = None
) -> Names:
    """Returns the tree of names that a source may use for a section or a choice of sections.

    `chosen` are the models that are used where there is a choice, ours or those of packages.
    """
    ours = {choice.section: choice.ours for choice in CHOICES}
    names: dict[str, Names | None] = {}
    credentials: set[str] = set()
    for model in models:
        for name, info in model.model_fields.items():
            if not info.repr:
                credentials.add(name)
            below = _sections(info.annotation)
            if name in ours and Settings in models:
                model_used = (chosen or {}).get(name)
                below = [*ours[name], *([] if model_used is None else [model_used])]
            names[name] = _names(*below) if below else None
    if IntegrationSettings in models:
        names["config"] = Names(free=True)
    if RaySettings in models:
        names["runtime_env"] = names["resources"] = Names(free=True)
    if Settings in models:
        names.pop("ignored")
        names.pop("upstream")
    # Upstream adds settings here, and lets integrations add some.
    tolerant = not {Settings, PortSettings, IntegrationSettings}.isdisjoint(models)
    unused = frozenset[str]().union(
        *(keys for section, keys in UNUSED.items() if any(issubclass(m, section) for m in models))
    )
    return Names(names, tolerant=tolerant, credentials=frozenset(credentials), unused=unused)


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


def _has_secrets(model: type[Section]) -> bool:
    """Whether a section, or one in it, has a value that may not be shown."""
    return any(
        not info.repr
        or "Secret" in repr(info.annotation)
        or any(map(_has_secrets, _sections(info.annotation)))
        for info in model.model_fields.values()
    )


def _is_secret(model: type[Section], leaf: Leaf) -> bool:
    """Whether the value at `leaf` of a section may not be shown."""
    models = [model]
    for name in leaf:
        infos = [model.model_fields[name] for model in models if name in model.model_fields]
        if any(not info.repr for info in infos):
            return True
        models = [model for info in infos for model in _sections(info.annotation)]
    return False


# --- pydantic's errors as our messages ------------------------------------------------------------


def _problem(reader: Reader, model: type[Section], at: Leaf, detail: Mapping[str, Any]) -> str:
    """Returns what pydantic found in the section `at`, whose model is `model`, in a sentence."""
    place: tuple[int | str, ...] = detail["loc"]
    inside = tuple(part for part in place if isinstance(part, str))
    leaf, index = (*at, *inside), next((part for part in place if isinstance(part, int)), None)
    label = reader.label(leaf) + ("" if index is None else f"[{index}]")
    if detail["type"] == "missing":
        return f"{label}: missing; set it in the file or as {variable_name(leaf)}"
    text = f"{label}: {_expected(detail)}"
    value = detail["input"]
    # An address may carry a password or a token.
    hidden = _is_secret(model, inside) or (
        isinstance(value, str) and not {"@", "?"}.isdisjoint(value)
    )
    return text if hidden else f"{text}, got {describe(value)}"


def _is_reported(reader: Reader, place: tuple[int | str, ...]) -> bool:
    """Returns whether a problem already says why a setting, or a section around it, is missing."""
    leaf = tuple(part for part in place if isinstance(part, str))
    told = tuple(f"{key_name(leaf[: length + 1])}: " for length in range(len(leaf)))
    return any(problem.startswith(told) for problem in reader.problems)


def _expected(detail: Mapping[str, Any]) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "value_error":
            return one_line(str(context["error"])) or "cannot be used"
        case "float_type" | "float_parsing":
            return "expected a number"
        case "int_type" | "int_parsing" | "int_from_float" | "int_parsing_size":
            return "expected a whole number"
        case "bool_type" | "bool_parsing":
            return "expected true or false"
        case "string_type":
            return "expected text (in quotes, if it looks like something else)"
        case "string_too_short" | "too_short":
            least = context["min_length"]
            return "must not be empty" if least == 1 else f"expected a length of {least} or more"
        case "finite_number":
            return "expected a finite number"
        case "greater_than":
            return f"expected more than {_bound(context['gt'])}"
        case "greater_than_equal":
            return f"expected {_bound(context['ge'])} or more"
        case "less_than_equal":
            return f"expected {_bound(context['le'])} or less"
        case "literal_error" | "enum":
            return f"expected {context['expected']}"
        case "tuple_type":
            return "expected a list, or items separated by commas"
        case _:
            return str(detail["msg"])


def _bound(value: object) -> str:
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)
