"""The settings of an integration of Port Ocean: its folder's files, and upstream's variables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ocean_actors.ocean.environment import child_environment
from ocean_actors.settings import Settings, SettingsError

CREDENTIALS = {"OCEAN__PORT__CLIENT_ID": "id", "OCEAN__PORT__CLIENT_SECRET": "secret"}

CHART = {
    **CREDENTIALS,
    "OCEAN__PORT__BASE_URL": "https://api.port.example",
    "OCEAN__PORT__INGEST_URL": "https://ingest.port.example",
    "OCEAN__INITIALIZE_PORT_RESOURCES": "true",
    "OCEAN__SCHEDULED_RESYNC_INTERVAL": "60",
    "OCEAN__EVENT_LISTENER": '{"type": "POLLING", "should_resync": true, "resyncOnStart": false}',
    "OCEAN__INTEGRATION__IDENTIFIER": "my-shop",
    "OCEAN__INTEGRATION__TYPE": "shop",
    "OCEAN__INTEGRATION__CONFIG__SHOP_HOST": "https://shop.example",
    "OCEAN__INTEGRATION__CONFIG__TOKENS": '["a", "b"]',
    "OCEAN__INTEGRATION__INCREMENTAL_SYNC_ENABLED": "false",
    "OCEAN__INTEGRATION__INCREMENTAL_SYNC_INTERVAL": "15m",
    "OCEAN__CLIENT_TIMEOUT": "60",
    "OCEAN__CREATE_PORT_RESOURCES_ORIGIN": "Ocean",
    "OCEAN__ALLOW_ENVIRONMENT_VARIABLES_JQ_ACCESS": "true",
    "OCEAN__SEND_RAW_DATA_EXAMPLES": "true",
    "OCEAN__OAUTH_ACCESS_TOKEN_FILE_PATH": "/app/.config/oauth",
    "OCEAN__BASE_URL": "https://shop.example",
    "OCEAN__PATH_PREFIX": "/shop",
    "OCEAN__LIVE_EVENTS__IS_REDIS_STREAM_CONSUMER_ENABLED": "false",
    "OCEAN__EVENTS_DEBUG_LOGGING": "false",
    "OCEAN__EVENT_WORKERS_COUNT": "1",
    "OCEAN__LAKEHOUSE_ENABLED": "false",
    "OCEAN__PROCESSING_MODE": "dsp",
    "OCEAN__PROCESS_EXECUTION_MODE": "multi_process",
    "OCEAN__STREAMING__ENABLED": "false",
    "OCEAN__ACTIONS_PROCESSOR__ENABLED": "true",
    "OCEAN__ACTIONS_PROCESSOR__RUNS_BUFFER_HIGH_WATERMARK": "100",
    "OCEAN__METRICS__ENABLED": "true",
    "OCEAN__IDENTITY_PROPAGATION__VAULT__AWS_ACCESS_KEY_ID": "x",
    "OCEAN__DATABASE__HOST": "db",
    "OCEAN__SSL__PORT__VERIFY": "true",
    "OCEAN__SSL__PORT__X509__STRICT": "false",
    "OCEAN__SSL__THIRD_PARTY__VERIFY": "false",
    "OCEAN__CACHING_STORAGE_MODE": "disk",
    "OCEAN__RUNTIME": "OnPrem",
    "APPLICATION__PORT": "8123",
    "APPLICATION__LOG_LEVEL": "DEBUG",
    "PROMETHEUS_MULTIPROC_DIR": "/tmp/ocean/prometheus/metrics",  # noqa: S108  (not used)
    "STREAMING_LOCATION": "/tmp/ocean/streaming",  # noqa: S108  (not used)
    "LIBRDKAFKA_VERSION": "2.8.2",
    "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
}
"""What upstream's images and its chart set, and what its pages name beside."""


def of_folder(folder: Path, env: dict[str, str] | None = None, **overrides: Any) -> Settings:
    given = {"ocean": {"path": str(folder)}, **overrides}
    return Settings.from_environment(env or {}, dotenv=None, overrides=given)


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)
    return folder


def test_upstreams_variables_are_enough(tmp_path: Path) -> None:
    found = of_folder(tmp_path, CHART)
    assert (found.integration.type, found.integration.identifier) == ("shop", "my-shop")
    assert found.integration.config == {
        "shop_host": "https://shop.example",
        "tokens": '["a", "b"]',
    }
    assert found.event_listener.type == "POLLING"
    assert (found.scheduled_resync_interval, found.http.port) == (60, 8123)
    assert not found.ssl.port.x509.strict
    assert "OCEAN__EVENT_LISTENER.should_resync" in found.ignored
    assert "OCEAN__SSL__THIRD_PARTY__VERIFY" in found.ignored


@pytest.mark.parametrize("variable", [name for name in CHART if name.startswith("OCEAN__")])
def test_no_variable_of_upstreams_is_an_error(variable: str) -> None:
    Settings.from_environment({**CREDENTIALS, variable: CHART[variable]}, dotenv=None)


def test_a_misspelt_key_of_ours_is_still_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"did you mean ocean\.startTimeout"):
        of_folder(tmp_path, {**CREDENTIALS, "OCEAN__OCEAN__START_TIMEOT": "5"})


