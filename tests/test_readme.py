"""What the README shows runs as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ocean_actors.sandbox import Sandbox

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMAND = [sys.executable, "-c", "import sys; from ocean_actors.cli import main; sys.exit(main())"]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands():
    return re.findall(r"^    (.+)$", README, re.MULTILINE)


@pytest.fixture
def sandbox():
    with Sandbox() as sandbox:
        sandbox.create_blueprint("repository")
        yield sandbox


@pytest.fixture
def run(tmp_path, sandbox):
    """Runs a command in a folder that holds what the README tells to write."""
    (tmp_path / "config.yaml").write_text(blocks("yaml")[0])
    (tmp_path / "repositories.py").write_text(blocks("python")[0])
    (tmp_path / "embed.py").write_text(blocks("python")[1])
    environment = {
        **os.environ,
        "PORT_CLIENT_ID": sandbox.client_id,
        "PORT_CLIENT_SECRET": sandbox.client_secret,
        "OCEAN__PORT__BASE_URL": sandbox.url,
        "PYTHONPATH": str(ROOT),
    }

    def run(arguments, **more):
        return subprocess.run(  # noqa: S603
            arguments,
            cwd=tmp_path, env={**environment, **more}, capture_output=True, text=True,
            timeout=30, check=False,
        )  # fmt: skip

    return run


def test_the_handler_runs_under_the_command_line(run, sandbox):
    shown = [line.split()[1:] for line in commands() if line.startswith("ocean-actors ")]
    assert [words[0] for words in shown] == ["check", "run"]
    for words in shown:
        done = run([*COMMAND, *words], OCEAN__EVENT_LISTENER__TYPE="ONCE")
        assert done.returncode == 0, done.stdout + done.stderr
    names = {entity["identifier"] for entity in sandbox.entities("repository")}
    assert names == {"shop", "billing", "search"}


def test_it_is_embedded_as_shown(run, sandbox):
    done = run([sys.executable, "embed.py"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in {"idle", "preparing", "running", "aborting"}
    assert "completed" in sandbox.statuses("my-integration")


def test_the_settings_table_has_the_real_defaults():
    from ocean_actors import Settings

    settings = Settings.from_dict({"port": {"clientId": "a", "clientSecret": "b"}}, {})
    table = README.partition("## Settings")[2].partition("## ")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| `?([\w.]+)`? \|", table, re.MULTILINE)
    assert len(rows) >= 10
    for key, default in rows:
        value = settings
        for name in key.split("."):
            value = getattr(value, re.sub(r"(?<=[a-z])[A-Z]", lambda m: f"_{m[0]}", name).lower())
        value = getattr(value, "value", value)
        told = {"none": None, "true": True}.get(default, default)
        assert value == told or value == float(told), key


def test_every_document_that_it_points_to_is_there():
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_first_command_is_one_line_that_does_all_the_set_up():
    demo, test, *_ = commands()
    assert demo == "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/ocean-actors demo"
    assert test == "python3 -m venv .venv && .venv/bin/pip install tox && .venv/bin/tox"
    assert test in (ROOT / ".ci" / "run").read_text()
