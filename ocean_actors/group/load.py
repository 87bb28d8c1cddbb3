"""Loads the integrations that the command line names, each with its settings and classes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ocean_actors.errors import UsageError
from ocean_actors.group.members import Member, agreed
from ocean_actors.live.handler import split_handlers
from ocean_actors.loading import HandlerError, load_actors, load_handlers
from ocean_actors.settings import Settings

NO_HANDLER = (
    'expected at least one ResyncHandler: name it in the settings, as handlers: ["file.py:Class"]'
)


def load_members(
    configs: Sequence[str],
    handlers: Sequence[str] = (),
    actors: Sequence[str] = (),
    *,
    dry_run: bool = False,
    need_handlers: bool = True,
    ocean: Mapping[str, str] | None = None,
) -> list[Member]:
    """Returns an integration for each settings file; without a file, that of the environment.

    `handlers` and `actors` are the command line's, in place of those that the one file names;
    `ocean` are settings of that section, which override those of the one file. Raises UsageError,
    which names the file if there are several.
    """
    if "" in configs:  # of a shell's variable that is not set
        raise UsageError("CONFIG: expected the path of a file, got an empty text")
    if len(configs) < 2:
        member = _load(
            configs[0] if configs else None, handlers, actors, dry_run=dry_run, ocean=ocean
        )
        if need_handlers and not _has_handler(member):
            raise UsageError(
                f"{NO_HANDLER}, or with --handler file.py:Class; or name the folder of an "
                "integration of Port Ocean with --ocean"
            )
        return [member]
    for option, given in (
        ("--handler", handlers), ("--actor", actors), ("--dry-run", dry_run), ("--ocean", ocean),
    ):  # fmt: skip
        if given:
            raise UsageError(f"{option}: expected one CONFIG, got {len(configs)}")
    members = []
    for config in configs:
        try:
            member = _load(config)
            _require_own_modules(
                (*member.settings.handlers, *member.settings.actors), Path(config).parent
            )
            if need_handlers and not _has_handler(member):
                raise UsageError(NO_HANDLER)
        except UsageError as error:
            text = str(error)
            raise UsageError(
                text if text.startswith(f"{config}:") else f"{config}: {text}"
            ) from None
        members.append(member)
    agreed(members)  # raises before anything is made
    return members


def _load(
    config: str | None,
    handlers: Sequence[str] = (),
    actors: Sequence[str] = (),
    *,
    dry_run: bool = False,
    ocean: Mapping[str, str] | None = None,
) -> Member:
    overrides = {"ocean": ocean} if ocean else {}
    if config is None:
        settings = Settings.from_environment(overrides=overrides)
    else:
        settings = Settings.from_file(config, overrides=overrides)
    if dry_run and settings.ocean.path is not None:
        raise UsageError("--dry-run: an integration of Port Ocean writes to Port by itself")
    if dry_run:
        settings = settings.for_dry_run()
    folder = Path() if config is None else Path(config).parent
    return Member(
        settings,
        load_handlers(handlers, settings.handlers, folder),
        load_actors(actors, settings.actors, folder),
        config or "the environment",
    )


def _has_handler(member: Member) -> bool:
    """Returns whether there is something that runs the resyncs."""
    return member.settings.ocean.path is not None or bool(split_handlers(member.handlers)[0])


def _require_own_modules(places: Iterable[str], folder: Path) -> None:
    """Raises HandlerError if a place was loaded from another integration's module of its name.

    A process has one module of each name: the first that was imported.
    """
    for place in places:
        where = place.rpartition(":")[0]
        first = where.partition(".")[0]
        beside = [folder / f"{first}.py", folder / first / "__init__.py"]
        own = next((file.resolve() for file in beside if file.is_file()), None)
        loaded = getattr(sys.modules.get(first), "__file__", None)
        if where.endswith(".py") or own is None or loaded is None or Path(loaded) == own:
            continue
        raise HandlerError(
            f"{place}: the module {first} was imported from {loaded} and not from {own}; "
            "name the file in place of the module, as file.py:Class"
        )
