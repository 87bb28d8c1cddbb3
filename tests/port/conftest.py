from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from jumping_clock import JumpingClock
from pydantic import SecretStr

from ocean_actors.actors import CancelToken
from ocean_actors.frozen import freeze
from ocean_actors.messages import RunInfo
from ocean_actors.port.client import PortClient
from ocean_actors.port.entities import EntityWriter
from ocean_actors.resync.run import ResyncAborted
from ocean_actors.sandbox.server import Sandbox
from ocean_actors.settings import IntegrationSettings, PortSettings

SECRET = "sandbox-secret"


class Runs:
    """Makes writers, as the coordinator does for each run."""

    def __init__(self, client: PortClient) -> None:
        self._client = client
        self._writers: list[Any] = []

    def start(self, handlers: Any = ("all",), *, concurrency: int = 8, **config: Any) -> Any:
        number = len(self._writers) + 1
        now = datetime.now(timezone.utc)
        info = RunInfo(f"run-{number}", number, "test", "test", now, now, freeze(config))
        token = CancelToken(ResyncAborted)
        writer: Any = EntityWriter(
            self._client.clone(token), info, handlers, concurrency=concurrency
        )
        writer.abort = token.cancel
        self._writers.append(writer)
        return writer

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        sandbox.create_blueprint("package", schema={"properties": {"version": {"type": "string"}}})
        yield sandbox


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


@pytest.fixture
def connect(clock: JumpingClock) -> Iterator[Callable[..., PortClient]]:
    """Make clients of a Port at some URL."""
    made = []

    def make(url: str, identifier: str = "demo", **options: Any) -> Any:
        port = PortSettings(client_id="sandbox", client_secret=SecretStr(SECRET), base_url=url)
        integration = IntegrationSettings(identifier=identifier, type="Custom")
        options = {"clock": clock, "jitter": lambda: 0.0, **options}
        client = PortClient(port, integration, **options)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(sandbox: Sandbox, connect: Callable[..., PortClient]) -> PortClient:
    return connect(sandbox.url)


@pytest.fixture
def make_runs() -> Iterator[Callable[[PortClient], Runs]]:
    """Make the runs of a client."""
    made = []

    def make(client: PortClient) -> Any:
        made.append(Runs(client))
        return made[-1]

    yield make
    for runs in made:
        runs.close()


@pytest.fixture
def runs(client: PortClient, make_runs: Callable[[PortClient], Runs]) -> Runs:
    return make_runs(client)
