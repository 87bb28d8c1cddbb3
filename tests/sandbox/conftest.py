from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import ManualClock

AGENT = "port-ocean/custom/1.0.0/demo/exporter"


class Client(requests.Session):
    """What another client of Port would send, to paths below /v1."""

    def __init__(self, sandbox: Sandbox, agent: Any = AGENT) -> None:
        super().__init__()
        self.sandbox = sandbox
        self.headers["User-Agent"] = agent

    def login(self) -> Any:
        credentials = {
            "clientId": self.sandbox.client_id,
            "clientSecret": self.sandbox.client_secret,
        }
        answer = self.call("POST", "/auth/access_token", json=credentials)
        answer.raise_for_status()
        self.headers["Authorization"] = "{tokenType} {accessToken}".format(**answer.json())
        return answer

    def call(self, method: str, path: str, **kwargs: Any) -> Any:
        return self.request(method, self.sandbox.url + "/v1" + path, timeout=30, **kwargs)

    def ask(self, method: str, path: str, status: int = 200, **kwargs: Any) -> Any:
        """The answer's JSON, after a look at its status."""
        answer = self.call(method, path, **kwargs)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def make_sandbox() -> Iterator[Callable[..., Sandbox]]:
    made = []

    def make(**options: Any) -> Any:
        sandbox = Sandbox(**options)
        sandbox.start()
        made.append(sandbox)
        return sandbox

    yield make
    for sandbox in made:
        sandbox.stop()


@pytest.fixture
def sandbox(make_sandbox: Callable[..., Sandbox]) -> Sandbox:
    return make_sandbox()


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Client]:
    with Client(sandbox) as client:
        client.login()
        yield client


@pytest.fixture
def demo(client: Client) -> Client:
    """The client, with an integration called demo."""
    body = {"installationId": "demo", "installationAppType": "custom", "version": "1.0.0"}
    client.ask("POST", "/integration", 201, json=body)
    return client
