"""The webhook over a real socket, with a coordinator that answers what a test wants."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from pydantic import SecretStr

from ocean_actors.listeners.webhook.app import WebhookApp
from ocean_actors.listeners.webhook.caller import CallReader
from ocean_actors.listeners.webhook.intake import Listening, WebhookIntake
from ocean_actors.messages import Reception, ResyncRequested
from ocean_actors.settings import PortSettings, WebhookSettings
from ocean_actors.testing import ManualClock
from ocean_actors.web.channel import limits
from ocean_actors.web.endpoint import EndpointApp
from ocean_actors.web.health import Health
from ocean_actors.web.log import WebLog
from ocean_actors.web.server import HttpServer
from ocean_actors.web.signature import sign

SECRET = "s3cr3t"
REQUEST = {"action": "RESYNC", "context": {"integrationId": "demo"}}


class Door:
    """A webhook in its endpoint, without the actors behind it: this is the coordinator as well."""

    def __init__(
        self, max_body_bytes: int, timing: dict[str, Any], settings: dict[str, Any]
    ) -> None:
        self.clock = ManualClock()
        self.offered: list[ResyncRequested] = []
        self.reception: Reception | Exception = "accepted"
        self.idle = True
        self.hints = 0
        self.reached = True
        self.generation = 0  # the coordinator asked so often for a run's config
        port = PortSettings(client_id="id", client_secret=SecretStr(SECRET))
        self.intake = WebhookIntake("demo", resync=self, clock=self.clock)
        reader = CallReader(
            WebhookSettings(app_host="https://demo.example", **settings),
            port.client_secret,
            max_body_bytes=max_body_bytes,
            clock=self.clock,
        )
        log = WebLog(self.clock)
        self.app = EndpointApp(self._health, log, mounted=WebhookApp(reader, self.intake, log))
        self.server = HttpServer(
            self.app, "127.0.0.1", 0, **limits(max_body_bytes, log.refused, **timing)
        )
        self.server.start()
        self.open()

    def open(self) -> None:
        self.intake.open(Listening("webhook", self._wake))

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.server.port)

    def now(self) -> int:
        return int(self.clock.now().timestamp())

    def signed(
        self, body: bytes, *, secret: str = SECRET, timestamp: int | None = None
    ) -> dict[str, str]:
        moment = self.now() if timestamp is None else timestamp
        return {
            "Content-Type": "application/json",
            "x-port-timestamp": str(moment),
            "x-port-signature": sign(secret.encode(), moment, body),
        }

    def post(
        self, body: Any = b"", headers: dict[str, str] | None = None, path: str = "/resync"
    ) -> requests.Response:
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if headers is None:
            headers = {"Content-Type": "application/json"}
        return requests.post(self.server.url + path, data=body, headers=headers, timeout=30)

    def post_signed(self, body: Any = REQUEST, **options: Any) -> requests.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.post(raw, self.signed(raw, **options))

    def offer(self, request: ResyncRequested, timeout: float) -> Reception:
        assert timeout == 1.0
        if isinstance(self.reception, Exception):
            raise self.reception
        self.offered.append(request)
        if self.idle:
            self.generation += 1  # the coordinator prepares a run at once
        return self.reception

    def _health(self) -> Health:
        return Health(listening=self.intake.is_listening, port=self.reached)

    def _wake(self) -> None:
        self.hints += 1


@pytest.fixture
def open_door() -> Iterator[Callable[..., Door]]:
    doors = []

    def start(
        *, max_body_bytes: int = 100_000, timing: dict[str, Any] | None = None, **settings: Any
    ) -> Door:
        door = Door(max_body_bytes, timing or {}, settings)
        doors.append(door)
        return door

    yield start
    for door in doors:
        door.server.stop()


@pytest.fixture
def door(open_door: Callable[..., Door]) -> Door:
    return open_door()
