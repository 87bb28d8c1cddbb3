"""Waiting for conditions, with a bound."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

WITH_RAY = importlib.util.find_spec("ray") is not None
"""`tox -e ray` installs it; the other environments do without."""

WITHIN = 300.0 if WITH_RAY else 60.0

T = TypeVar("T")


def wait_until(condition: Callable[[], T | None], what: str | Callable[[], object]) -> T:
    """Returns the first true value of a condition that nobody announces.

    `what` is awaited, or tells how far it came. Raises AssertionError after `WITHIN` seconds.
    """
    until = time.monotonic() + WITHIN
    while not (value := condition()):
        if time.monotonic() > until:
            told = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {WITHIN:g} s: {told}")
        time.sleep(0.01)
    return value


def wait_for(path: Path) -> None:
    """Wait until a file exists."""
    wait_until(path.exists, str(path))


def has_ended(pid: int) -> bool:
    """Returns whether a process has ended, though nobody may have waited for it."""
    try:
        process = psutil.Process(pid)  # as long as a thread of it ends, it cannot be waited for
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() == 1
    except psutil.NoSuchProcess:
        return True
