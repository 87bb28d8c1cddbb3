"""Pythons with port-ocean, each of which is made once on a machine and kept in a cache folder."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

VERSION = "0.56.2"
PYTHON = "3.12"
OVERRIDE = "certifi >= 2026.5\n"  # its own pin excludes the certifi that others of its pins need
NAME = f"port-ocean {VERSION}"
SECONDS = 600  # for one command of an installation


class NotInstalled(Exception):
    """There is no Python with port-ocean; says why."""


@functools.cache
def python(version: str = VERSION) -> Path:
    """Returns the interpreter, after installing port-ocean if it is not there.

    Several processes may ask at the same time. Raises NotInstalled.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ocean-actors"
    place = cache / f"port-ocean-{version}"
    interpreter, complete = place / "bin" / "python", place / "complete"
    if not complete.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"port-ocean-{version}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not complete.exists():
                _install(place, interpreter, version)
                complete.touch()
    return interpreter


def _install(place: Path, interpreter: Path, version: str) -> None:
    base = _base()
    _run([base, "-m", "venv", "--clear", str(place)], version)
    uv = shutil.which("uv")
    if uv is None:  # pip cannot override a pin
        _run([str(interpreter), "-m", "pip", "install", "--quiet", "uv"], version)
        uv = str(place / "bin" / "uv")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as override:
        override.write(OVERRIDE)
        override.flush()
        _run(
            [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(interpreter),
             "--override", override.name, f"port-ocean=={version}"],
            version,
        )  # fmt: skip


def _run(command: list[str], version: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    if done.returncode != 0:
        raise NotInstalled(
            f"port-ocean {version} cannot be installed: {done.stderr.strip()[-500:]}"
        )


def _base() -> str:
    """Returns a Python of the version: one of pyenv's, else one on PATH. Raises NotInstalled."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = sorted(root.glob(f"versions/{PYTHON}.*/bin/python{PYTHON}"))
    for candidate in (*map(str, reversed(found)), shutil.which(f"python{PYTHON}")):
        if candidate is not None and _starts(candidate):
            return candidate
    raise NotInstalled(f"there is no Python {PYTHON}, neither in {root}/versions nor on PATH")


def _starts(python: str) -> bool:
    """Returns whether it is more than one of pyenv's shims for a version that is not there."""
    done = subprocess.run([python, "-c", "import venv"], capture_output=True, check=False)
    return done.returncode == 0
