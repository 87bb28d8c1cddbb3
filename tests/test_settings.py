"""Settings: sources and their order, spellings, bounds, and what is said when one is wrong."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable
from datetime import date
from enum import Enum
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from ocean_actors.settings import (
    ControlSettings,
    HttpSettings,
    IntegrationSettings,
    KafkaSettings,
    KubernetesLeaderSettings,
    NoLeaderSettings,
    OceanSettings,
    OnceSettings,
    OnNewRequest,
    PollingSettings,
    PortSettings,
    PostgresLeaderSettings,
    RaySettings,
    ResyncSettings,
    RetrySettings,
    Settings,
    SettingsError,
    WebhookSettings,
)
from ocean_actors.settings.models import X509Settings

SECRET = "s3cr3t-hidden"
PORT = {"clientId": "id-1", "clientSecret": SECRET}
WEBHOOK = {"type": "WEBHOOK", "appHost": "https://me.example"}


def settings(*, env: Any = None, overrides: Any = None, **values: Any) -> Settings:
    return Settings.from_dict({"port": PORT, **values}, env=env or {}, overrides=overrides)


def problem(*, env: Any = None, **values: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        settings(env=env, **values)
    text = str(caught.value)
    assert text.isprintable()
    assert SECRET not in text + repr(caught.value)
    return text


# --- defaults and values --------------------------------------------------------------------------


def test_the_client_id_and_secret_are_all_that_is_needed() -> None:
    found = settings()
    assert found.port.client_id == "id-1"
    assert found.port.client_secret.get_secret_value() == SECRET
    assert found.port.base_url == "https://api.getport.io"
    assert found.integration == IntegrationSettings()
    assert found.integration.identifier == "my-custom-integration"
    assert found.event_listener == PollingSettings()
    assert found.scheduled_resync_interval is None
    assert found.resync == ResyncSettings()
    assert found.http == HttpSettings()
    assert found.ignored == ()


@pytest.mark.parametrize("empty", [None, ""])
def test_the_identifier_is_named_after_the_lower_case_type(empty: str | None) -> None:
    found = settings(integration={"type": "GitLab", "identifier": empty})
    assert (found.integration.type, found.integration.identifier) == (
        "gitlab",
        "my-gitlab-integration",
    )


def test_an_identifier_may_hold_blanks_and_slashes_but_more_than_blanks() -> None:
    assert settings(integration={"identifier": "a/b c"}).integration.identifier == "a/b c"
    assert "integration.identifier: expected a name" in problem(integration={"identifier": "  "})


@pytest.mark.parametrize(
    ("given_type", "model"),
    [
        ("POLLING", PollingSettings()),
        ("KAFKA", KafkaSettings()),
        ("ONCE", OnceSettings()),
        ("once", OnceSettings()),
    ],
)
def test_the_type_chooses_the_event_listener(given_type: str, model: Any) -> None:
    assert settings(eventListener={"type": given_type}).event_listener == model


@pytest.mark.parametrize("empty", [None, "", {}])
def test_an_empty_section_is_as_good_as_none(empty: Any) -> None:
    assert settings(eventListener=empty, resync=empty).event_listener == PollingSettings()


@pytest.mark.parametrize("brokers", ["a:1, b:2", '["a:1", "b:2"]', ["a:1", "b:2"], ("a:1", "b:2")])
def test_brokers_are_a_list_in_any_of_its_forms(brokers: Any) -> None:
    assert settings(eventListener={"type": "KAFKA", "brokers": brokers}).event_listener == (
        KafkaSettings(brokers=("a:1", "b:2"))
    )


def test_an_ipv6_broker_is_taken() -> None:
    listener = settings(eventListener={"type": "KAFKA", "brokers": "[::1]:9092"}).event_listener
    assert isinstance(listener, KafkaSettings)
    assert listener.brokers == ("[::1]:9092",)


def test_a_webhook_has_addresses_networks_and_secrets() -> None:
    listener = settings(
        eventListener={
            **WEBHOOK,
            "appHost": "https://me.example/base/",
            "secrets": "one,two",
            "allowedIps": ["3.251.12.205", "10.0.0.0/8"],
            "trustedProxies": "::1",
        }
    ).event_listener
    assert isinstance(listener, WebhookSettings)
    assert listener.app_host == "https://me.example/base"
    assert [secret.get_secret_value() for secret in listener.secrets] == ["one", "two"]
    assert listener.allowed_ips == (ip_network("3.251.12.205"), ip_network("10.0.0.0/8"))
    assert listener.trusted_proxies == (ip_network("::1"),)


@pytest.mark.parametrize("none", [None, "", "  "])
def test_no_minutes_mean_no_schedule(none: str | None) -> None:
    assert settings(scheduledResyncInterval=none).scheduled_resync_interval is None


def test_text_from_the_environment_becomes_numbers_and_truth_values() -> None:
    found = settings(
        env={
            "OCEAN__EVENT_LISTENER__INTERVAL": "2.5",
            "OCEAN__EVENT_LISTENER__RESYNC_ON_START": "false",
            "OCEAN__SCHEDULED_RESYNC_INTERVAL": "120",
            "OCEAN__HTTP__THREADS": "3",
        }
    )
    assert found.event_listener == PollingSettings(interval=2.5, resync_on_start=False)
    assert (found.scheduled_resync_interval, found.http.threads) == (120, 3)


def test_a_line_end_after_a_secret_is_no_part_of_it() -> None:
    found = settings(env={"OCEAN__PORT__CLIENT_SECRET": "abc\n"})
    assert found.port.client_secret.get_secret_value() == "abc"


# --- sources --------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str | bytes, name: str = "config.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


BASE = f"port: {{clientId: id-1, clientSecret: {SECRET}}}\n"


def test_overrides_beat_the_environment_that_beats_dotenv_that_beats_yaml(
    file: Callable[..., Path],
) -> None:
    path = file(BASE + "resync: {abortGrace: 1, debounce: 1, timeout: 1, retry: {attempts: 1}}\n")
    dotenv = file(
        "OCEAN__RESYNC__DEBOUNCE=2\nOCEAN__RESYNC__TIMEOUT=2\n"
        "export OCEAN__RESYNC__RETRY__ATTEMPTS='2'\n",
        ".env",
    )
    env = {"OCEAN__RESYNC__TIMEOUT": "3", "OCEAN__RESYNC__RETRY__ATTEMPTS": "3"}
    overrides = {"resync": {"retry": {"attempts": 4}}}
    found = Settings.from_file(path, env, dotenv=dotenv, overrides=overrides)
    assert found.resync == ResyncSettings(
        abort_grace=1, debounce=2, timeout=3, retry=RetrySettings(attempts=4)
    )


def test_dotenv_is_looked_for_where_the_process_runs(
    file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file(BASE)
    file("OCEAN__HTTP__PORT=1234\n", ".env")
    monkeypatch.chdir(tmp_path)
    assert Settings.from_file(path, {}).http.port == 1234
    assert Settings.from_file(path, {}, dotenv=None).http.port == 8000
    assert Settings.from_file(path, {}, dotenv="none").http.port == 8000


def test_a_directory_called_dotenv_is_no_file_of_variables(
    file: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "venv").mkdir()
    assert Settings.from_file(file(BASE), {}, dotenv=tmp_path / "venv").http.port == 8000


def test_the_process_environment_is_the_default(
    file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCEAN__HTTP__PORT", "4321")
    assert Settings.from_dict({"port": PORT}).http.port == 4321
    assert Settings.from_file(file(BASE), dotenv=None).http.port == 4321


def test_an_empty_file_is_enough_when_the_environment_has_all(file: Callable[..., Path]) -> None:
    env = {"OCEAN__PORT__CLIENT_ID": "a", "OCEAN__PORT__CLIENT_SECRET": "b"}
    assert Settings.from_file(file(""), env, dotenv=None).port.client_id == "a"


def test_names_of_variables_ignore_case() -> None:
    assert settings(env={"ocean__Http__pOrT": "1"}).http.port == 1
    both = {"OCEAN__HTTP__PORT": "2", "ocean__http__port": "1"}
    assert settings(env=both).http.port == 2


@pytest.mark.parametrize("key", ["appHost", "app_host"])
def test_a_json_object_of_the_helm_chart_is_understood_and_single_fields_override_it(
    key: str,
) -> None:
    found = settings(
        eventListener={"type": "POLLING", "interval": 5},
        env={
            "OCEAN__EVENT_LISTENER": json.dumps(
                {"type": "WEBHOOK", key: "https://a.example", "checkInterval": 7}
            ),
            "OCEAN__EVENT_LISTENER__CHECK_INTERVAL": "9",
            "OCEAN__INTEGRATION__IDENTIFIER": "me",
            "OCEAN__INITIALIZE_PORT_RESOURCES": "false",
        },
    )
    assert found.event_listener == WebhookSettings(app_host="https://a.example", check_interval=9)
    assert found.integration.identifier == "me"
    assert found.initialize_port_resources is False
    assert found.ignored == ("eventListener.interval",)


def test_keys_of_the_integrations_own_config_are_kept_and_found_in_other_spellings() -> None:
    config = {"myKey": 1, "my_other": {"innerKey": 1, "x": 1}, "UPPER": 1}
    env = {
        "OCEAN__INTEGRATION__CONFIG__MY_KEY": "2",
        "OCEAN__INTEGRATION__CONFIG__MY_OTHER__INNER_KEY": "2",
        "OCEAN__INTEGRATION__CONFIG__NEW_KEY": "2",
        "OCEAN__INTEGRATION__CONFIG": '{"UPPER": 3, "addedKey": {"a": [1]}}',
    }
    assert settings(integration={"config": config}, env=env).integration.config == {
        "myKey": "2",
        "my_other": {"innerKey": "2", "x": 1},
        "UPPER": 3,
        "addedKey": {"a": [1]},
        "new_key": "2",
    }


def test_two_spellings_of_one_key_stay_two_keys_in_the_integrations_own_config() -> None:
    config = {"my_key": 1, "myKey": 2}
    assert settings(integration={"config": config}).integration.config == config


def test_application_port_counts_where_nothing_else_sets_the_port() -> None:
    env = {"application__port": "9000"}
    assert settings(env=env).http.port == 9000
    assert settings(http={"port": 1}, env=env).http.port == 1
    assert settings(env={**env, "OCEAN__HTTP__PORT": "2"}).http.port == 2
    assert problem(env={"APPLICATION__PORT": "x"}) == (
        'http.port (APPLICATION__PORT): expected a whole number, got "x"'
    )


def test_variables_are_put_into_yaml(file: Callable[..., Path]) -> None:
    path = file(
        'port: {clientId: "{{ from env ID }}", clientSecret: "{{from env  SECRET}}"}\n'
        'integration: {config: {url: "https://{{ from env HOST }}/{{ from env ID }}"}}\n'
        'eventListener: {interval: "{{ from env SECONDS }}"}\n'
    )
    dotenv = file("HOST=h.example\nID=below\n", ".env")
    env = {"ID": "me", "SECRET": "shh", "SECONDS": "4"}
    found = Settings.from_file(path, env, dotenv=dotenv)
    assert found.port.client_id == "me"
    assert found.port.client_secret.get_secret_value() == "shh"
    assert found.integration.config == {"url": "https://h.example/me"}
    assert found.event_listener == PollingSettings(interval=4.0)


def test_a_variable_that_is_not_there_is_told_with_its_key() -> None:
    port = {**PORT, "clientId": "{{ from env NOPE }}"}
    assert problem(port=port) == "port.clientId: the environment variable NOPE is not set"
    assert problem(port={**PORT, "baseUrl": "{{ from file x }}"}) == (
        "port.baseUrl: expected {{ from env NAME }}"
    )


def test_a_variable_need_not_be_there_when_a_later_source_has_the_value() -> None:
    port = {**PORT, "clientId": "{{ from env NOPE }}"}
    assert settings(port=port, env={"OCEAN__PORT__CLIENT_ID": "x"}).port.client_id == "x"


def test_a_key_of_the_integrations_config_is_left_out_with_a_note_without_its_variable() -> None:
    found = settings(integration={"config": {"a": "{{ from env NOPE }}", "b": [1, 2]}})
    assert found.integration.config == {"b": [1, 2]}
    assert found.ignored == ("integration.config.a (the environment variable NOPE is not set)",)


def test_a_secret_with_braces_in_the_environment_is_left_as_it_is() -> None:
    env = {"OCEAN__PORT__CLIENT_SECRET": "{{ from env X }}"}
    assert settings(env=env).port.client_secret.get_secret_value() == "{{ from env X }}"


# --- every leaf -----------------------------------------------------------------------------------

LISTENERS = {
    "POLLING": {},
    "KAFKA": {"brokers": "a:1"},
    "ONCE": {},
    "WEBHOOK": {"app_host": "http://h"},
}
SAMPLES: dict[str, tuple[Any, str]] = {  # in a file, and in the environment
    "port.client_id": ("file", "env"),
    "port.client_secret": ("file", "env"),
    "port.base_url": ("http://file", "http://env"),
    "port.ship_logs": (True, "false"),
    "port.concurrency": (1, "2"),
    "integration.type": ("file", "env"),
    "integration.identifier": ("file", "env"),
    "POLLING.resync_on_start": (True, "false"),
    "POLLING.interval": (1, "2"),
    "KAFKA.brokers": (["file:1"], "env:1"),
    "KAFKA.consumer_poll_timeout": (1, "2"),
    "KAFKA.security_protocol": ("SSL", "PLAINTEXT"),
    "KAFKA.authentication_mechanism": ("PLAIN", "SCRAM-SHA-256"),
    "KAFKA.kafka_security_enabled": (True, "false"),
    "KAFKA.session_timeout": (1, "2"),
    "WEBHOOK.app_host": ("http://file", "http://env"),
    "WEBHOOK.verify_signature": ("auto", "required"),
    "WEBHOOK.signature_tolerance": (1, "2"),
    "WEBHOOK.secrets": (["file"], "env"),
    "WEBHOOK.check_interval": (1, "2"),
    "WEBHOOK.allowed_ips": (["10.0.0.1"], "10.0.0.2"),
    "WEBHOOK.trusted_proxies": (["10.0.0.1"], "10.0.0.2"),
    "scheduled_resync_interval": (1, "2"),
    "start_timeout": (1, "2"),
    "resync.on_new_request": ("drop", "queue"),
    "resync.on_scheduled_resync": ("drop", "ignore"),
    "resync.abort_grace": (1, "2"),
    "resync.max_consecutive_aborts": (1, "2"),
    "resync.timeout": (1, "2"),
    "resync.debounce": (1, "2"),
    "resync.retry.attempts": (1, "2"),
    "resync.retry.backoff": (1, "2"),
    "http.host": ("file", "env"),
    "http.port": (1, "2"),
    "http.threads": (1, "2"),
    "http.max_body_bytes": (1, "2"),
    "control.enabled": (False, "true"),
    "control.host": ("127.0.0.2", "localhost"),
    "control.port": (1, "2"),
    "control.token": ("from-file", "from-env"),
}


def camel(name: str) -> str:
    return re.sub(r"_(.)", lambda match: match[1].upper(), name)


def place(leaf: str) -> tuple[list[str], dict[str, Any]]:
    """The path of a sample, and what else has to be set for it to count."""
    names = leaf.split(".")
    base: dict[str, Any] = {"port": {"client_id": "id-1", "client_secret": SECRET}}
    if names[0] in LISTENERS:
        base["event_listener"] = {"type": names[0], **LISTENERS[names[0]]}
        names[0] = "event_listener"
    if leaf == "KAFKA.kafka_security_enabled":
        base["event_listener"]["brokers"] = ["own:9092"]
    return names, base


def value_at(found: Settings, names: list[str]) -> Any:
    value: Any = found
    for name in names:
        value = getattr(value, name)
    return value


def put(base: dict[str, Any], names: list[str], value: Any) -> dict[str, Any]:
    first, *rest = names
    return {**base, first: put(base.get(first, {}), rest, value) if rest else value}


def camelized(value: Any) -> Any:
    if isinstance(value, dict):
        return {camel(key): camelized(item) for key, item in value.items()}
    return value


@pytest.mark.parametrize("leaf", SAMPLES)
def test_the_environment_beats_the_file_at_every_leaf(leaf: Any) -> None:
    names, base = place(leaf)
    in_file, in_env = SAMPLES[leaf]
    values = put(base, names, in_file)
    env = {"__".join(["OCEAN", *names]).upper(): in_env}
    below, above = Settings.from_dict(values, env={}), Settings.from_dict(values, env=env)
    assert above != below
    assert above == Settings.from_dict(put(base, names, in_env), env={})
    assert Settings.from_dict(values, env=env, overrides=put({}, names, in_file)) == below
    if len(names) > 1:  # the same as one field of a JSON object for the whole section
        section = {f"OCEAN__{names[0]}".upper(): json.dumps(put({}, names[1:], in_env))}
        assert Settings.from_dict(values, env=section) == above


@pytest.mark.parametrize("leaf", SAMPLES)
def test_camel_case_and_snake_case_mean_the_same(leaf: Any) -> None:
    names, base = place(leaf)
    snake = put(base, names, SAMPLES[leaf][0])
    assert Settings.from_dict(camelized(snake), env={}) == Settings.from_dict(snake, env={})


# --- empty variables ------------------------------------------------------------------------------

CREDENTIALS = {"port.client_id", "port.client_secret", "WEBHOOK.secrets", "control.token"}


@pytest.mark.parametrize("blank", ["", " "])
@pytest.mark.parametrize("leaf", sorted(SAMPLES.keys() - CREDENTIALS))
def test_an_empty_variable_counts_as_unset(leaf: str, blank: str) -> None:
    names, base = place(leaf)
    values = put(base, names, SAMPLES[leaf][0])
    variable = "__".join(["OCEAN", *names]).upper()
    assert Settings.from_dict(values, env={variable: blank}) == Settings.from_dict(values, env={})
    in_file = put(base, names, "{{ from env EMPTY }}")
    if leaf not in ("WEBHOOK.app_host", "KAFKA.brokers"):  # in `base`, as they are required
        assert Settings.from_dict(in_file, env={"EMPTY": blank}) == Settings.from_dict(base, env={})


def test_an_empty_section_variable_counts_as_unset() -> None:
    env = {"OCEAN__RESYNC": "", "OCEAN__EVENT_LISTENER__TYPE": "", "OCEAN__INTEGRATION__CONFIG": ""}
    values = {"resync": {"timeout": 5}, "eventListener": {"type": "ONCE"}}
    assert settings(**values, env=env) == settings(**values)


@pytest.mark.parametrize("leaf", sorted(CREDENTIALS))
def test_an_empty_variable_never_replaces_credentials_silently(leaf: str) -> None:
    names, base = place(leaf)
    values = put(base, names, SAMPLES[leaf][0])
    env = {"__".join(["OCEAN", *names]).upper(): ""}
    if leaf == "WEBHOOK.secrets":  # an empty list: the client secret alone
        found = Settings.from_dict(values, env=env).event_listener
        assert isinstance(found, WebhookSettings)
        assert found.secrets == ()
    else:
        with pytest.raises(SettingsError, match="must not be empty"):
            Settings.from_dict(values, env=env)


def test_an_empty_list_is_an_empty_mapping() -> None:
    assert settings(integration={"config": []}).integration.config == {}
    env = {"OCEAN__INTEGRATION__CONFIG": "[]"}
    assert settings(env=env).integration.config == {}
    assert "expected a mapping, got a list" in problem(integration={"config": ["a"]})


def test_the_environment_alone_is_enough(tmp_path: Path) -> None:
    env = {"OCEAN__PORT__CLIENT_ID": "id-1", "OCEAN__PORT": json.dumps({"clientSecret": SECRET})}
    (tmp_path / ".env").write_text("OCEAN__EVENT_LISTENER__INTERVAL=7\n")
    found = Settings.from_environment(env, dotenv=tmp_path / ".env")
    assert found.port.client_id == "id-1"
    assert found.event_listener == PollingSettings(interval=7.0)
    with pytest.raises(SettingsError, match="set it in the file or as OCEAN__PORT__CLIENT_ID"):
        Settings.from_environment({}, dotenv=None)


# --- pipes, sizes, times --------------------------------------------------------------------------


def write_to_pipe(path: Path, text: str) -> threading.Thread:
    """Make a named pipe that a thread writes to, once somebody reads it."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(text,), daemon=True)
    writer.start()
    return writer


