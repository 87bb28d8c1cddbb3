"""Waiting for conditions, with a bound."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path

WITHIN = 300.0 if importlib.util.find_spec("ray") else 60.0  # as in workshop.py


def wait_until(so: Callable[[], object], what: str) -> None:
    until = time.monotonic() + WITHIN
    while not so():
        assert time.monotonic() < until, f"not in time: {what}"
        time.sleep(0.01)


def wait_for(path: Path) -> None:
    """Wait until a file exists."""
    wait_until(path.exists, str(path))
