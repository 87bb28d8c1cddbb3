"""What is counted of the calls to Port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from ocean_actors.actors import Backoff, Cancelled, CancelToken
from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.tally import NO_ANSWER
from ocean_actors.retry import ONCE, Retry
from ocean_actors.sandbox import Sandbox
from ocean_actors.settings import IntegrationSettings, PortSettings

SOON = Retry(attempts=3, backoff=Backoff(initial=0.001, maximum=0.001))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[PortClient]:
    with client_of(sandbox) as client:
        client.get_organization()
        yield client


def client_of(sandbox: Sandbox, token: CancelToken | None = None) -> PortClient:
    return PortClient(
        PortSettings(
            client_id=sandbox.client_id,
            client_secret=SecretStr(sandbox.client_secret),
            base_url=sandbox.url,
        ),
        IntegrationSettings(identifier="mine"),
        token=token,
    )


def test_each_attempt_is_counted_with_its_status_and_each_repetition(
    sandbox: Sandbox, client: PortClient
) -> None:
    sandbox.fail("status", status=503, times=2)
    client.get_organization(SOON)
    assert client.calls.retries == 2
    assert client.calls.answers.values == {
        ("200", "POST"): 1,  # the access token
        ("200", "GET"): 2,
        ("503", "GET"): 2,
    }
    assert client.calls.durations.cumulative()[-1][1] == 5


def test_a_call_without_an_answer_has_a_code_of_its_own(
    sandbox: Sandbox, client: PortClient
) -> None:
    sandbox.stop()
    with pytest.raises(PortError):
        client.get_organization(ONCE)
    assert client.calls.answers.values[NO_ANSWER, "GET"] == 1
    assert client.calls.retries == 0


def test_the_clients_of_one_system_are_counted_together(client: PortClient) -> None:
    with client.clone() as other:
        other.get_organization()
    assert client.calls.answers.values["200", "GET"] == 2


def test_a_cancelled_call_is_not_counted_as_a_failure_of_port(sandbox: Sandbox) -> None:
    token = CancelToken()
    with client_of(sandbox, token) as client:
        client.get_organization()
        before = client.calls
        token.cancel("stopping")
        with pytest.raises(Cancelled):
            client.get_organization(ONCE)
        assert client.calls == before