def test_named_pipes_are_read(tmp_path: Path) -> None:
    long = "x" * 200_000  # more than a pipe holds
    writers = [
        write_to_pipe(tmp_path / ".env", f"OCEAN__PORT__CLIENT_SECRET={SECRET}\n# {long}\n"),
        write_to_pipe(tmp_path / "config.yaml", f"port: {{clientId: id-1}}\n# {long}\n"),
    ]
    found = Settings.from_file(tmp_path / "config.yaml", {}, dotenv=tmp_path / ".env")
    assert found.port.client_id == "id-1"
    assert found.port.client_secret.get_secret_value() == SECRET
    for writer in writers:
        writer.join(30)
        assert not writer.is_alive()


def test_a_pipe_that_was_written_and_closed_before_is_read() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"port: {clientId: a, clientSecret: b}")
    os.close(writing)
    try:
        assert Settings.from_file(f"/dev/fd/{reading}", {}, dotenv=None).port.client_id == "a"
    finally:
        os.close(reading)


def test_a_pipe_that_nobody_writes_to_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / ".env")
    monkeypatch.setattr("ocean_actors.settings.files.FIFO_SECONDS", 0.05)
    with pytest.raises(SettingsError, match=r"\.env: cannot be read: nothing was written"):
        Settings.from_environment({}, dotenv=tmp_path / ".env")


