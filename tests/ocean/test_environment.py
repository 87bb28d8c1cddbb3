"""The environment of the child: upstream's settings, made of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ocean_actors import Settings
from ocean_actors.ocean.environment import child_environment, snake_case

GIVEN: dict[str, Any] = {
    "port": {"clientId": "me", "clientSecret": "s3cret", "baseUrl": "https://port.example"},
    "integration": {"identifier": "shop", "type": "Shop", "config": {"apiKey": "k", "pages": 3}},
}


def environment(environ: dict[str, str] | None = None, **settings: Any) -> dict[str, str]:
    made = Settings.from_dict({**GIVEN, **settings}, {})
    return child_environment(made, environ or {})


def test_what_the_settings_say_reaches_upstream_by_the_environment() -> None:
    env = environment()
    assert json.loads(env["OCEAN__PORT"]) == {
        "client_id": "me", "client_secret": "s3cret", "base_url": "https://port.example",
    }  # fmt: skip
    assert json.loads(env["OCEAN__INTEGRATION"]) == {
        "identifier": "shop", "type": "shop", "config": {"api_key": "k", "pages": 3},
    }  # fmt: skip
    assert json.loads(env["OCEAN__EVENT_LISTENER"]) == {"type": "POLLING"}


def test_the_child_has_the_same_listener_with_the_same_address() -> None:
    webhook = {"type": "WEBHOOK", "appHost": "https://shop.example/"}
    env = environment(eventListener=webhook)
    assert json.loads(env["OCEAN__EVENT_LISTENER"]) == {
        "type": "WEBHOOK", "app_host": "https://shop.example",
    }  # fmt: skip


def test_variables_of_upstream_stay_and_those_that_we_have_read_do_not_contradict() -> None:
    env = environment(
        {
            "OCEAN__ACTIONS_PROCESSOR__ENABLED": "true",
            "OCEAN__PORT__CLIENT_SECRET": "older",
            "OCEAN__PORT__PORT_APP_CONFIG_CACHE_TTL": "1",
            "OCEAN__INTEGRATION": '{"incrementalSyncEnabled": true, "type": "other"}',
            "ocean__integration__config__api_key": "older",
            "APPLICATION__LOG_LEVEL": "DEBUG",
            "HOME": "/home/me",
        }
    )
    assert env["OCEAN__ACTIONS_PROCESSOR__ENABLED"] == "true"
    assert env["OCEAN__PORT__PORT_APP_CONFIG_CACHE_TTL"] == "1"
    assert json.loads(env["OCEAN__INTEGRATION"])["incremental_sync_enabled"] is True
    assert json.loads(env["OCEAN__INTEGRATION"])["type"] == "shop"
    assert (env["APPLICATION__LOG_LEVEL"], env["HOME"]) == ("DEBUG", "/home/me")
    assert "older" not in env.values()


@pytest.mark.parametrize(
    "name",
    [
        "OCEAN__CONTROL__TOKEN", "OCEAN__LEADER__URL", "ocean__control", "OCEAN__HTTP__PORT",
        "OCEAN__OCEAN__PATH", "OCEAN__SCHEDULED_RESYNC_INTERVAL", "OCEAN__HANDLERS",
    ],
)  # fmt: skip
def test_what_only_we_read_is_not_handed_on(name: str) -> None:
    assert name not in environment({name: "x"})


def test_a_log_that_is_not_to_be_shipped_is_not_shipped_by_upstream() -> None:
    env = environment(port={**GIVEN["port"], "shipLogs": False})
    assert env["APPLICATION__ENABLE_HTTP_LOGGING"] == "false"


@pytest.mark.parametrize(
    ("name", "upstream"),
    [("jiraHost", "jira_host"), ("jira_host", "jira_host"), ("URL", "url"), ("a1B", "a1_b")],
)
def test_a_name_is_spelled_as_upstream_spells_it(name: str, upstream: str) -> None:
    assert snake_case(name) == upstream
