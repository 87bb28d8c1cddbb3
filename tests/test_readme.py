"""What the README shows runs as it stands there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import site
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from ocean_actors.sandbox import Sandbox

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMAND = [sys.executable, "-m", "ocean_actors"]

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


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
        return subprocess.run(  # noqa: S603
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


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone, as far as it is installed, with the files that the README tells to write."""
    folder = tmp_path / "clone"
    shutil.copytree(
        ROOT / "ocean_actors", folder / "ocean_actors", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("README.md", "LICENSE", "setup.cfg", "setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / "config.yaml").write_text(blocks("yaml")[0])
    (folder / "repositories.py").write_text(blocks("python")[0])
    return folder


@pytest.fixture
def terminal(tmp_path: Path) -> dict[str, str]:
    """The environment of a terminal whose `python3` is this one; nothing of the settings."""
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    kept = {name: text for name, text in os.environ.items() if not name.startswith("OCEAN__")}
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "PIP_NO_DEPS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


@contextlib.contextmanager
def opened(script: str, folder: Path, environment: dict[str, str]) -> Iterator[IO[str]]:
    """What a shell prints that runs a script in a terminal, which is closed at the end."""
    with subprocess.Popen(  # noqa: S602
        script, shell=True, cwd=folder, env=environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def read_until(output: IO[str], text: str) -> str:
    """Returns what is printed up to a line with this text. Fails if the output ends before."""
    printed = ""
    for line in output:
        printed += line
        if text in line:
            return printed
    raise AssertionError(printed)


def test_the_path_without_an_account_ends_in_a_completed_run(
    clone: Path, terminal: dict[str, str]
) -> None:
    """The blocks letter by letter, but for the ports, which may be taken here."""
    port = free_port()
    install, stand_in, integrate, look = (
        block.replace("8099", str(port)) for block in blocks("sh")
    )
    installed = subprocess.run(  # noqa: S602
        install, shell=True,
        cwd=clone, env=terminal, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert installed.returncode == 0, installed.stdout + installed.stderr
    (packages,) = (clone / ".venv" / "lib").glob("*/site-packages")
    assert (packages / "ocean_actors").is_dir()
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    stand_in = stand_in.replace("sandbox\n", f"sandbox --port {port}\n")
    quiet = {**terminal, "OCEAN__HTTP__PORT": "0", "OCEAN__CONTROL__PORT": "0"}
    with opened(stand_in, clone, terminal) as sandbox:
        read_until(sandbox, f"http://127.0.0.1:{port};")
        with opened(f"set -e\n{integrate}", clone, quiet) as output:
            printed = read_until(output, "completed")
            assert "repository is missing in Port: `run` creates it" in printed
            assert "FAILED" not in printed
            seen = subprocess.run(  # noqa: S602
                look, shell=True, env=terminal, capture_output=True, timeout=60, check=True
            )
    listed = json.loads(seen.stdout)["entities"]
    assert {entity["identifier"] for entity in listed} == {"shop", "billing", "search"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


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
        assert (ROOT / target).exists(), target


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
    assert test in (ROOT / ".ci" / "run").read_text()
