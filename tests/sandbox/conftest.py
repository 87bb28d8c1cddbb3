from __future__ import annotations

import pytest
import requests

from ocean_actors.sandbox import Sandbox
from ocean_actors.testing import ManualClock

AGENT = "port-ocean/custom/1.0.0/demo/exporter"


class Client(requests.Session):
    """What another client of Port would send, to paths below /v1."""

    def __init__(self, sandbox, agent=AGENT):
        super().__init__()
        self.sandbox = sandbox
        self.headers["User-Agent"] = agent

    def login(self):
        credentials = {
            "clientId": self.sandbox.client_id,
            "clientSecret": self.sandbox.client_secret,
        }
        answer = self.call("POST", "/auth/access_token", json=credentials)
        answer.raise_for_status()
        self.headers["Authorization"] = "{tokenType} {accessToken}".format(**answer.json())
        return answer

    def call(self, method, path, **kwargs):
        return self.request(method, self.sandbox.url + "/v1" + path, timeout=10, **kwargs)

    def ask(self, method, path, status=200, **kwargs):
        """The answer's JSON, after a look at its status."""
        answer = self.call(method, path, **kwargs)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def make_sandbox():
    made = []

    def make(**options):
        sandbox = Sandbox(**options)
        sandbox.start()
        made.append(sandbox)
        return sandbox

    yield make
    for sandbox in made:
        sandbox.stop()


@pytest.fixture
def sandbox(make_sandbox):
    return make_sandbox()


@pytest.fixture
def client(sandbox):
    with Client(sandbox) as client:
        client.login()
        yield client


@pytest.fixture
def demo(client):
    """The client, with an integration called demo."""
    body = {"installationId": "demo", "installationAppType": "custom", "version": "1.0.0"}
    client.ask("POST", "/integration", 201, json=body)
    return client
