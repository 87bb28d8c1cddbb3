"""`ocean-actors new`: what it makes runs, tests and type-checks at once."""

from __future__ import annotations

import os
import re
import resource
import shlex
import site
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pages import Terminal, blocks

from ocean_actors._version import __version__
from ocean_actors.sandbox import Sandbox
from ocean_actors.scaffold.new import files

ROOT = Path(__file__).parents[1]
WITHIN = 180.0  # mypy and pyright begin without a cache
KEPT = ("HOME", "LANG", "TMPDIR", "XDG_CACHE_HOME")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a user who has installed ocean-actors and the tools."""
    home = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    (packages,) = home.glob("lib/*/site-packages")
    (packages / "found.pth").write_text("\n".join([str(ROOT), *site.getsitepackages()]))
    for name, module in {
        "ocean-actors": "ocean_actors",
        "pytest": "pytest",
        "mypy": "mypy",
    }.items():
        program = home / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{home}/bin/python" -m {module} "$@"\n')
        program.chmod(0o755)
    pyright = home / "bin" / "pyright"
    pyright.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -m pyright --pythonpath "{home}/bin/python"\n'
    )
    pyright.chmod(0o755)
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {**kept, "PATH": f"{home}/bin{os.pathsep}{os.environ['PATH']}"}


def run(command: str, folder: Path, environment: dict[str, str], **more: Any) -> Any:
    return subprocess.run(  # noqa: S602  (commands of our own pages)
        command, shell=True, cwd=folder, env=environment, check=False, capture_output=True,
        text=True, timeout=WITHIN, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `new` has made."""
    parent = tmp_path_factory.mktemp("new")
    done = run("ocean-actors new my-services", parent, environment)
    assert done.returncode == 0, done.stderr
    return parent / "my-services"


def readme(folder: Path) -> list[str]:
    return blocks((folder / "README.md").read_text(), "sh")


@pytest.mark.timeout(600)
def test_its_tests_and_its_types_are_right_as_its_readme_has_them_checked(
    folder: Path, environment: dict[str, str]
) -> None:
    install, *checks = readme(folder)[-1].splitlines()
    assert install == "pip install -r requirements-dev.txt"
    assert [check.split()[0] for check in checks] == ["pytest", "mypy", "pyright"]
    for check in checks:
        done = run(check, folder, environment)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "strict = true" in (folder / "pyproject.toml").read_text()
    assert 'typeCheckingMode = "strict"' in (folder / "pyproject.toml").read_text()


def test_the_commands_of_its_readme_end_in_a_completed_run(
    folder: Path, environment: dict[str, str], reserve_port: Callable[[], int]
) -> None:
    """Letter by letter, but for the sandbox's port, which may be taken here."""
    stand_in, commands, *_ = readme(folder)
    assert stand_in.strip() == "ocean-actors sandbox"
    *first, last = commands.splitlines()
    assert last == "ocean-actors run config.yaml"
    variables = {**environment, "OCEAN__HTTP__PORT": "0", "OCEAN__CONTROL__PORT": "0"}
    port = reserve_port()
    example = folder / ".env.example"
    example.write_text(example.read_text().replace("8099", str(port)))
    with Sandbox(port) as sandbox, Terminal(folder, variables) as terminal:
        assert "FAILED" not in terminal.run("\n".join(first))
        process = terminal.start(last)
        process.expect("completed")
        found = {entity["identifier"] for entity in sandbox.entities("service")}
        assert process.stop() == 0, process.output
        assert sandbox.statuses("my-services") == ["running", "completed"]
    assert found == {"shop", "billing", "search"}


def test_what_it_says_is_made_is_made_and_the_next_commands_are_those_of_the_readme(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    done = run("ocean-actors new other", tmp_path, environment)
    made, _, following = done.stdout.partition("\nnext:\n")
    assert made.splitlines()[0] == "made other:"
    told = {line.strip() for line in made.splitlines()[1:]}
    there = {str(file.relative_to(tmp_path / "other")) for file in files_below(tmp_path / "other")}
    assert told == there
    commands = [line.partition("#")[0].strip() for line in following.splitlines()]
    stand_in, rest, *_ = readme(tmp_path / "other")
    assert commands[0] == "cd other"
    assert sorted(commands[1:]) == sorted((stand_in + rest).split("\n")[:-1])


def files_below(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def test_no_placeholder_is_left(folder: Path) -> None:
    for text in files("my-services").values():
        assert not re.search("__(NAME|VERSION)__", text)
    assert (folder / "requirements.txt").read_text() == f"ocean-actors >= {__version__}\n"


def test_the_dockerfile_copies_files_that_exist_and_runs_as_an_ordinary_user(folder: Path) -> None:
    lines = (folder / "Dockerfile").read_text().splitlines()
    copied = {name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]}
    assert all(list(folder.glob(name)) for name in copied)
    assert copied >= {"config.yaml", "*.py", "blueprints", "requirements.txt"}
    assert ".env" not in copied
    assert "USER 10001:10001" in lines
    assert 'ENTRYPOINT ["ocean-actors", "run", "config.yaml"]' in lines


def test_an_empty_folder_is_filled(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "empty").mkdir()
    done = run("ocean-actors new empty", tmp_path, environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "empty" / "handlers.py").is_file()


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "9lives", "", "ä", "with blank", "a" * 61, "-- -x"]
)
def test_a_name_that_cannot_be_used_is_told_with_the_characters_that_can(
    tmp_path: Path, environment: dict[str, str], name: str
) -> None:
    given = name if name.startswith("--") else shlex.quote(name)
    done = run(f"ocean-actors new {given}", tmp_path, environment)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "NAME: expected at most 60 letters (a-z), digits, - and _" in line
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_empty_is_left_as_it_is(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    done = run("ocean-actors new taken", tmp_path, environment)
    assert done.returncode == 2
    assert done.stderr == "ocean-actors: NAME: the folder taken exists and is not empty\n"
    assert [file.name for file in (tmp_path / "taken").iterdir()] == ["notes.txt"]


def test_a_file_of_that_name_is_left_as_it_is(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "taken").write_text("mine")
    done = run("ocean-actors new taken", tmp_path, environment)
    assert done.returncode == 2
    assert done.stderr == "ocean-actors: NAME: taken exists and is not a folder\n"


def test_a_folder_that_cannot_be_written_is_one_line_and_nothing_is_left_behind(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    def forbid() -> None:  # a right that the superuser lacks, too
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    done = run("ocean-actors new mine", tmp_path, environment, preexec_fn=forbid)
    assert done.returncode == 1
    assert done.stderr == "ocean-actors: mine: cannot be made: File too large\n"
    assert list(tmp_path.iterdir()) == []
