"""What the README shows runs as it stands there."""

from __future__ import annotations

import json
import os
import re
import site
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pages
import pytest
from pages import Terminal, clone, follow

from ocean_actors.sandbox import Sandbox

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMAND = [sys.executable, "-m", "ocean_actors"]

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def blocks(language: str) -> list[str]:
    return pages.blocks(README, language)


def commands() -> list[str]:
    return re.findall(r"^    (.+)$", README, re.MULTILINE)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def run(tmp_path: Path, sandbox: Sandbox) -> Run:
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

    def run(arguments: list[str], **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            arguments,
            cwd=tmp_path, env={**environment, **more}, capture_output=True, text=True,
            timeout=30, check=False,
        )  # fmt: skip

    return run


def test_the_handler_runs_under_the_command_line(run: Run, sandbox: Sandbox) -> None:
    shown = [line.split()[1:] for line in commands() if line.startswith("ocean-actors ")]
    assert [words[0] for words in shown] == ["check", "run"]
    for words in shown:
        done = run([*COMMAND, *words], OCEAN__EVENT_LISTENER__TYPE="ONCE")
        assert done.returncode == 0, done.stdout + done.stderr
    names = {entity["identifier"] for entity in sandbox.entities("repository")}
    assert names == {"shop", "billing", "search"}


@pytest.mark.timeout(600)
def test_the_path_without_an_account_ends_in_a_completed_run(
    tmp_path: Path, reserve_port: Callable[[], int]
) -> None:
    """Letter by letter, but for the sandbox's port, which may be taken here."""
    path = README.partition("## Write a handler")[2].partition("## Embed it")[0]
    install, found, go_on = path.partition("and start the stand-in:")
    assert found
    folder, variables = clone(tmp_path)
    variables |= {"OCEAN__HTTP__PORT": "0", "OCEAN__CONTROL__PORT": "0"}
    with Terminal(folder, variables, {8099: reserve_port()}) as shell:
        follow(install, shell)
        (packages,) = (folder / ".venv" / "lib").glob("*/site-packages")
        assert (packages / "ocean_actors").is_dir()
        (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
        done = follow(go_on, shell)
    checked = next(step.output for step in done if "ocean-actors check" in step.block.text)
    assert "repository is missing in Port: `run` creates it" in checked
    assert "FAILED" not in checked
    listed = json.loads(next(step.output for step in done if "curl" in step.block.text))["entities"]
    assert {entity["identifier"] for entity in listed} == {"shop", "billing", "search"}


def test_it_is_embedded_as_shown(run: Run, sandbox: Sandbox) -> None:
    done = run([sys.executable, "embed.py"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in {"idle", "preparing", "running", "aborting"}
    assert "completed" in sandbox.statuses("my-integration")


def test_the_settings_table_has_the_real_defaults() -> None:
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


def test_every_document_that_it_points_to_is_there() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / target.partition("#")[0]).exists(), target


def test_the_layout_in_the_architecture_is_the_tree() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    layout = page.partition("## The layout")[2].split("```")[1]
    named = set(re.findall(r"\w+\.py\b|\w+/", layout)) - {"ocean_actors/"}
    package = ROOT / "ocean_actors"
    modules = {file.name for file in package.glob("*.py")}
    assert named == modules | {f"{file.parent.name}/" for file in package.glob("*/__init__.py")}


def test_the_first_command_is_one_line_that_does_all_the_set_up() -> None:
    demo, test, *_ = commands()
    assert demo == "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/ocean-actors demo"
    assert test == "python3 -m venv .venv && .venv/bin/pip install tox && .venv/bin/tox"
    assert test.replace(".venv", ".tox/ci") in (ROOT / ".ci" / "run").read_text()
