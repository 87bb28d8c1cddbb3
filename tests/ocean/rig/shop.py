"""The shop, an integration of Port Ocean, inside a system of ours."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import requests
from waiting import wait_until

from ocean_actors import RunEnded, RunStarted
from ocean_actors.context import Actor
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import ManualClock, SandboxedSystem

SHOP = Path(__file__).parent.with_name("integrations") / "shop"
IDENTIFIER = "shop"
ENVIRONMENT = """\
OCEAN__BASE_URL=https://shop.example
APPLICATION__LOG_LEVEL=INFO
"""
"""Without an address of its own, an integration takes no live events."""


class Shop:
    """What the test tells the shop, and what the shop says. `place` is a folder of the test's."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.folder = place / "shop"
        shutil.copytree(SHOP, self.folder, ignore=shutil.ignore_patterns("__pycache__"))
        (self.folder / ".env").write_text(ENVIRONMENT)
        self.order()

    def order(self, **orders: object) -> None:
        """Say what the shop does from now on, see `main.py`, and forget what it has noted."""
        file = self.place / "orders.new"
        file.write_text(json.dumps(orders))
        file.rename(self.place / "orders.json")
        (self.place / "notes").write_text("")

    def notes(self) -> list[str]:
        """Returns what the shop has noted since the last order."""
        return (self.place / "notes").read_text().splitlines()

    def wait_for_note(self, note: str) -> None:
        """Wait until the shop has noted this. Raises AssertionError."""
        wait_until(lambda: note in self.notes(), f"a note {note!r}")

    def settings(
        self, python: Path, start_timeout: float = 120.0, **settings: Any
    ) -> dict[str, Any]:
        """Returns the settings of a system that has the shop inside."""
        ocean = {"path": str(self.folder), "python": str(python), "startTimeout": start_timeout}
        return {
            "integration": {"identifier": IDENTIFIER, "type": "shop", "config": {"currency": "€"}},
            "eventListener": {"type": "POLLING", "interval": 0.2},
            "http": {"host": "127.0.0.1", "port": 0},
            "ocean": ocean,
            **settings,
        }


class Rig(SandboxedSystem):
    """A system that has the shop inside, with a sandbox as its Port."""

    def __init__(
        self,
        shop: Shop,
        python: Path,
        *,
        actors: Sequence[Callable[[], Actor]] = (),
        clock: ManualClock | None = None,
        sandbox: Sandbox | None = None,
        **settings: Any,
    ) -> None:
        given = shop.settings(python, **settings)
        super().__init__([], actors, clock=clock, sandbox=sandbox, **given)
        self.shop = shop

    @property
    def child(self) -> dict[str, Any]:
        """What the status shows of the child."""
        found: dict[str, Any] = self.system.status()["ocean"]
        return found

    def actor(self, name: str) -> dict[str, Any]:
        """Returns what the status shows of an actor."""
        found = (each for each in self.system.status()["actors"] if each["name"] == name)
        return next(found, {})

    @property
    def child_url(self) -> str:
        """The address at which the child serves HTTP, once it is ready."""
        wait_until(lambda: self.child["url"], "a child that is ready")
        return str(self.child["url"])

    def run(self, status: str = "completed", **orders: object) -> RunEnded:
        """Returns the end of a run in which the shop does what `orders` say."""
        self.shop.order(**orders)
        self.system.request_resync("the test wants it")
        return self.ended(status)

    def start(self, **orders: object) -> RunStarted:
        """Start a run in which the shop does what `orders` say, and wait until it waits."""
        self.shop.order(**orders)
        self.system.request_resync("the test wants it")
        started = self.expect(RunStarted, 60)
        self.shop.wait_for_note("waiting")
        return started

    def ended(self, status: str) -> RunEnded:
        """Returns the next end of a run, which has to be this one."""
        ended = self.expect(RunEnded, 60)
        assert ended.status == status, ended.failures
        return ended

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        """Call the child's web server."""
        return requests.request(method, f"{self.child_url}{path}", timeout=30, **more)


def is_gone(pid: int) -> bool:
    """Returns whether a process has ended, or is at least a zombie."""
    try:
        os.kill(pid, 0)
        return _state(pid) in ("Z", "X")
    except ProcessLookupError:
        return True


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
