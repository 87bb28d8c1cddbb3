"""Loads the handlers and actors that the command line or the settings name."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

from ocean_actors.errors import UsageError
from ocean_actors.user_code import raised

if TYPE_CHECKING:
    from ocean_actors.context import Actor
    from ocean_actors.live.handler import LiveHandler
    from ocean_actors.resync.handlers import ResyncHandler

T = TypeVar("T")

_files: dict[str, str] = {}


class HandlerError(UsageError):
    """A handler or actor cannot be loaded; one readable line with its name as given."""


def load_handlers(
    given: Sequence[str], named: Sequence[str], folder: Path
) -> list[type[ResyncHandler | LiveHandler]]:
    """Returns the handlers that `--handler` gives, else those that the settings name.

    Modules that the settings name are also searched in `folder`. Raises HandlerError.
    """
    return _load_all("handler", given, named, folder, load_handler)


def load_actors(given: Sequence[str], named: Sequence[str], folder: Path) -> list[type[Actor]]:
    """Returns the custom actors that `--actor` gives, else those that the settings name.

    Raises HandlerError.
    """
    return _load_all("actor", given, named, folder, load_actor)


def load_handler(place: str) -> type[ResyncHandler | LiveHandler]:
    """Returns the class at `module:Class` or `path/to/file.py:Class`. Raises HandlerError."""
    from ocean_actors.live.handler import LiveHandler
    from ocean_actors.resync.handlers import ResyncHandler, missing_method

    found, name = _load(place)
    if not inspect.isclass(found) or not issubclass(found, ResyncHandler | LiveHandler):
        raise HandlerError(
            f"{place}: {name} is not a subclass of ocean_actors.ResyncHandler or LiveHandler"
        )
    if inspect.isabstract(found):
        live = issubclass(found, LiveHandler)
        method = "handle(self, call, live)" if live else missing_method(found)
        raise HandlerError(f"{place}: {name} has no method {method}")
    _require_no_arguments(place, name, found)
    return found


def load_actor(place: str) -> type[Actor]:
    """Returns the class at `module:Class` or `path/to/file.py:Class`. Raises HandlerError."""
    from ocean_actors.context import Actor

    found, name = _load(place)
    if not inspect.isclass(found) or not issubclass(found, Actor):
        raise HandlerError(f"{place}: {name} is not a subclass of ocean_actors.Actor")
    _require_no_arguments(place, name, found)
    return found


def _require_no_arguments(place: str, name: str, found: type) -> None:
    """Raises HandlerError if a class cannot be built without arguments."""
    from ocean_actors.resync.handlers import missing_arguments

    missing = missing_arguments(found)
    if missing is not None:
        raise HandlerError(f"{place}: {name} {missing}")


def _load_all(
    what: str, given: Sequence[str], named: Sequence[str], folder: Path, load: Callable[[str], T]
) -> list[T]:
    if given:
        labelled = [(f"--{what} ", place) for place in given]
    else:
        labelled = [(f"{what}s[{number}]: ", place) for number, place in enumerate(named)]
        if named:
            search_last(folder)
    loaded = []
    for label, place in labelled:
        try:
            loaded.append(load(place))
        except HandlerError as error:
            raise HandlerError(f"{label}{error}") from None
    return loaded


def _load(place: str) -> tuple[object, str]:
    """Returns what is at a place, and its name."""
    where, colon, name = place.rpartition(":")
    if not colon or not where or not name:
        raise HandlerError(f"{place}: expected module:Class or file.py:Class")
    found: object = getattr(_module(place, where), name, None)
    if found is None:
        raise HandlerError(f"{place}: there is no {name} in {where}")
    return found, name


def _module(place: str, where: str) -> ModuleType:
    is_file = where.endswith(".py")
    if is_file and not Path(where).is_file():
        raise HandlerError(f"{place}: there is no file {where}")
    try:
        return _execute(Path(where).resolve()) if is_file else _import(where)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  (user code; `exit()` at import is one, too)
        raise HandlerError(f"{place}: cannot be imported: {raised(error)}") from None


def _execute(file: Path) -> ModuleType:
    """Returns the file as a module; like a script, it can import the files beside it."""
    for module in tuple(sys.modules.values()):
        if getattr(module, "__file__", None) == str(file):  # a second handler of the same file
            return module
    search_last(file.parent)
    name = _free_name(file)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018  (it ends in .py)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # for dataclasses, pickle, and files beside it that import it
    _files[name] = str(file)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name], _files[name]
        raise
    return module


def loaded_files() -> Mapping[str, str]:
    """Returns the files that were loaded as modules, by the modules' names."""
    return _files


def _free_name(file: Path) -> str:
    """Returns the file's stem, made unique if that is the name of an importable module.

    So `kafka.py` does not take the place of the package `kafka`.
    """
    try:
        found = importlib.util.find_spec(file.stem)
    except (ImportError, ValueError):  # a stem with a dot in it; a module without a spec
        taken = True
    else:
        taken = file.stem in sys.modules or found is None or found.origin != str(file)
    return (
        f"{file.stem}_{hashlib.sha256(os.fsencode(file)).hexdigest()[:8]}" if taken else file.stem
    )


def _import(name: str) -> ModuleType:
    search_last(Path.cwd())
    return importlib.import_module(name)


def search_last(folder: Path) -> None:
    """Make `folder` the last that imports search, so that it shadows no installed package.

    `python -m` and `python -c` put the working folder first.
    """
    resolved = folder.resolve()
    rest = [entry for entry in sys.path if Path(entry or ".").resolve() != resolved]
    sys.path[:] = [*rest, str(resolved)]
    importlib.invalidate_caches()
