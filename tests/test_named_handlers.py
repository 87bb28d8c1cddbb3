"""Handlers and actors that the settings name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ocean_actors import Settings, SettingsError
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing.sandboxed import port_of

WORK = """
from ocean_actors import Actor, ResyncHandler, RunEnded, handles

class Quick(ResyncHandler):
    def resync(self, run):
        run.logger.info("quick was run")

class Slow(ResyncHandler):
    blueprints = {"identifier": "slow"}

    def resync(self, run):
        run.logger.info("slow was run")

class Witness(Actor):
    subscribes_to = (RunEnded,)

    def on_start(self):
        print("witness was started", flush=True)

class Far(Quick):
    def __init__(self, url):
        self.url = url

class Named(Actor):
    def __init__(self, name):
        super().__init__()
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder, which holds the integration in the folder `integration`."""
    folder = tmp_path / "integration"
    folder.mkdir()
    (folder / "work.py").write_text(WORK)
    (folder / "importable_work.py").write_text(WORK)
    return tmp_path


def run(
    folder: Path, sandbox: Sandbox, settings: Any, *options: str, command: str = "run", **env: str
) -> Any:
    """Runs ONCE with integration/config.yaml."""
    base = {
        "port": port_of(sandbox),
        "eventListener": {"type": "ONCE"},
        "http": {"port": 0},
        "control": {"enabled": False},
    }
    (folder / "integration" / "config.yaml").write_text(yaml.safe_dump({**base, **settings}))
    return subprocess.run(
        [sys.executable, "-m", "ocean_actors", command, "integration/config.yaml", *options],
        cwd=folder, env={"PYTHONPATH": str(Path(__file__).parents[1]), **env},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("place", ["work.py:Quick", "importable_work:Quick"])
def test_the_handlers_of_the_file_are_found_in_its_folder(
    folder: Path, sandbox: Sandbox, place: str
) -> None:
    done = run(folder, sandbox, {"handlers": [place]})
    assert done.returncode == 0, done.stderr
    assert "quick was run" in done.stderr


def test_handlers_of_the_command_line_replace_those_of_the_file(
    folder: Path, sandbox: Sandbox
) -> None:
    done = run(
        folder, sandbox, {"handlers": ["work.py:Quick"]}, "--handler", "integration/work.py:Slow"
    )
    assert done.returncode == 0, done.stderr
    assert "slow was run" in done.stderr
    assert "quick was run" not in done.stderr


def test_the_actors_of_the_file_are_started_with_the_system(folder: Path, sandbox: Sandbox) -> None:
    named = {"handlers": ["work.py:Quick"], "actors": ["work.py:Witness"]}
    done = run(folder, sandbox, named)
    assert done.returncode == 0, done.stderr
    assert "witness was started" in done.stdout


def test_an_actor_of_the_command_line_replaces_those_of_the_file(
    folder: Path, sandbox: Sandbox
) -> None:
    named = {"handlers": ["work.py:Quick"], "actors": ["absent.py:Absent"]}
    done = run(folder, sandbox, named, "--actor", "integration/work.py:Witness")
    assert done.returncode == 0, done.stderr
    assert "witness was started" in done.stdout


def test_places_in_the_environment_start_at_the_working_folder(
    folder: Path, sandbox: Sandbox
) -> None:
    done = run(
        folder, sandbox, {"handlers": ["work.py:Slow"]},
        OCEAN__HANDLERS='["integration/work.py:Quick"]',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "quick was run" in done.stderr
    assert "slow was run" not in done.stderr


def test_check_looks_at_what_the_handlers_of_the_file_need(folder: Path, sandbox: Sandbox) -> None:
    done = run(folder, sandbox, {"handlers": ["work.py:Slow"]}, command="check")
    assert done.returncode == 0, done.stdout
    assert "slow is missing in Port: `run` creates it" in done.stdout
    quick = ("--handler", "integration/work.py:Quick")
    done = run(folder, sandbox, {"handlers": ["work.py:Slow"]}, *quick, command="check")
    assert done.returncode == 0, done.stdout
    assert "slow" not in done.stdout


def test_check_needs_no_handlers_and_refuses_unusable_ones(folder: Path, sandbox: Sandbox) -> None:
    assert run(folder, sandbox, {}, command="check").returncode == 0
    done = run(folder, sandbox, {"handlers": ["absent.py:Absent"]}, command="check")
    assert done.returncode == 2
    assert "handlers[0]: integration/absent.py:Absent: there is no file" in done.stderr


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({}, "expected at least one ResyncHandler: name it in the settings"),
        ({"handlers": []}, "expected at least one ResyncHandler: name it in the settings"),
        (
            {"handlers": ["work.py:Quick", "absent.py:Quick"]},
            "handlers[1]: integration/absent.py:Quick: there is no file integration/absent.py",
        ),
        ({"handlers": ["work.py:Witness"]}, "handlers[0]: integration/work.py:Witness: Witness is"),
        ({"handlers": ["work.py"]}, "handlers[0]: expected module:Class or file.py:Class"),
        (
            {"handlers": ["work.py:Quick"], "actors": ["work.py:Quick"]},
            "actors[0]: integration/work.py:Quick: Quick is not a subclass of ocean_actors.Actor",
        ),
        (
            {"handlers": ["work.py:Quick"], "actors": ["work.py:Named"]},
            "actors[0]: integration/work.py:Named: Named is built without arguments, but: missing",
        ),
        (
            {"handlers": ["work.py:Far"]},
            "handlers[0]: integration/work.py:Far: Far is built without arguments, but: missing",
        ),
    ],
)
def test_a_place_that_cannot_be_used_is_one_line_and_exit_2(
    folder: Path, sandbox: Sandbox, named: Any, said: str
) -> None:
    done = run(folder, sandbox, named)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"ocean-actors: {said}")


def handlers(text: str, path: Path, **env: str) -> tuple[str, ...]:
    path.write_text(f"port: {{clientId: a, clientSecret: b}}\n{text}")
    return Settings.from_file(path, env, dotenv=None).handlers


def test_a_place_in_a_file_is_relative_to_the_folder_of_the_file(tmp_path: Path) -> None:
    text = "handlers: [a.py:A, '../b.py:B', /c.py:C, 'd.e:D', \"{{ from env F }}:E\"]"
    found = handlers(text, tmp_path / "config.yaml", F="f.py")
    assert found == (
        f"{tmp_path}/a.py:A", f"{tmp_path}/../b.py:B", "/c.py:C", "d.e:D", f"{tmp_path}/f.py:E",
    )  # fmt: skip


def test_a_single_place_needs_no_list(tmp_path: Path) -> None:
    assert handlers("handlers: a.py:A", tmp_path / "x.yaml") == (f"{tmp_path}/a.py:A",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("handlers: {a: b}", "handlers: expected a list, or items separated by commas"),
        ("handlers: [a.py:A, 5]", "handlers[1]: expected text"),
        ("handlers: [a.py:A, '']", "handlers[1]: must not be empty"),
        ("handlers: [':A']", 'handlers[0]: expected module:Class or file.py:Class, got ":A"'),
        ("handlers: '[a'", "handlers[0]: expected module:Class or file.py:Class"),
        ("handlers: '[a]'", "handlers: expected a JSON array, or items separated by commas"),
        ("handler: [a.py:A]", "handler: unknown key; did you mean handlers?"),
    ],
)
def test_a_list_of_places_that_cannot_be_used_is_told_with_its_key(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        handlers(text, tmp_path / "config.yaml")
    assert str(caught.value).startswith(said)


def test_a_place_in_the_environment_is_told_with_its_variable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        handlers("", tmp_path / "config.yaml", OCEAN__HANDLERS='["a.py:A", "b"]')
    assert str(caught.value).startswith("handlers (OCEAN__HANDLERS)[1]: expected module:Class")
