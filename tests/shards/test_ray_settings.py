"""What can be told about Ray without it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from scripted import Quick

from ocean_actors import OceanSystem, Settings, SettingsError
from ocean_actors.errors import UsageError
from ocean_actors.shards.ray.executor import options_of, without_port_s_secrets
from ocean_actors.shards.ray.link import environment

PORT = {"clientId": "id", "clientSecret": "a-secret"}


def settings(**ray: object) -> Settings:
    return Settings.from_dict({"port": PORT, "resync": {"executor": "ray"}, "ray": ray}, {})


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"^resync\.executor: ray needs .* 'ocean-actors\[ray\]'$"):
        OceanSystem(settings(), [Quick])


def test_names_within_the_runtime_environment_and_the_resources_stay_as_written() -> None:
    found = settings(
        address="head.ray.svc:6379",
        runtimeEnv={"env_vars": {"camelCase": "1"}},
        resources={"CPU": 2, "myResource": 0.5},
    ).ray
    assert found.address == "head.ray.svc:6379"
    assert found.runtime_env == {"env_vars": {"camelCase": "1"}}
    assert found.resources == {"CPU": 2, "myResource": 0.5}


def test_the_runtime_environment_is_not_shown() -> None:
    masked = settings(runtimeEnv={"env_vars": {"TOKEN": "x"}}).masked()
    assert masked["ray"]["runtimeEnv"] == {"env_vars": {"TOKEN": "***"}}


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "user@head:6379", "head:"])
def test_an_address_that_cannot_be_used_is_told(address: str) -> None:
    with pytest.raises(SettingsError, match=r"ray\.address: expected host:port, or auto"):
        settings(address=address)


def test_a_negative_resource_is_told() -> None:
    with pytest.raises(SettingsError, match=r"ray\.resources\.CPU: expected 0 or more"):
        settings(resources={"CPU": -1})


def test_resources_are_given_to_ray_by_its_names() -> None:
    assert options_of({}) == {"num_cpus": 1}
    assert options_of({"CPU": 0.5, "memory": 1e9, "GPU": 1, "disk": 2}) == {
        "num_cpus": 0.5,
        "memory": 1_000_000_000,
        "num_gpus": 1,
        "resources": {"disk": 2},
    }


def test_workers_are_not_given_port_s_secret() -> None:
    found = without_port_s_secrets(settings())
    assert found.port.client_secret.get_secret_value() == ""
    assert found.port.client_id == "id"


def test_an_existing_cluster_keeps_its_own_authentication(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert environment(Path("x"), embedded=False)["RAY_AUTH_MODE"] == "disabled"
    assert environment(Path("x"), embedded=True)["RAY_AUTH_MODE"] == "token"


def test_settings_in_the_environment_stay_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCEAN__PORT__CLIENT_SECRET", "a-secret")
    assert "a-secret" not in environment(Path("x"), embedded=False).values()
