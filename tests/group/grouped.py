"""A group of integrations that run against one sandbox."""

from __future__ import annotations

import functools
import queue
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import requests

from ocean_actors import Settings
from ocean_actors.actors import Message
from ocean_actors.group.group import SystemGroup
from ocean_actors.group.members import Member
from ocean_actors.sandbox import Sandbox
from ocean_actors.system import OceanSystem
from ocean_actors.testing.sandboxed import EventRecorder, port_of

WITHIN = 30.0
LOOPBACK = {"host": "127.0.0.1", "port": 0}

MessageT = TypeVar("MessageT", bound=Message)


def member(identifier: str = "shop", **more: Any) -> Member:
    """A member that no test starts."""
    port = {"clientId": "id", "clientSecret": "a secret"}
    values = {"port": port, "integration": {"identifier": identifier}, **more}
    return Member(Settings.from_dict(values, {}), [], [], f"{identifier}.yaml")


class Rig:
    """Builds members by name, and the group of them; hears the events of each."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.members: list[Member] = []
        self.group: SystemGroup
        self._events: dict[str, queue.Queue[Message]] = {}

    def add(
        self, identifier: str, handlers: Sequence[Any], actors: Sequence[Any] = (), **more: Any
    ) -> None:
        """Add an integration; `more` are settings."""
        values = {
            "port": port_of(self.sandbox),
            "integration": {"identifier": identifier},
            "eventListener": {"type": "POLLING", "interval": 60},
            "resync": {"abortGrace": 5},
            **more,
        }
        events = self._events[identifier] = queue.Queue()
        recorder = functools.partial(EventRecorder, events)
        self.members.append(
            Member(Settings.from_dict(values, {}), handlers, [recorder, *actors], identifier)
        )

    def make(self, **options: Any) -> SystemGroup:
        self.group = SystemGroup(self.members, **options)
        return self.group

    def __getitem__(self, identifier: str) -> OceanSystem:
        return next(
            system
            for system in self.group.systems
            if system.settings.integration.identifier == identifier
        )

    def expect(self, identifier: str, event_type: type[MessageT]) -> MessageT:
        """Returns the next event of a type; others are skipped."""
        until = time.monotonic() + WITHIN
        while True:
            event = self._events[identifier].get(timeout=max(0.0, until - time.monotonic()))
            if isinstance(event, event_type):
                return event

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        answer = requests.get(f"{self.group.http_url}{path}", timeout=WITHIN)
        return answer.status_code, answer.json()

    def post(self, path: str, **options: Any) -> requests.Response:
        return requests.post(f"{self.group.http_url}{path}", timeout=WITHIN, **options)


@contextmanager
def rigged() -> Iterator[Rig]:
    """A rig with a sandbox; what it started is stopped at the end."""
    with Sandbox() as sandbox:
        rig = Rig(sandbox)
        try:
            yield rig
        finally:
            if hasattr(rig, "group"):
                rig.group.stop()