@pytest.mark.parametrize(
    "text",
    ["{{ from" + " " * 2**20, "{{ from " * 2**17, "{{ from env A " * 2**16 + "}", "{" * 2**20],
    ids=["spaces", "openings", "one end", "braces"],
)
def test_a_long_text_is_searched_for_variables_in_linear_time(text: str) -> None:
    assert settings(integration={"config": {"a": text}}).integration.config == {"a": text}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [" + "1," * 30_000 + "]", "more than 20000 values"),
        ("a: " + "1:" * 600 + "1", "a number of more than 1000 characters"),
        ("a: " + "1:" * 600 + "1.5", "a number of more than 1000 characters"),
        ("a: " + "1" * 1_001, "a number of more than 1000 characters"),
    ],
)
def test_a_file_that_would_take_long_to_read_is_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=said):
        Settings.from_file(path, {}, dotenv=None)


@pytest.mark.parametrize(
    ("key", "listener"), [("secrets", "WEBHOOK"), ("allowedIps", "WEBHOOK"), ("brokers", "KAFKA")]
)
def test_a_list_of_a_thousand_items_is_the_longest(key: str, listener: str) -> None:
    item = {"brokers": "a:1", "allowedIps": "10.0.0.1"}.get(key, "a")
    base = {"type": listener, "appHost": "http://h"} if listener == "WEBHOOK" else {"type": "KAFKA"}
    settings(eventListener={**base, key: ",".join([item] * 1_000)})
    said = problem(eventListener={**base, key: ",".join([item] * 1_001)})
    assert f"eventListener.{key}: expected at most 1000 items" in said


