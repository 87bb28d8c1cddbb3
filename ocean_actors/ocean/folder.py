"""What the folder of an integration of Port Ocean says, as far as it can be told by reading."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocean_actors.errors import UsageError
from ocean_actors.settings import SettingsError
from ocean_actors.settings.errors import written_name
from ocean_actors.settings.ocean import project

SPECS = ("spec.json", "spec.yaml", "spec.yml")
PYTHON = Path(".venv") / "bin" / "python"


class OceanFolderError(UsageError):
    """An integration of Port Ocean cannot be run; one readable line that says what to do."""


@dataclass(frozen=True)
class Folder:
    """The folder of an integration. `path` is absolute.

    `kinds` are those that its specification names, `features` what else it says that the
    integration can do. `version` is the integration's own.
    """

    path: Path
    type: str | None = None
    version: str | None = None
    kinds: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


def read_folder(path: str | Path) -> Folder:
    """Returns what is in a folder.

    Raises OceanFolderError if there is no such folder or no `main.py` in it, or if
    `pyproject.toml` or the specification in `.port` cannot be read.
    """
    name = written_name(path)
    try:
        folder = Path(path).absolute()
        if not folder.exists():
            raise OceanFolderError(f"ocean.path: there is no folder {name}")
        if not folder.is_dir():
            raise OceanFolderError(f"ocean.path: {name} is not a folder")
        if not (folder / "main.py").is_file():
            raise OceanFolderError(
                f"ocean.path: there is no main.py in {name}; expected the folder of an "
                "integration of Port Ocean"
            )
        metadata, spec = project(folder), _spec(folder)
    except SettingsError as error:
        raise OceanFolderError(str(error)) from None
    except (OSError, ValueError) as error:
        raise OceanFolderError(f"ocean.path: {name}: {written_name(error)}") from None
    return Folder(
        folder, _text(metadata, "name"), _text(metadata, "version"), _kinds(spec), _features(spec)
    )


def find_python(folder: Folder, python: str | None) -> str:
    """Returns the interpreter of an integration: `python`, else that of its `.venv`, else python3.

    Raises OceanFolderError if there is no such program.
    """
    own = folder.path / PYTHON
    if python is None and own.exists():
        return str(own)
    wanted = "python3" if python is None else python
    found = shutil.which(wanted)
    if found is not None:
        return str(Path(found).absolute())
    name = written_name(wanted)
    if "/" not in wanted:
        why = f"there is no program {name} in PATH"
    elif Path(wanted).is_dir():
        why = f"{name} is a folder"
    elif Path(wanted).exists():
        why = f"{name} cannot be executed"
    else:
        why = f"there is no file {name}"
    raise OceanFolderError(
        f"ocean.python: {why}; expected a Python with the integration's dependencies"
    )


def _spec(folder: Path) -> Mapping[str, Any]:
    """Returns the specification of an integration; empty if it has none. Raises SettingsError."""
    from ocean_actors.settings import files

    for name in SPECS:
        file = folder / ".port" / name
        if file.is_file():
            spec = files.read_data(file)
            if not isinstance(spec, Mapping):
                raise SettingsError([f"{written_name(file)}: expected a mapping"])
            return spec
    return {}


def _kinds(spec: Mapping[str, Any]) -> tuple[str, ...]:
    kinds = [
        resource.get("kind")
        for feature in _mappings(spec.get("features"))
        if feature.get("type") == "exporter"
        for resource in _mappings(feature.get("resources"))
    ]
    return tuple(dict.fromkeys(kind for kind in kinds if isinstance(kind, str) and kind))


def _features(spec: Mapping[str, Any]) -> tuple[str, ...]:
    found = [each.get("type") for each in _mappings(spec.get("features"))]
    features = [each for each in found if isinstance(each, str)]
    saas = spec.get("saas")
    live = saas.get("liveEvents") if isinstance(saas, Mapping) else None
    if isinstance(live, Mapping) and live.get("enabled") is True:
        features.append("live events")
    if spec.get("actionsProcessingEnabled") is True:
        features.append("actions")
    return tuple(dict.fromkeys(features))


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _text(values: Mapping[str, Any], key: str) -> str | None:
    value = values.get(key)
    return value.strip() or None if isinstance(value, str) else None
