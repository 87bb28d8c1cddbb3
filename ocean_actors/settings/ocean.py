"""The section `ocean`: an integration of upstream's framework, and what its folder says.

Upstream reads `config.yaml` and `.env` in the folder of the integration, and takes the type of
the integration from the project's name. The integration inside does so as well, so we read the
same files.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from ocean_actors.settings.errors import SettingsError, written_name
from ocean_actors.settings.models import Seconds, Section, Text


class OceanSettings(Section):
    """The section `ocean`: an integration of upstream's framework that runs inside."""

    path: Text | None = Field(
        default=None,
        description="Folder of an integration of upstream's framework, which is run in place of "
        "`handlers`. In a file, a relative path starts at its folder. `--ocean` replaces it.",
    )
    python: Text | None = Field(
        default=None,
        description="Python that has the integration's dependencies. Default: `.venv/bin/python` "
        "in `path`, else `python3`. `--ocean-python` replaces it.",
    )
    start_timeout: Seconds = Field(
        default=120.0,
        description="Seconds in which the integration's process has to get ready.",
    )
    allow_untested: bool = Field(
        default=False,
        description="Whether to use a version of port-ocean with which this version of "
        "ocean_actors was not tested.",
    )


@dataclass(frozen=True)
class FolderSettings:
    """What the `folder` of an integration says: the contents of `config.yaml` and `.env`, and the
    integration's type.
    """

    folder: Path | None = None
    values: Mapping[Any, Any] = field(default_factory=dict)
    dotenv: Mapping[str, str] = field(default_factory=dict)
    type: str | None = None


def folder_settings(path: object) -> FolderSettings:
    """Returns the settings in the folder of an integration; none if there is no such folder.

    Raises SettingsError if one of its files cannot be read.
    """
    if not isinstance(path, str) or not path.strip() or not Path(path).is_dir():
        return FolderSettings()
    from ocean_actors.settings import files

    folder = Path(path)
    name = project(folder).get("name")
    config = folder / "config.yaml"
    return FolderSettings(
        folder,
        files.read_yaml(config) if config.is_file() else {},
        files.read_dotenv(folder / ".env"),
        name.strip() or None if isinstance(name, str) else None,
    )


def project(folder: Path) -> Mapping[str, Any]:
    """Returns the project's metadata in `pyproject.toml`, where upstream finds them.

    Raises SettingsError if the file cannot be read.
    """
    file = folder / "pyproject.toml"
    if not file.is_file():
        return {}
    contents = read_toml(file)
    tool = contents.get("tool")
    poetry = tool.get("poetry") if isinstance(tool, dict) else None
    for section in (contents.get("project"), poetry):
        if isinstance(section, dict) and section:
            return section
    return {}


def read_toml(file: Path) -> dict[str, Any]:
    """Returns what a TOML file holds. Raises SettingsError."""
    from ocean_actors.settings import files

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    text = files.read_text(file)
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(
            [f"{written_name(file)}: not usable as TOML: {written_name(error)}"]
        ) from None


# The keys of upstream 0.48 to 0.56 that are not ours. They are never taken for misspellings.
TOP_LEVEL = frozenset(
    {
        "actions_processor", "allow_environment_variables_jq_access", "base_url",
        "caching_storage_mode", "client_timeout", "create_port_resources_origin", "database",
        "delete_entities_max_batch_size", "disable_ip_outbound_blocker", "event_workers_count",
        "events_debug_logging", "identity_propagation", "lakehouse_buffer_interval_seconds",
        "lakehouse_buffer_max_count", "lakehouse_enabled", "live_events",
        "max_event_processing_seconds", "max_wait_seconds_before_shutdown", "metrics",
        "oauth_access_token_file_path", "path_prefix", "process_execution_mode",
        "process_in_queue_max_workers", "process_in_queue_timeout", "processing_mode",
        "resources_path", "runtime", "runtime_mode", "send_raw_data_examples",
        "status_heartbeat_interval_seconds", "streaming", "upsert_entities_batch_max_length",
        "upsert_entities_batch_max_size_in_bytes", "yield_items_to_parse",
        "yield_items_to_parse_batch_size",
    }
)  # fmt: skip
PORT = frozenset(
    {
        "app_url", "blueprint_cache_ttl_seconds", "feature_flags_cache_ttl_seconds", "ingest_url",
        "mcp_url", "port_app_config_cache_ttl",
    }
)  # fmt: skip
INTEGRATION = frozenset({"incremental_sync_enabled", "incremental_sync_interval"})
EVENT_LISTENER = frozenset({"should_process_webhooks", "should_resync", "should_run_actions"})
SSL_CLIENT = frozenset({"verify"})