def test_numbers_in_base_60_are_read_as_before(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "port: {clientId: a, clientSecret: b}\nresync: {timeout: 1:30, debounce: 0:1.5}"
    )
    found = Settings.from_file(path, {}, dotenv=None).resync
    assert (found.timeout, found.debounce) == (90.0, 1.5)


@pytest.mark.parametrize(
    "text", ["{{from env A}}", "{{ from env A }}", "{{  from\tenv  A  }}", "{{ from env A}}"]
)
def test_the_spaces_around_a_variables_name_do_not_matter(text: str) -> None:
    found = settings(integration={"identifier": f"<{text}>"}, env={"A": "x"})
    assert found.integration.identifier == "<x>"


@given(st.text(alphabet="{} fromenvA\n", max_size=60))
def test_the_search_for_variables_finds_what_a_plain_scan_finds(text: str) -> None:
    from ocean_actors.settings.sources import _FROM

    ends = (part.partition("}}") for part in text.split("{{")[1:])
    inner = [part for part, end, _ in ends if end and re.fullmatch(r"\s*from\s[^\n]*", part)]
    if "{{{" not in text and "}}}" not in text:
        assert [match[1] for match in _FROM.finditer(text)] == [
            re.sub(r"^\s*from\s", "", part) for part in inner
        ]


