"""Upstream's Helm chart configures by variables alone, and probes port 8000 under any listener.

The names are those of its ConfigMap and Secret; docs/port-wire.md has them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from waiting import wait_until

from ocean_actors.sandbox import Sandbox

WITHIN = 60.0
HANDLER = """
from ocean_actors import ResyncHandler

class Repositories(ResyncHandler):
    kinds = ("repository",)

    def resync(self, run):
        pass
"""

LISTENERS: dict[str, dict[str, Any]] = {
    "polling": {"type": "POLLING", "resync_on_start": True, "interval": 1},
    "polling in camelCase": {"type": "POLLING", "resyncOnStart": True},
    "webhook": {"type": "WEBHOOK", "app_host": "http://127.0.0.1:9"},
    "kafka": {"type": "KAFKA", "brokers": ["127.0.0.1:9"], "kafka_security_enabled": False},
}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def chart(sandbox: Sandbox, listener: dict[str, Any], port: int) -> dict[str, str]:
    """Returns the variables of a Deployment; only `APPLICATION__PORT` is the test's."""
    return {
        "OCEAN__PORT__BASE_URL": sandbox.url,
        "OCEAN__PORT__CLIENT_ID": sandbox.client_id,
        "OCEAN__PORT__CLIENT_SECRET": sandbox.client_secret,
        "OCEAN__INTEGRATION__IDENTIFIER": "from-helm",
        "OCEAN__INTEGRATION__TYPE": "github",
        "OCEAN__INTEGRATION__CONFIG": json.dumps({"github_host": "https://github.example"}),
        "OCEAN__INTEGRATION__CONFIG__GITHUB_TOKEN": "t0ken",
        "OCEAN__EVENT_LISTENER": json.dumps(listener),
        "OCEAN__INITIALIZE_PORT_RESOURCES": "true",
        "OCEAN__SEND_RAW_DATA_EXAMPLES": "true",
        "OCEAN__SCHEDULED_RESYNC_INTERVAL": "1440",
        "APPLICATION__PORT": str(port),
    }


def answer(port: int, path: str) -> requests.Response | None:
    try:
        return requests.get(f"http://127.0.0.1:{port}{path}", timeout=WITHIN)
    except requests.ConnectionError:
        return None


@pytest.mark.parametrize("name", LISTENERS)
def test_the_charts_variables_are_enough(
    name: str, tmp_path: Path, sandbox: Sandbox, reserve_port: Callable[[], int]
) -> None:
    (tmp_path / "repositories.py").write_text(HANDLER)
    port = reserve_port()
    variables = {key: text for key, text in os.environ.items() if not key.startswith("OCEAN__")}
    process = subprocess.Popen(
        [sys.executable, "-m", "ocean_actors", "run", "--handler", "repositories.py:Repositories"],
        cwd=tmp_path, env={**variables, **chart(sandbox, LISTENERS[name], port)},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        # Without a broker nothing assigns the topic: a Kafka instance stands by until then.
        wanted = {"standby": True, "port": True} if name == "kafka" else {"ok": True}

        def ready() -> bool:
            assert process.poll() is None
            found = answer(port, "/health/ready")
            return found is not None and wanted.items() <= found.json().items()

        wait_until(ready, "readiness")
        live = answer(port, "/health/live")
        assert live is not None
        assert live.status_code == 200
        integration = sandbox.integration("from-helm")
        assert integration is not None
        assert integration["installationAppType"] == "github"
    finally:
        process.send_signal(signal.SIGTERM)
        _output, log = process.communicate(timeout=WITHIN)
        sys.stderr.write(log)  # pytest shows it if the test fails
    assert process.returncode == 0, log
    assert "Traceback" not in log
