"""Makes the places and paths that a settings file names relative to the file's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ocean_actors.settings.errors import UnusableError
from ocean_actors.settings.models import items


def below(folder: Path, value: Any) -> Any:
    """Returns the places that a settings file in `folder` names, seen from the working folder.

    Only `file.py:Class` is changed. Anything but a list of texts is left to the validation.
    """
    try:
        found = items(value)
    except UnusableError:
        return value
    if not isinstance(found, list | tuple):
        return value
    return [_below(folder, item) if isinstance(item, str) else item for item in found]


def path_below(folder: Path, value: Any) -> Any:
    """Returns a path that a settings file in `folder` names, seen from the working folder."""
    return str(folder / value.strip()) if isinstance(value, str) and value.strip() else value


def program_below(folder: Path, value: Any) -> Any:
    """Returns a program that a settings file in `folder` names.

    Only a path is changed; a bare name such as `python3.12` is searched in `PATH`.
    """
    return path_below(folder, value) if isinstance(value, str) and "/" in value else value


def _below(folder: Path, place: str) -> str:
    where, colon, name = place.strip().rpartition(":")
    return f"{folder / where}{colon}{name}" if where.endswith(".py") else place