def test_a_duplicate_key_in_json_is_refused() -> None:
    env = {"OCEAN__RESYNC": '{"timeout": 1, "timeout": 2}'}
    assert "OCEAN__RESYNC: the key timeout is given twice" in problem(env=env)
    nested = {"OCEAN__INTEGRATION": '{"config": {"a": {"b": 1, "b": 2}}}'}
    assert "the key b is given twice" in problem(env=nested)


# --- kafka without security -----------------------------------------------------------------------


def test_plain_connections_need_brokers_of_ones_own() -> None:
    said = problem(eventListener={"type": "KAFKA", "kafkaSecurityEnabled": False})
    assert "eventListener.kafkaSecurityEnabled" in said
    assert "expected true, or brokers to be set as well" in said
    own = {"type": "KAFKA", "kafkaSecurityEnabled": False, "brokers": "own:9092"}
    found = settings(eventListener=own).event_listener
    assert isinstance(found, KafkaSettings)
    assert found.brokers == ("own:9092",)


# --- wrong values ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ("abc", 'expected a number, got "abc"'),
        (0, "expected more than 0, got 0"),
        (-1, "expected more than 0, got -1"),
        (True, "expected a number, got true"),
        (float("nan"), "got NaN"),
        (float("inf"), "got Infinity"),
        (1e300, "expected 31622400 or less"),
        ([1], "expected a number, got a list"),
        ({}, "expected a number, got a mapping"),
    ],
)
def test_an_interval_must_be_a_positive_number_of_seconds(interval: Any, said: str) -> None:
    text = problem(eventListener={"interval": interval})
    assert text.startswith("eventListener.interval: ")
    assert said in text


def test_a_value_from_a_variable_is_told_with_the_variables_name() -> None:
    assert problem(env={"OCEAN__EVENT_LISTENER__INTERVAL": "0"}) == (
        'eventListener.interval (OCEAN__EVENT_LISTENER__INTERVAL): expected more than 0, got "0"'
    )


@pytest.mark.parametrize("minutes", ["1h", "2d", "1.5", 0, -5, "0", 1.5, True, [1]])
def test_a_schedule_is_in_whole_minutes(minutes: Any) -> None:
    assert problem(scheduledResyncInterval=minutes).startswith("scheduledResyncInterval: expected")


def test_missing_credentials_are_told_with_both_of_their_names() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_dict({}, env={})
    assert caught.value.problems == (
        "port.clientId: missing; set it in the file or as OCEAN__PORT__CLIENT_ID",
        "port.clientSecret: missing; set it in the file or as OCEAN__PORT__CLIENT_SECRET",
    )


def test_a_webhook_needs_its_public_address() -> None:
    assert problem(eventListener={"type": "WEBHOOK"}).startswith("eventListener.appHost: missing")


