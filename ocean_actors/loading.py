"""Handlers named on the command line."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

from ocean_actors.resync.handlers import ResyncHandler

STANDARD_LIBRARY = sysconfig.get_path("stdlib")
OURS = str(Path(__file__).parent)


class HandlerError(Exception):
    """A handler that cannot be loaded; one readable line that begins with how it was named."""


def load_handler(place: str) -> type[ResyncHandler]:
    """The class at `module:Class` or `path/to/file.py:Class`. Raises HandlerError."""
    where, colon, name = place.rpartition(":")
    if not colon or not where or not name:
        raise HandlerError(f"{place}: expected module:Class or file.py:Class")
    module = _module(place, where)
    found = getattr(module, name, None)
    if found is None:
        raise HandlerError(f"{place}: there is no {name} in {where}")
    if not inspect.isclass(found) or not issubclass(found, ResyncHandler):
        raise HandlerError(f"{place}: {name} is no subclass of ocean_actors.ResyncHandler")
    if inspect.isabstract(found):
        raise HandlerError(f"{place}: {name} has no method resync(self, run)")
    return found


def _module(place: str, where: str) -> ModuleType:
    is_file = where.endswith(".py")
    if is_file and not Path(where).is_file():
        raise HandlerError(f"{place}: there is no file {where}")
    try:
        return _execute(Path(where)) if is_file else _import(where)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise HandlerError(f"{place}: {_told(error)}") from None


def _execute(file: Path) -> ModuleType:
    """Run a file as a module of its own, which may import its neighbours, as a script may."""
    _make_importable(file.parent)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018  (it ends in .py)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(file.stem, module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _import(name: str) -> ModuleType:
    _make_importable(Path.cwd())
    return importlib.import_module(name)


def _make_importable(folder: Path) -> None:
    if str(folder.resolve()) not in sys.path:
        sys.path.insert(0, str(folder.resolve()))


def _told(error: BaseException) -> str:
    """One line: what was raised, and where in the user's code."""
    frame = error.__traceback__
    place = ""
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if not file.startswith((OURS, STANDARD_LIBRARY, "<frozen")):
            place = f" ({file}:{frame.tb_lineno})"
        frame = frame.tb_next
    if isinstance(error, SyntaxError):
        place = f" ({error.filename}:{error.lineno})"
        return f"cannot be imported: SyntaxError: {error.msg}{place}"
    return f"cannot be imported: {type(error).__name__}: {error}{place}"