def test_the_type_is_the_name_of_the_project(tmp_path: Path) -> None:
    write(tmp_path, pyproject_toml='[tool.poetry]\nname = "shop"\nversion = "1.2"\n')
    own = of_folder(tmp_path, CREDENTIALS).integration
    assert (own.type, own.identifier) == ("shop", "my-shop-integration")
    write(tmp_path, pyproject_toml='[project]\nname = "Store"\n[tool.poetry]\nname = "shop"\n')
    assert of_folder(tmp_path, CREDENTIALS).integration.type == "store"
    named = {**CREDENTIALS, "OCEAN__INTEGRATION__TYPE": "mine"}
    assert of_folder(tmp_path, named).integration.type == "mine"


def test_the_files_of_the_folder_are_read_below_all_other_sources(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        _env="OCEAN__PORT__CLIENT_SECRET=of the folder\nHOST_OF_SHOP=shop.example\n",
        config_yaml="""
            port: {clientId: "{{ from env CLIENT }}", clientSecret: no}
            eventListener: {type: KAFKA}
            integration:
              type: shop
              config: {host: "{{ from env HOST_OF_SHOP }}", token: "{{ from env NOWHERE }}", a: 1}
            runtime: OnPrem
        """,
    )
    found = of_folder(folder, {"CLIENT": "id"}, integration={"config": {"a": 2}})
    assert found.port.client_id == "id"
    assert found.port.client_secret.get_secret_value() == "of the folder"
    assert found.event_listener.type == "KAFKA"
    assert found.integration.config == {"host": "shop.example", "a": 2}


def test_a_settings_file_names_the_folder_from_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop").mkdir()
    write(tmp_path / "shop", pyproject_toml='[project]\nname = "shop"\n')
    file = tmp_path / "settings.yaml"
    file.write_text("ocean: {path: shop, python: shop/python}")
    monkeypatch.chdir("/")
    found = Settings.from_file(file, CREDENTIALS, dotenv=None)
    assert found.integration.type == "shop"
    assert Path(found.ocean.path or "") == tmp_path / "shop"
    assert Path(found.ocean.python or "") == tmp_path / "shop" / "python"
    file.write_text("ocean: {path: shop, python: python3.12}")
    assert Settings.from_file(file, CREDENTIALS, dotenv=None).ocean.python == "python3.12"
    other = Settings.from_file(file, {**CREDENTIALS, "OCEAN__OCEAN__PATH": "x"}, dotenv=None)
    assert other.ocean.path == "x"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"config_yaml": "port: ["}, "config.yaml:1:8: not usable as YAML"),
        ({"pyproject_toml": "name = "}, "pyproject.toml: not usable as TOML"),
        ({"_env": "\0"}, None),
    ],
)
def test_a_broken_file_of_the_folder_is_told_in_one_line(
    tmp_path: Path, files: dict[str, str], said: str | None
) -> None:
    write(tmp_path, **files)
    if said is None:
        of_folder(tmp_path, CREDENTIALS)
        return
    with pytest.raises(SettingsError) as caught:
        of_folder(tmp_path, CREDENTIALS)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_only_upstream_uses_reaches_the_integration(tmp_path: Path) -> None:
    folder = write(tmp_path, _env="OCEAN__BASE_URL=https://shop.example\nSECRET=s3cr3t\n")
    file = tmp_path / "settings.yaml"
    file.write_text("""
        port: {ingestUrl: "https://ingest.example"}
        ocean: {path: .}
        runtime: OnPrem
        eventListener: {type: POLLING, shouldProcessWebhooks: true, interval: 5}
        identityPropagation:
          enabled: false
          vault: {awsRegion: eu, awsSecret: "{{ from env SECRET }}"}
        streaming: {enabled: true, chunkSize: 10}
        pathPrefix: "{{ from env NOWHERE }}"
        ssl: {port: {verify: false}}
    """)
    env = {**CREDENTIALS, "ocean__Streaming__enabled": "false", "OCEAN__CLIENT_TIMEOUT": "5"}
    found = Settings.from_file(file, env, dotenv=None)
    assert "s3cr3t" not in repr(found) + str(found.masked())
    assert found.ocean.path == str(folder)
    child = child_environment(found, env)
    assert child["OCEAN__BASE_URL"] == "https://shop.example"
    assert child["OCEAN__RUNTIME"] == "OnPrem"
    assert child["OCEAN__PORT__INGEST_URL"] == "https://ingest.example"
    assert child["OCEAN__CLIENT_TIMEOUT"] == "5"
    assert child["OCEAN__EVENT_LISTENER__SHOULD_PROCESS_WEBHOOKS"] == "true"
    assert json.loads(child["OCEAN__EVENT_LISTENER"]) == {"type": "POLLING"}
    assert child["OCEAN__SSL__PORT__VERIFY"] == "false"
    assert json.loads(child["OCEAN__STREAMING"]) == {"enabled": "false", "chunk_size": 10}
    assert json.loads(child["OCEAN__IDENTITY_PROPAGATION"]) == {
        "enabled": False,
        "vault": {"aws_region": "eu", "aws_secret": "s3cr3t"},
    }
    assert "OCEAN__PATH_PREFIX" not in child