@pytest.mark.parametrize(
    "url", ["me.example", "ftp://me", "http://", "http://a b", "http://h:99999", "http://[", "a\n"]
)
def test_addresses_must_be_of_http(url: str) -> None:
    said = "expected an http:// or https:// address"
    assert f"eventListener.appHost: {said}" in problem(eventListener={**WEBHOOK, "appHost": url})
    assert f"port.baseUrl: {said}" in problem(port={**PORT, "baseUrl": url})


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    text = problem(port={**PORT, "baseUrl": f"https://me:{SECRET}@h"})
    assert text == "port.baseUrl: expected an address without a user name or password"
    problem(eventListener={**WEBHOOK, "appHost": f"https://h?token={SECRET}"})
    problem(eventListener={"type": "KAFKA", "brokers": f"me:{SECRET}@h:1"})


@pytest.mark.parametrize(
    "broker", ["a", "a:", ":1", "a:0", "a:65536", "a:x", "a b:1", "http://a:1"]
)
def test_a_broker_is_a_host_and_a_port(broker: str) -> None:
    text = problem(eventListener={"type": "KAFKA", "brokers": ["ok:1", broker]})
    assert text.startswith("eventListener.brokers[1]: expected host:port")


def test_an_empty_list_of_brokers_is_refused() -> None:
    text = problem(eventListener={"type": "KAFKA", "brokers": []})
    assert text.startswith("eventListener.brokers: must not be empty")


@pytest.mark.parametrize("network", ["10.0.0.0/33", "x", 1, True, None, ["10.0.0.1"]])
def test_an_allowed_address_is_an_address_or_a_network(network: Any) -> None:
    text = problem(eventListener={**WEBHOOK, "allowedIps": [network]})
    assert text.startswith("eventListener.allowedIps[0]: expected an address or a network")


@pytest.mark.parametrize("name", ["WEBHOOKS_ONLY", "ACTIONS_ONLY", "NOPE", "", 5, ["KAFKA"]])
def test_an_event_listener_that_is_not_there_is_told_with_those_that_are(name: Any) -> None:
    text = problem(eventListener={"type": name})
    assert text.startswith(
        "eventListener.type: expected one of POLLING, KAFKA, WEBHOOK, ONCE, got "
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"resync": {"onNewReqest": "x"}}, "did you mean resync.onNewRequest?"),
        ({"resync": {"retry": {"atempts": 1}}}, "did you mean resync.retry.attempts?"),
        ({"resync": {"colour": "x"}}, "resync.colour: unknown key"),
        ({"http": {"colour": "x"}}, "http.colour: unknown key"),
        ({"eventListener": {"intervall": 1}}, "did you mean eventListener.interval?"),
        ({"eventListener": {"colour": 1}}, "eventListener.colour: unknown key"),
        ({"eventListner": {}}, "eventListner: unknown key; did you mean eventListener?"),
        ({"port": {**PORT, "baseUrI": "x"}}, "did you mean port.baseUrl?"),
        ({"resync": {"onNewRequest": "stop"}}, "resync.onNewRequest: expected 'abort', 'drop'"),
        ({"resync": {"abort_grace": 1, "abortGrace": 2}}, "give it once"),
        ({"resync": [1]}, "resync: expected a mapping, got a list"),
        ({"eventListener": "POLLING"}, "eventListener: expected a mapping, or a JSON object"),
        ({"resync": {1: 1}}, "resync.1: a key must be text"),
        ({"integration": {"config": {1: 1}}}, "integration.config: keys must be text"),
        ({"integration": {"config": {"a": {1}}}}, "not a set"),
        ({"integration": {"identifier": 5}}, "integration.identifier: expected text"),
        ({"http": {"port": 65536}}, "http.port: expected 65535 or less"),
        ({"control": {"host": "10.0.0.5"}}, "control.token: missing; a control server on 10.0.0.5"),
        ({"control": {"token": "two words"}}, "control.token: expected printable ASCII"),
    ],
)
def test_a_mistake_is_told_with_its_key(values: dict[str, Any], said: str) -> None:
    assert said in problem(**values)


def test_a_variable_that_is_no_json_object_is_told() -> None:
    assert problem(env={"OCEAN__EVENT_LISTENER": "{"}) == (
        "OCEAN__EVENT_LISTENER: expected a mapping, or a JSON object in a string"
    )
    assert "OCEAN__RESYNC__FOO: unknown key" in problem(env={"OCEAN__RESYNC__FOO": "1"})


def test_three_problems_are_told_and_the_others_counted() -> None:
    text = problem(resync={f"key{i}": 1 for i in range(5)})
    assert text.count("unknown key") == 3
    assert text.endswith("; and 2 more")


def test_a_long_value_is_cut_short() -> None:
    assert len(problem(eventListener={"interval": "x\n" * 10_000})) < 200


# --- upstream's settings --------------------------------------------------------------------------


def test_upstreams_own_keys_are_left_out_and_listed_as_written() -> None:
    upstream = {
        "allowEnvironmentVariablesJqAccess": True,
        "client_timeout": 60,
        "createPortResourcesOrigin": "Default",
        "sendRawDataExamples": True,
        "oauthAccessTokenFilePath": "x",
        "baseUrl": "https://x",
        "runtime": "OnPrem",
        "resourcesPath": ".port/resources",
        "metrics": {"enabled": True},
        "maxEventProcessingSeconds": 90.0,
        "maxWaitSecondsBeforeShutdown": 5.0,
        "cachingStorageMode": "disk",
        "processExecutionMode": "multi_process",
        "actionsProcessor": {},
        "streaming": {},
    }
    found = settings(
        port={**PORT, "portAppConfigCacheTtl": 60},
        integration={"skipCheckDiff": True},
        eventListener={"type": "POLLING", "brokers": "a:1"},
        **upstream,
    )
    assert set(found.ignored) == {
        *upstream,
        "port.portAppConfigCacheTtl",
        "integration.skipCheckDiff",
        "eventListener.brokers",
    }


