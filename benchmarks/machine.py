"""The machine and the versions that a result belongs to."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> float:
    """Returns how many threads wanted a core in the last minute."""
    return os.getloadavg()[0]


def busy() -> str:
    """Returns why a result says little, empty on a quiet machine.

    A benchmark with its peers keeps all cores busy itself, so that much is normal.
    """
    if load() <= 1.5 * cores():
        return ""
    return f"the machine was busy (load {load():.0f} on {cores()} cores)"


def describe(packages: Sequence[str]) -> str:
    """Returns one line: date, cores, load, Python and packages."""
    today = datetime.now(timezone.utc).date()
    versions = [f"{name} {found}" for name in packages if (found := _version(name))]
    return ", ".join(
        [
            f"{today}",
            f"{cores()} cores of {_processor()}",
            f"load {load():.1f}",
            f"Python {platform.python_version()}",
            *versions,
        ]
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
