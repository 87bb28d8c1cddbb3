"""The JSON Schema of the settings, which `ocean-actors schema` prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ocean_actors import Settings
from ocean_actors.cli import main
from ocean_actors.settings.schema import json_schema

ROOT = Path(__file__).parents[1]
PORT = {"clientId": "id", "clientSecret": "secret"}


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json_schema()
    checker = jsonschema.Draft202012Validator
    checker.check_schema(schema)
    return checker(schema)


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json_schema()


@pytest.mark.parametrize("file", sorted(ROOT.glob("examples/**/config.yaml")), ids=str)
def test_the_settings_of_the_examples_are_valid(validator: Any, file: Path) -> None:
    validator.validate(yaml.safe_load(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "listener",
    [
        {"type": "POLLING", "interval": 5},
        {"type": "KAFKA", "brokers": ["a:9092"]},
        {"type": "WEBHOOK", "appHost": "https://here", "interval": 5},
        {"type": "ONCE"},
        {"resyncOnStart": False},
    ],
)
def test_what_settings_are_made_of_is_valid(validator: Any, listener: dict[str, Any]) -> None:
    values = {"port": PORT, "eventListener": listener}
    Settings.from_dict(values, {})
    validator.validate(values)


def test_every_key_of_the_settings_is_in_it() -> None:
    masked = Settings.from_dict({"port": PORT, "eventListener": {"type": "POLLING"}}, {}).masked()
    masked["port"].update(PORT)
    strict = {**json_schema(), "additionalProperties": False}
    for definition in ("PortSettings", "IntegrationSettings", "PollingSettings"):
        strict["$defs"][definition]["additionalProperties"] = False
    jsonschema.Draft202012Validator(strict).validate(masked)


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"eventListener": {"type": "SMOKE"}}, "eventListener"),
        ({"eventListener": {"type": "POLLING", "interval": 0}}, "eventListener"),
        ({"leader": {"type": "POSTGRES", "ttl": "long"}}, "leader"),
        ({"resync": {"onNewRequest": "panic"}}, "resync.onNewRequest"),
        ({"resync": {"abort_grace": 5}}, "resync"),
        ({"resync": {"abortGrace": -1}}, "resync.abortGrace"),
        ({"http": {"port": 65_536}}, "http.port"),
        ({"scheduledResyncInterval": 0}, "scheduledResyncInterval"),
    ],
)
def test_what_is_wrong_is_found(validator: Any, values: dict[str, Any], where: str) -> None:
    (error,) = validator.iter_errors({"port": PORT, **values})
    assert ".".join(map(str, error.absolute_path)) == where
