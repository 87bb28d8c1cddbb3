"""The shop, an integration of Port Ocean, inside a system of ours or in upstream's own process."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import SandboxedSystem

SHOP = Path(__file__).with_name("integrations") / "shop"
IDENTIFIER = "shop"


class Shop:
    """What the test tells the shop, and what the shop says. `place` is a folder of the test's."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.folder = place / "shop"
        shutil.copytree(SHOP, self.folder)
        self.order()

    def order(self, **orders: object) -> None:
        """Say what the shop does in the resyncs from now on; see `main.py`."""
        file = self.place / "orders.new"
        file.write_text(json.dumps(orders))
        file.rename(self.place / "orders.json")
        (self.place / "notes").write_text("")

    def notes(self) -> list[str]:
        """Returns what the shop has noted since the last order."""
        return (self.place / "notes").read_text().splitlines()

    def wait_for_note(self, note: str, within: float = 60.0) -> None:
        """Wait until the shop has noted this. Raises AssertionError."""
        wait_until(lambda: note in self.notes(), f"the note {note!r}, only {self.notes()}", within)

    def settings(self, python: Path, **settings: Any) -> dict[str, Any]:
        """Returns the settings of a system that has the shop inside."""
        return {
            "integration": {"identifier": IDENTIFIER, "type": "shop", "config": {"currency": "€"}},
            "eventListener": {"type": "POLLING", "interval": 0.2},
            "ocean": {"path": str(self.folder), "python": str(python)},
            **settings,
        }

    def environment(self) -> dict[str, str]:
        """Returns the environment that the shop reads."""
        return {"SHOP": str(self.place)}


def child_of(rig: SandboxedSystem) -> dict[str, Any]:
    """Returns what the status shows of the child."""
    found: dict[str, Any] = rig.system.status()["ocean"]
    return found


def wait_until(condition: Callable[[], object], what: str, within: float = 60.0) -> None:
    """Wait until something is the case. Raises AssertionError."""
    until = time.monotonic() + within
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"not within {within:g} s: {what}")
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Returns whether a process has ended; one that nobody has waited for counts as ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return os.path.isdir("/proc/self")
