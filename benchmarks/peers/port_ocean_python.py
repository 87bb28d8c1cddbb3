"""A Python with port-ocean, which is made once and kept in .tox."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.programs import ROOT

VERSION = "0.56.2"
PYTHON = "3.12"
OVERRIDE = "certifi >= 2026.5\n"  # its own pin excludes the certifi that others of its pins need
NAME = f"port-ocean {VERSION}"


class NotInstalled(Exception):
    """There is no Python with port-ocean; says why."""


@functools.cache
def python() -> Path:
    """Returns the interpreter, after installing port-ocean if it is not there.

    Raises NotInstalled.
    """
    place = ROOT / ".tox" / f"port-ocean-{VERSION}"
    interpreter = place / "bin" / "python"
    if not (place / "complete").exists():
        if (uv := shutil.which("uv")) is None:
            raise NotInstalled(f"{NAME} cannot be installed: expected uv on PATH (pip install uv)")
        _install(uv, place, interpreter)
        (place / "complete").touch()
    return interpreter


def _install(uv: str, place: Path, interpreter: Path) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as override:
        override.write(OVERRIDE)
        override.flush()
        for command in (
            ["venv", "--quiet", "--clear", "--python", _base(), str(place)],
            ["pip", "install", "--quiet", "--python", str(interpreter),
             "--override", override.name, f"port-ocean=={VERSION}"],
        ):  # fmt: skip
            done = subprocess.run([uv, *command], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise NotInstalled(f"{NAME} cannot be installed: {done.stderr.strip()[-500:]}")


def _base() -> str:
    """Returns an interpreter in pyenv's folder, where uv does not look, else the version."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = sorted(root.glob(f"versions/{PYTHON}.*/bin/python{PYTHON}"))
    return str(found[-1]) if found else PYTHON
