"""Asks the interpreter of an integration for its versions, and whether the integration can run."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocean_actors.ocean.folder import Folder, OceanFolderError, find_python, read_folder
from ocean_actors.settings import OceanSettings
from ocean_actors.settings.errors import key_name, variable_name, written_name
from ocean_actors.text import one_line

TESTED = ("0.48.13", "0.56.2")
"""The oldest and the newest version of port-ocean that the tests run with."""

OLDEST_PYTHON = (3, 12)
"""The oldest Python that port-ocean runs with."""

SECONDS = 30.0
MAX_OUTPUT = 1 << 20  # bytes
INSPECTION = Path(__file__).with_name("inspection.py")

# The working folder is not searched, as under `ocean sail`. Any Python can read this.
_BOOT = """\
import sys
sys.path[:] = [each for each in sys.path if each]
print("\\n%spython %d.%d.%d" % ((sys.argv[3],) + tuple(sys.version_info[:3])))
sys.stdout.flush()
if sys.version_info >= (3, 12):
    exec(compile(open(sys.argv[1], "rb").read(), sys.argv[1], "exec"))
"""
_NUMBERS = re.compile(r"(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?")


@dataclass(frozen=True)
class Probe:
    """What an interpreter told.

    `kinds` are those of the integration's resync functions. `any_kind`: one of them is for every
    kind, or its kind cannot be told from the code. `missing` has the modules that cannot be
    found, and where each is imported.
    """

    python: str
    python_version: tuple[int, int, int]
    port_ocean: str | None = None
    syntax_error: str | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    any_kind: bool = False

    def faults(self, *, allow_untested: bool) -> list[str]:
        """Returns why the integration cannot be run, each in one line; empty if it can."""
        version = ".".join(str(each) for each in self.python_version)
        if self.python_version < OLDEST_PYTHON:
            oldest = ".".join(str(each) for each in OLDEST_PYTHON)
            fault = (
                f"ocean.python: {self.python} is Python {version}, and port-ocean needs {oldest} "
                "or later; name one with the integration's dependencies"
            )
            return [fault]
        if self.port_ocean is None:
            fault = (
                f"ocean.python: port-ocean is not installed for {self.python}; install the "
                "integration's dependencies, or name the Python that has them"
            )
            return [fault]
        faults = []
        if not allow_untested and not is_tested(self.port_ocean):
            key = ("ocean", "allow_untested")
            faults.append(
                f"port-ocean {one_line(self.port_ocean, 40)} of {self.python}: the versions "
                f"{TESTED[0]} to {TESTED[1]} are tested; set {key_name(key)}: true "
                f"({variable_name(key)}) to try it anyway"
            )
        if self.syntax_error is not None:
            faults.append(f"the integration cannot be read: {one_line(self.syntax_error)}")
        faults += [
            f"{one_line(place, 200)}: there is no module {one_line(name, 80)} for {self.python}; "
            "install the integration's dependencies"
            for name, place in self.missing.items()
        ]
        return faults


@dataclass(frozen=True)
class Installation:
    """An integration of Port Ocean, and the interpreter that has its dependencies."""

    folder: Folder
    probe: Probe

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the specification, then those that only the code names."""
        return tuple(dict.fromkeys((*self.folder.kinds, *self.probe.kinds)))

    def lacking(self, kinds: tuple[str, ...]) -> tuple[str, ...]:
        """Returns which `kinds` no resync function of the integration takes."""
        known = self.kinds
        if self.probe.any_kind or not known:
            return ()
        return tuple(dict.fromkeys(each for each in kinds if each not in known))


def find_installation(settings: OceanSettings, seconds: float = SECONDS) -> Installation:
    """Returns the integration that the settings name, and what its interpreter tells.

    Raises OceanFolderError if the folder or the interpreter cannot be used at all. Faults of the
    integration itself are in `probe.faults`.
    """
    folder = read_folder(settings.path or "")
    return Installation(folder, probe(folder, find_python(folder, settings.python), seconds))


def require_installation(settings: OceanSettings, seconds: float = SECONDS) -> Installation:
    """Returns the integration that the settings name. Raises OceanFolderError if it cannot run."""
    found = find_installation(settings, seconds)
    faults = found.probe.faults(allow_untested=settings.allow_untested)
    if faults:
        more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise OceanFolderError("; ".join(faults[:3]) + more)
    return found


def probe(folder: Folder, python: str, seconds: float = SECONDS) -> Probe:
    """Returns what an interpreter tells, within `seconds`.

    Raises OceanFolderError if it cannot be executed, does not answer, or is not a Python.
    """
    mark = secrets.token_hex(8)
    output, code = _run(
        [python, "-c", _BOOT, str(INSPECTION), str(folder.path), mark], folder.path, seconds
    )
    lines = [line[len(mark) :] for line in output.splitlines() if line.startswith(mark)]
    version = _NUMBERS.fullmatch(lines[0].removeprefix("python ")) if lines else None
    if version is None:
        raise _unusable(python, output, code)
    number = (int(version[1]), int(version[2]), int(version[3] or 0))
    if number < OLDEST_PYTHON:
        return Probe(python, number)
    try:
        found = json.loads(lines[1])
        return _probe(python, number, found)
    except (IndexError, ValueError, TypeError, AttributeError, KeyError):
        raise _unusable(python, output, code) from None


def is_tested(version: str) -> bool:
    """Returns whether a version of port-ocean is within the tested range."""
    number = _number(version)
    oldest, newest = (_number(each) for each in TESTED)
    assert oldest is not None and newest is not None  # noqa: S101, PT018  (constants)
    return number is not None and oldest <= number <= newest


def _number(version: str) -> tuple[int, int, int] | None:
    match = _NUMBERS.match(version)
    return None if match is None else (int(match[1]), int(match[2]), int(match[3] or 0))


def _probe(python: str, number: tuple[int, int, int], found: Mapping[str, Any]) -> Probe:
    return Probe(
        python,
        number,
        port_ocean=found["port_ocean"],
        syntax_error=found["syntax_error"],
        missing={str(name): str(place) for name, place in found["missing"].items()},
        kinds=tuple(str(kind) for kind in found["kinds"]),
        any_kind=bool(found["any_kind"]),
    )


def _unusable(python: str, output: str, code: int) -> OceanFolderError:
    said = [line for line in output.splitlines() if line.strip()]
    last = f": {one_line(said[-1], 200)}" if said else ""
    return OceanFolderError(
        f"ocean.python: {written_name(python)} is not a usable Python: it ended with exit code "
        f"{code}{last}"
    )


def _run(arguments: list[str], folder: Path, seconds: float) -> tuple[str, int]:
    """Returns what a program prints, and its exit code. Raises OceanFolderError."""
    python = written_name(arguments[0])
    try:
        process = subprocess.Popen(  # noqa: S603  (the interpreter that the user names)
            arguments,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise OceanFolderError(
            f"ocean.python: {python} cannot be executed: {error.strerror or error}"
        ) from None
    late = threading.Event()

    def end() -> None:
        late.set()
        _kill(process)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        with process:
            assert process.stdout is not None  # noqa: S101  (a pipe)
            output = process.stdout.read(MAX_OUTPUT)
            if len(output) == MAX_OUTPUT:  # it would wait for a reader
                _kill(process)
            code = process.wait()
    finally:
        timer.cancel()
    if late.is_set():
        raise OceanFolderError(f"ocean.python: {python} did not answer within {seconds:g} s")
    return output.decode(errors="replace"), code


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a program and whatever it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
