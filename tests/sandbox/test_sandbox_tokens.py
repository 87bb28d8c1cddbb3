from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import requests

from ocean_actors.sandbox import Sandbox
from ocean_actors.sandbox.tokens import KEPT, Tokens
from ocean_actors.testing import ManualClock

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client


def is_refused(answer: Any) -> Any:
    body = answer.json()
    return answer.status_code == 401 and body["ok"] is False and body["error"] == "unauthorized"


def test_the_credentials_get_a_token(client: Client) -> None:
    answer = client.login().json()
    assert answer["ok"]
    assert (answer["expiresIn"], answer["tokenType"]) == (3600, "Bearer")
    assert client.call("GET", "/organization").ok


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Basic abc", "x" * 1000])
def test_a_missing_or_unknown_token_is_refused_in_ports_shape(
    sandbox: Sandbox, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    url = f"{sandbox.url}/v1/organization"
    assert is_refused(requests.get(url, headers=headers, timeout=30))


@pytest.mark.parametrize("secret", ["wrong", ""])
def test_wrong_credentials_are_refused(sandbox: Sandbox, client: Client, secret: str) -> None:
    body = {"clientId": "sandbox", "clientSecret": secret}
    assert is_refused(client.call("POST", "/auth/access_token", json=body))


def test_a_token_expires(make_sandbox: Callable[..., Sandbox], clock: ManualClock) -> None:
    sandbox = make_sandbox(clock=clock, token_lifetime=60)
    body = {"clientId": "sandbox", "clientSecret": "sandbox-secret"}
    token = requests.post(f"{sandbox.url}/v1/auth/access_token", json=body, timeout=30).json()
    headers = {"Authorization": f"Bearer {token['accessToken']}"}
    url = f"{sandbox.url}/v1/organization"
    clock.advance(59)
    assert requests.get(url, headers=headers, timeout=30).ok
    clock.advance(1)
    assert is_refused(requests.get(url, headers=headers, timeout=30))


def test_all_tokens_expire_on_command(sandbox: Sandbox, client: Client) -> None:
    requests.post(f"{sandbox.url}/sandbox/tokens/expire", timeout=30).raise_for_status()
    assert is_refused(client.call("GET", "/organization"))
    client.login()
    assert client.call("GET", "/organization").ok


def test_the_right_credentials_can_be_refused(sandbox: Sandbox, client: Client) -> None:
    sandbox.configure(refuse_credentials=True)
    body = {"clientId": "sandbox", "clientSecret": "sandbox-secret"}
    assert is_refused(client.call("POST", "/auth/access_token", json=body))
    sandbox.configure(refuse_credentials=False)
    client.login()


def test_the_lifetime_can_be_changed(sandbox: Sandbox, client: Client) -> None:
    settings = {"token_lifetime": 5}
    requests.put(f"{sandbox.url}/sandbox/settings", json=settings, timeout=30).raise_for_status()
    assert client.login().json()["expiresIn"] == 5


def test_the_secret_is_not_remembered_with_the_call(sandbox: Sandbox, client: Client) -> None:
    (call,) = [call for call in sandbox.calls if call.path == "/v1/auth/access_token"]
    assert call.body == {"clientId": "sandbox", "clientSecret": "***"}
    assert "sandbox-secret" not in repr(sandbox.calls)
    assert "sandbox-secret" not in requests.get(f"{sandbox.url}/sandbox/calls", timeout=30).text


def test_however_many_tokens_are_asked_for_the_memory_is_bounded(clock: ManualClock) -> None:
    tokens = Tokens("id", "secret", 60, clock)
    for _ in range(KEPT + 10):
        newest = tokens.issue("id", "secret")
    assert len(tokens._good_until) == KEPT
    tokens.check(f"Bearer {newest['accessToken']}")
