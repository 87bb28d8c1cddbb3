"""The environment of the child of Port Ocean, made of our settings and our environment. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ocean_actors.settings import Settings

PREFIX = "OCEAN__"
OURS = ("OCEAN", "CONTROL", "HTTP", "RESYNC", "LEADER", "HANDLERS", "ACTORS", "START_TIMEOUT")
"""Sections that upstream does not have. Some hold secrets, which the child does not need."""

LISTENERS = ("POLLING", "KAFKA", "WEBHOOK", "ONCE")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def child_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Returns `environ` with what the settings say, as upstream reads it.

    Variables that the child should not see are left out.
    """
    env = {name: value for name, value in environ.items() if not _is_ours(name)}
    for name, value in settings.upstream.items():
        _replace(env, name, value if isinstance(value, str) else json.dumps(_snake_keys(value)))
    port, integration = settings.port, settings.integration
    _set(
        env, "PORT",
        {
            "client_id": port.client_id,
            "client_secret": port.client_secret.get_secret_value(),
            "base_url": port.base_url,
        },
    )  # fmt: skip
    _set(
        env, "INTEGRATION",
        {
            "identifier": integration.identifier,
            "type": integration.type,
            "config": {snake_case(key): value for key, value in integration.config.items()},
        },
    )  # fmt: skip
    listener = settings.event_listener
    upstream = listener.type if listener.type in LISTENERS else "POLLING"
    address = getattr(listener, "app_host", None)
    _set(env, "EVENT_LISTENER", {"type": upstream, **({"app_host": address} if address else {})})
    env[f"{PREFIX}INITIALIZE_PORT_RESOURCES"] = json.dumps(settings.initialize_port_resources)
    ssl = {
        name: {"x509": {"strict": False}}
        for name in ("port", "third_party")
        if not getattr(settings.ssl, name).x509.strict
    }
    if ssl:
        _set(env, "SSL", ssl)
    if not port.ship_logs:
        env["APPLICATION__ENABLE_HTTP_LOGGING"] = "false"
    env["PYTHONUNBUFFERED"] = "1"  # what it prints is read as it comes
    return env


def snake_case(name: str) -> str:
    """Returns a camelCase name as upstream knows it: `jiraHost` is `jira_host`."""
    return _HUMP.sub("_", name).lower() if not name.isupper() else name.lower()


def _snake_keys(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {snake_case(key): _snake_keys(each) for key, each in value.items()}
    return value


def _replace(env: dict[str, str], name: str, value: str) -> None:
    for key in [key for key in env if key.upper() == name]:
        del env[key]
    env[name] = value


def _is_ours(name: str) -> bool:
    upper = name.upper()
    if upper == f"{PREFIX}SCHEDULED_RESYNC_INTERVAL":
        return True
    section = upper.removeprefix(PREFIX).split("__")[0]
    return upper.startswith(PREFIX) and section in OURS


def _set(env: dict[str, str], section: str, values: Mapping[str, Any]) -> None:
    """Set a section, as JSON, which keeps types; other keys that the environment sets stay."""
    name = f"{PREFIX}{section}"
    present = next((key for key in env if key.upper() == name), None)
    before = _as_mapping(env.pop(present)) if present is not None else {}
    for key in values:
        for each in [
            each for each in env
            if each.upper() == f"{name}__{key.upper()}"
            or each.upper().startswith(f"{name}__{key.upper()}__")
        ]:  # fmt: skip
            del env[each]
    env[name] = json.dumps({**before, **values})


def _as_mapping(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return (
        {snake_case(key): value for key, value in found.items()} if isinstance(found, dict) else {}
    )