def test_a_wrong_value_for_another_event_listener_does_not_matter() -> None:
    found = settings(eventListener={"type": "ONCE", "brokers": 5, "appHost": "{{ from env X }}"})
    assert found.ignored == ("eventListener.brokers", "eventListener.appHost")


# --- files ----------------------------------------------------------------------------------------


def refused(path: Path | str) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.from_file(path, {}, dotenv=None)
    text = str(caught.value)
    assert text.isprintable()
    assert SECRET not in text
    return text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port: [\n", ":2:1: not usable as YAML"),
        ("a: [1\nb: 2", ":2:2: not usable as YAML: expected ',' or ']', but got ':'"),
        ("a: b: c", ":1:5: not usable as YAML: mapping values are not allowed"),
        (f"port: {{clientSecret: *{SECRET}}}", ":1:22: not usable as YAML: found undefined alias"),
        (f"port: {{clientSecret: !{SECRET} x}}", ":1:22: not usable as YAML"),
        (BASE + BASE, ":2:1: not usable as YAML: the key port is given twice"),
        ("a: \x01", ": not usable as YAML: control character at 3"),
        ("- a", ": expected a mapping of settings, got a list"),
        (SECRET, ": expected a mapping of settings, got text"),
        ("a: 2024-13-45", ": not usable as YAML"),
        ("a: !!bool x", ": not usable as YAML"),
        ("? {a: 1}\n: x", ": not usable as YAML: found unhashable key"),
        ("a: " + "[" * 5000, ": nested too deeply"),
        (b"\xff\xfea: 1", ": not UTF-8 text (byte 0)"),
        ("#" * (1 << 20) + "\na: 1", ": larger than 1 MiB"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_name_and_place(
    file: Callable[..., Path], text: Any, said: str
) -> None:
    path = file(text)
    found = refused(path)
    assert found.startswith(str(path))
    assert said in found


def test_a_file_that_cannot_be_read_is_told_with_its_name(tmp_path: Path) -> None:
    assert (
        refused(tmp_path / "none") == f"{tmp_path}/none: cannot be read: No such file or directory"
    )
    assert refused(tmp_path) == f"{tmp_path}: cannot be read: Is a directory"
    assert refused("a\0b").endswith("not a path")


def test_a_dotenv_that_is_a_link_to_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").symlink_to(tmp_path / "moved")
    with pytest.raises(SettingsError, match=r"\.env: cannot be read: No such file or directory"):
        Settings.from_environment({}, dotenv=tmp_path / ".env")


def test_a_dotenv_that_is_not_text_is_told(file: Callable[..., Path]) -> None:
    with pytest.raises(SettingsError, match="not UTF-8 text"):
        Settings.from_file(file(BASE), {}, dotenv=file(b"A=\xff", ".env"))


LAUGHS = "".join(
    f"  {new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  a: &a [x]\n" + LAUGHS, "not usable as YAML: more than 20000 values"),
        ("  &self a: *self\n", "not usable"),
        ("  a: &self [*self]\n", "integration.config: nested deeper than"),
        ("  a: &a {x: 1}\n  b: [" + "*a," * 101 + "]", "too many aliases"),
    ],
)
def test_aliases_cannot_make_a_small_file_a_huge_one(
    file: Callable[..., Path], text: str, said: str
) -> None:
    if said == "not usable":
        Settings.from_file(file(BASE + "integration:\n config:\n" + text), {}, dotenv=None)
    else:
        assert said in refused(file(BASE + "integration:\n config:\n" + text))


def test_anchors_and_merges_work(file: Callable[..., Path]) -> None:
    text = "x-common: &c {a: 1, b: 1}\nintegration: {config: {<<: *c, b: 2}}\n"
    found = Settings.from_file(file(BASE + text), {}, dotenv=None)
    assert found.integration.config == {"a": 1, "b": 2}
    assert found.ignored == ("x-common",)


def test_dates_in_the_integrations_config_become_text(file: Callable[..., Path]) -> None:
    found = Settings.from_file(file(BASE + "integration: {config: {since: 2026-01-02}}"), {})
    assert found.integration.config == {"since": "2026-01-02"}


# --- secrets and change ---------------------------------------------------------------------------


def test_no_secret_is_in_what_can_be_shown() -> None:
    found = settings(
        eventListener={**WEBHOOK, "secrets": [SECRET]},
        integration={"config": {"token": SECRET, "more": [{"x": SECRET}, 5, None]}},
    )
    masked = found.masked()
    assert SECRET not in f"{found!r} {found} {found.integration!r} {found.port!r} {masked}"
    assert "id-1" not in f"{found!r} {masked}"
    json.dumps(masked)
    assert masked["integration"]["config"] == {
        "token": "***",
        "more": [{"x": "***"}, "***", "***"],
    }
    assert masked["port"]["clientSecret"] == "***"
    assert masked["eventListener"]["secrets"] == ["***"]
    assert masked["resync"]["onNewRequest"] == "abort"


def test_settings_cannot_be_changed() -> None:
    found = settings(integration={"config": {"a": {"b": [1]}}})
    with pytest.raises(ValueError, match="frozen"):
        found.http.port = 1
    with pytest.raises(TypeError):
        found.integration.config["a"]["b"].append(2)
    assert hash(found) == hash(settings(integration={"config": {"a": {"b": [1]}}}))


