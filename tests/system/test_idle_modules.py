"""What an idle process does not import, as memory and the start are paid by every integration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ocean_actors.sandbox import Sandbox

WITHIN = 60.0

UNUSED = {
    "asyncio", "bottle", "charset_normalizer", "cryptography", "ctypes", "dotenv", "jgo", "jq",
    "kafka", "multiprocessing", "opentelemetry", "pip", "prometheus_client", "requests", "rich",
    "setuptools", "sqlite3", "trustme", "xml", "xmlrpc",
    "ocean_actors.check", "ocean_actors.control.client", "ocean_actors.demo",
    "ocean_actors.group.group",
    "ocean_actors.listeners.kafka", "ocean_actors.listeners.once",
    "ocean_actors.listeners.schedule",
    "ocean_actors.listeners.webhook", "ocean_actors.live.router", "ocean_actors.live.worker",
    "ocean_actors.log_output.live_lines", "ocean_actors.log_output.terminal",
    "ocean_actors.mapping.worker", "ocean_actors.metrics.collector", "ocean_actors.port.dry_run",
    "ocean_actors.port.live_port", "ocean_actors.resync.gatekeeper", "ocean_actors.sandbox",
    "ocean_actors.scaffold", "ocean_actors.testing",
}  # fmt: skip
"""Each is imported when it is used: by a listener, a setting, a command or a method."""

UNSERVED = {
    "argparse", "pythonjsonlogger", "waitress", "yaml",
    "ocean_actors.cli", "ocean_actors.control.server", "ocean_actors.log_output",
    "ocean_actors.settings.files", "ocean_actors.web.server",
}  # fmt: skip
"""Only `ocean-actors run` needs them: it reads a file, writes the log, and serves."""

HANDLER = """
import os, signal, sys
from ocean_actors import ResyncHandler

class Idle(ResyncHandler):
    def resync(self, run):
        pass

    def on_run_ended(self, status):
        print(status, *sys.modules, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
"""

EMBEDDED = """
import signal, sys
from handler import Idle
from ocean_actors import OceanSystem, Settings

port = dict(zip(("baseUrl", "clientId", "clientSecret"), sys.argv[1:]))
with OceanSystem(Settings.from_dict({"port": port}), [Idle]) as system:
    signal.signal(signal.SIGTERM, lambda *_: system.shutdown())
    system.wait()
"""

FILE = "handlers: [handler.py:Idle]\nhttp: {port: 0}\ncontrol: {port: 0}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "handler.py").write_text(HANDLER)
    (tmp_path / "embedded.py").write_text(EMBEDDED)
    return tmp_path


def loaded(folder: Path, *arguments: str) -> set[str]:
    """Returns the modules that a process has loaded after its first run."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, capture_output=True, text=True, timeout=WITHIN, check=True,
    )  # fmt: skip
    status, *modules = done.stdout.split()
    assert status == "completed"
    assert "ocean_actors.listeners.polling" in modules
    return set(modules)


def test_a_system_in_a_program_imports_no_server_and_nothing_that_it_does_not_use(
    folder: Path,
) -> None:
    with Sandbox() as port:
        modules = loaded(folder, "embedded.py", port.url, port.client_id, port.client_secret)
    assert not (UNUSED | UNSERVED) & modules


def test_the_command_line_imports_nothing_that_it_does_not_use(folder: Path) -> None:
    with Sandbox() as port:
        (folder / "config.yaml").write_text(
            f"port: {{baseUrl: '{port.url}', clientId: {port.client_id}, "
            f"clientSecret: {port.client_secret}}}\n{FILE}"
        )
        modules = loaded(folder, "-m", "ocean_actors", "run", "config.yaml")
    assert not UNUSED & modules
    assert modules >= UNSERVED, "the names have changed"
