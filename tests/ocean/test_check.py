"""`ocean-actors check --ocean FOLDER`, and what `run` refuses before anything starts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ocean_actors.cli import main
from ocean_actors.sandbox import Sandbox

FOUND: dict[str, Any] = {
    "port_ocean": "0.56.2", "syntax_error": None, "missing": {}, "kinds": ["maker"],
    "any_kind": False,
}  # fmt: skip
MAPPING = {"resources": [{"kind": "product"}, {"kind": "stock"}, {"kind": 5}, "x", {}]}


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        monkeypatch.setenv("OCEAN__PORT__BASE_URL", sandbox.url)
        monkeypatch.setenv("OCEAN__PORT__CLIENT_ID", sandbox.client_id)
        monkeypatch.setenv("OCEAN__PORT__CLIENT_SECRET", sandbox.client_secret)
        yield sandbox


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the folder of an integration, with a program that stands for its interpreter."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "shop"
    (folder / ".port").mkdir(parents=True)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / "main.py").touch()
    (folder / "pyproject.toml").write_text('[tool.poetry]\nname = "shop"\nversion = "1.2.3"\n')
    spec = {"features": [{"type": "exporter", "resources": [{"kind": "product"}]}]}
    (folder / ".port" / "spec.json").write_text(json.dumps(spec))
    tells(folder)
    return folder


def tells(folder: Path, **found: Any) -> None:
    """Say what the interpreter tells."""
    python = folder / ".venv" / "bin" / "python"
    told = json.dumps({**FOUND, **found})
    python.write_text(f"#!/bin/sh\nprintf '%s' \"$5\"; echo 'python 3.12.4'; echo \"$5\"'{told}'\n")
    python.chmod(0o755)


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    """Returns the exit code of `check`, and its lines without those of Port itself."""
    code = main(["check", *arguments])
    out, err = capsys.readouterr()
    assert err == ""
    return code, [line for line in out.splitlines() if line.split()[1] != "Port"]


def test_check_says_what_it_found(
    sandbox: Sandbox, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = checked(capsys, "--ocean", "shop")
    assert code == 0
    assert lines == [
        "ok     settings     the environment: integration my-shop-integration of type shop",
        (
            f"ok     ocean        shop 1.2.3 in {folder}: port-ocean 0.56.2, Python 3.12.4 "
            f"({folder}/.venv/bin/python)"
        ),
        "ok     kinds        product, maker",
        "ok     features     exporter",
        "ok     listener     POLLING, every 60 s",
        "ok     integration  my-shop-integration is not known yet: `run` registers it",
    ]


def test_check_tells_the_kinds_of_the_mapping_that_the_integration_lacks(
    sandbox: Sandbox, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder.parent / "config.yaml").write_text("ocean: {path: shop}")
    sandbox.create_integration("my-shop-integration", config=MAPPING)
    code, lines = checked(capsys, "config.yaml")
    assert code == 1
    assert lines[-1] == (
        "FAILED mapping      the mapping in Port names kinds that the integration lacks: stock"
    )
    tells(folder, any_kind=True)
    code, lines = checked(capsys, "config.yaml")
    assert code == 0
    assert "ok     kinds        product, maker, and any other that the mapping names" in lines
    assert lines[-1] == "ok     mapping      product, stock"


def test_check_tells_each_fault_in_a_line(
    sandbox: Sandbox, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tells(
        folder,
        port_ocean="0.1.0",
        syntax_error="main.py:1: bad\x1b[31m",
        missing={"httpx": "main.py:2"},
    )
    code, lines = checked(capsys, "--ocean", "shop")
    assert code == 1
    faults = [line for line in lines if line.startswith("FAILED ocean")]
    assert len(faults) == 3
    assert "0.48.13 to 0.56.2 are tested" in faults[0]
    assert faults[1].endswith("the integration cannot be read: main.py:1: bad [31m")
    assert "main.py:2: there is no module httpx" in faults[2]
    assert lines[-1].startswith("ok     integration")  # the rest is checked all the same


def test_check_tells_a_folder_or_an_interpreter_that_is_not_there(
    sandbox: Sandbox, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = checked(capsys, "--ocean", "nowhere")
    assert code == 1
    assert "FAILED ocean        ocean.path: there is no folder nowhere" in lines
    code, lines = checked(capsys, "--ocean", "shop", "--ocean-python", "no-such-python")
    assert code == 1
    assert any("there is no program no-such-python in PATH" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--ocean", ""], "ocean.path: must not be empty"),
        (["run", "--dry-run", "--ocean", "shop"], "--dry-run: an integration of Port Ocean writes"),
        (["run", "a.yaml", "b.yaml", "--ocean", "shop"], "--ocean: expected one CONFIG, got 2"),
        (["run"], "expected at least one ResyncHandler: name it in the settings"),
        (["check", "--ocean", ""], "ocean.path: must not be empty"),
    ],
)
@pytest.mark.usefixtures("sandbox", "folder")
def test_arguments_that_cannot_be_used_are_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert said in err


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "port-ocean 0.1.0 of"),
        ({"APPLICATION__LOG_LEVEL": "loud"}, "APPLICATION__LOG_LEVEL: expected one of DEBUG, "),
    ],
)
@pytest.mark.usefixtures("sandbox")
def test_run_refuses_in_one_line_before_anything_starts(
    folder: Path, variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tells(folder, port_ocean="0.1.0")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(
        [sys.executable, "-m", "ocean_actors", "run", "--ocean", "shop"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line