def test_values_that_settings_themselves_hold_may_be_given() -> None:
    found = settings(
        port={"clientId": "x", "clientSecret": SecretStr("y")},
        resync={"onNewRequest": OnNewRequest.QUEUE},
        integration={"config": {"since": date(2026, 1, 2)}},
    )
    assert found.port == PortSettings(client_id="x", client_secret=SecretStr("y"))
    assert found.resync.on_new_request is OnNewRequest.QUEUE


def test_what_is_given_is_not_changed() -> None:
    config = {"a": {"b": 1}}
    settings(integration={"config": config}, env={"OCEAN__INTEGRATION__CONFIG__A__B": "2"})
    assert config == {"a": {"b": 1}}


# --- anything at all ------------------------------------------------------------------------------

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(5000).map(lambda digits: 10**digits)
    | st.floats()
    | st.text()
    | st.binary(max_size=3)
    | st.dates()
    | st.sampled_from(["{{ from env X }}", "{{ from env Y }}", "{", "[1]", '{"a": 1}', "POLLING"])
)
NAMES = st.sampled_from(
    sorted(
        {camel(part) for leaf in SAMPLES for part in leaf.split(".")} | {"eventListener", "type"}
    )
)
KEYS = NAMES | st.text(max_size=5) | st.integers()
GARBAGE = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5)
)
TYPES = st.sampled_from(["POLLING", "KAFKA", "WEBHOOK", "ONCE"])
SHAPED = st.fixed_dictionaries(
    {},
    optional={
        "port": st.just(PORT) | GARBAGE,
        "eventListener": st.dictionaries(NAMES, SCALARS, max_size=4).flatmap(
            lambda rest: TYPES.map(lambda kind: {**rest, "type": kind})
        ),
        "integration": st.fixed_dictionaries({"config": GARBAGE}),
        "resync": GARBAGE,
        "http": GARBAGE,
        "control": GARBAGE,
        "scheduledResyncInterval": SCALARS,
    },
)


@given(
    st.dictionaries(KEYS, GARBAGE, max_size=5) | SHAPED,
    st.dictionaries(
        st.lists(NAMES | st.text(max_size=3), max_size=3).map(lambda p: "__".join(["OCEAN", *p])),
        st.text() | st.sampled_from(["1", "true", "{}", '{"a": {"b": 1}}', '{"type": "KAFKA"}']),
        max_size=4,
    ),
)
def test_anything_makes_settings_or_one_readable_line(values: Any, env: Any) -> None:
    error = None
    try:
        found = Settings.from_dict(values, env={**env, "X": "x"})
    except SettingsError as caught:
        error = caught
    if error is not None:
        assert error.problems
        assert str(error).isprintable()
    else:
        json.dumps(found.masked())
        assert all(note.isprintable() for note in found.ignored)


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_file_makes_settings_or_one_readable_line(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(SettingsError) as caught:  # no text by jitter holds the credentials
        Settings.from_file(path, {}, dotenv=path)
    assert str(caught.value).isprintable()


# --- the page about them --------------------------------------------------------------------------


def rows() -> list[str]:
    """The table of every setting, from the models."""
    sections: list[tuple[list[str], type[BaseModel]]] = [
        (["port"], PortSettings),
        (["integration"], IntegrationSettings),
        (["event_listener"], PollingSettings),
        (["event_listener"], KafkaSettings),
        (["event_listener"], WebhookSettings),
        (["event_listener"], OnceSettings),
        (["leader"], NoLeaderSettings),
        (["leader"], PostgresLeaderSettings),
        (["leader"], KubernetesLeaderSettings),
        ([], Settings),
        (["resync"], ResyncSettings),
        (["resync", "retry"], RetrySettings),
        (["ray"], RaySettings),
        (["http"], HttpSettings),
        (["control"], ControlSettings),
        (["ssl", "port", "x509"], X509Settings),
        (["ssl", "third_party", "x509"], X509Settings),
        (["ocean"], OceanSettings),
    ]
    return [
        f"| `{'.'.join(camel(part) for part in (*path, name))}` "
        f"| `{'__'.join(['OCEAN', *path, name]).upper()}` "
        f"| {kind_of(info.annotation)} | {default_of(info)} | {info.description} |"
        for path, model in sections
        for name, info in model.model_fields.items()
        if info.description and name != "ignored"
    ]


def kind_of(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin is not None and origin not in (tuple, dict):  # Annotated, or a choice with None
        return kind_of(inner[0])
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    words = {tuple: "list", dict: "mapping", bool: "true or false", int: "whole number"}
    words |= {float: "seconds", str: "text", SecretStr: "text"}
    return words[origin or annotation]


def default_of(info: Any) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, Enum):
        return f"`{value.value}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    if isinstance(value, str | int):
        return f"`{value}`" if value != "" else ""
    return ""


def test_the_page_lists_every_setting_as_the_models_have_it() -> None:
    page = (Path(__file__).parents[1] / "docs" / "settings.md").read_text("utf-8")
    table = [line for line in page.splitlines() if line.startswith("| `") and "`OCEAN__" in line]
    assert table == rows()


@pytest.mark.parametrize("identifier", ["a\ud800", "a\nb", "a\x1b[31m"])
def test_an_identifier_that_no_header_can_carry_is_refused(identifier: str) -> None:
    with pytest.raises(SettingsError, match="expected a name of printable characters"):
        Settings.from_dict(
            {
                "port": {"clientId": "id", "clientSecret": "secret"},
                "integration": {"identifier": identifier},
            },
            {},
        )
