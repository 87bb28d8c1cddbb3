"""A package adds an event listener by an entry point; docs/listeners.md shows it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from packages import write_dist_info
from pages import ROOT, blocks_of
from pydantic import Field, field_validator
from scripted import Quick
from waiting import wait_until

from ocean_actors import RunEnded, Settings, SettingsError
from ocean_actors.check import check
from ocean_actors.listeners.spec import Listener, ListenerSpec, Services, listener_spec
from ocean_actors.settings import ListenerSettings
from ocean_actors.testing import SandboxedSystem

PACKAGE = Path(__file__).parent / "package"
PAGE = (ROOT / "docs" / "listeners.md").read_text()
SHOWN = {block.file: block.content for block in blocks_of(PAGE) if block.file is not None}
"""The files that the page shows, by their names."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the package."""
    folder = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "package"
    source.mkdir()
    for file in PACKAGE.rglob("*.*"):
        if file.is_file() and "__pycache__" not in file.parts:
            copy = source / file.relative_to(PACKAGE)
            copy.parent.mkdir(exist_ok=True)
            copy.write_text(file.read_text())
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
            "--target", str(folder), str(source),
        ],
        check=True,
        timeout=100,
    )  # fmt: skip
    return folder


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(site))
    yield
    for name in [name for name in sys.modules if name.startswith("toy_listener")]:
        del sys.modules[name]


def settings_of(**listener: object) -> Settings:
    port = {"clientId": "id", "clientSecret": "secret"}
    return Settings.from_dict({"port": port, "eventListener": listener}, {})


@pytest.mark.usefixtures("installed")
def test_its_resyncs_run_and_are_acknowledged_when_they_are_settled(tmp_path: Path) -> None:
    file = tmp_path / "requests"
    file.write_text("first\n")
    listener = {"type": "FILE", "path": str(file), "interval": 0.05}
    with SandboxedSystem([Quick], eventListener=listener) as rig:
        assert rig.expect(RunEnded).run.reason == "first"
        with file.open("a") as more:
            more.write("second\n")
        ended = rig.expect(RunEnded)
        assert (ended.run.reason, ended.run.trigger) == ("second", "file")
        assert rig.system.status()["listener"] == "FILE"
        settled = file.with_suffix(".settled")
        wait_until(
            lambda: settled.exists() and settled.read_text().count("\n") == 2, "two lines of it"
        )
    assert settled.read_text().splitlines() == ["first completed", "second completed"]


@pytest.mark.usefixtures("installed")
def test_its_settings_are_checked_as_ours_are(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^eventListener.interval: expected more than 0, got"):
        settings_of(type="FILE", path=str(tmp_path), interval=0)
    with pytest.raises(SettingsError, match=r"eventListener.path: missing; set it in the file"):
        settings_of(type="FILE")
    with pytest.raises(SettingsError, match=r"eventListener.intervall: unknown key; did you mean"):
        settings_of(type="FILE", path=str(tmp_path), intervall=1)


@pytest.mark.usefixtures("installed")
def test_check_describes_it(tmp_path: Path) -> None:
    settings = settings_of(type="file", path=str(tmp_path / "x"))
    lines = [line.text for line in check(settings, "here") if line.topic == "listener"]
    assert lines == [f"FILE, lines of {tmp_path / 'x'}"]


@pytest.mark.usefixtures("installed")
def test_an_unknown_type_is_one_line_that_lists_the_known_ones() -> None:
    with pytest.raises(SettingsError) as error:
        settings_of(type="SMTP")
    expected = "expected one of POLLING, KAFKA, WEBHOOK, ONCE, FILE, got 'SMTP'"
    assert str(error.value) == f"eventListener.type: {expected}"


def test_ours_are_found_by_the_same_function() -> None:
    for name in ("POLLING", "KAFKA", "WEBHOOK", "ONCE"):
        assert listener_spec(name).name == name


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Adds a package with one entry point for a listener, in place of what pip installs."""

    def add(entry_point: str) -> None:
        write_dist_info(tmp_path, "ocean_actors.listeners", entry_point)
        monkeypatch.syspath_prepend(str(tmp_path))

    return add


def test_the_page_shows_the_package_that_is_installed_here() -> None:
    files = [file for file in PACKAGE.rglob("*.*") if file.is_file()]
    package = {
        file.relative_to(PACKAGE).as_posix(): file.read_text()
        for file in files
        if "__pycache__" not in file.parts and ".egg-info" not in file.parent.suffix
    }
    assert package == {name: text for name, text in SHOWN.items() if name in package}
    assert set(SHOWN) - set(package) == {"config.yaml", "test_toy_listener.py"}


def test_the_test_of_the_page_passes(site: Path, tmp_path: Path) -> None:
    (tmp_path / "test_toy_listener.py").write_text(SHOWN["test_toy_listener.py"])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(site), str(ROOT)))},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


@pytest.mark.usefixtures("installed")
def test_the_settings_of_the_page_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(SHOWN["config.yaml"])
    settings = Settings.from_file(tmp_path / "config.yaml", {}, dotenv=None)
    spec = listener_spec(settings.event_listener.type)
    assert spec.describe(settings.event_listener) == "FILE, lines of requests.txt"


class QueueSettings(ListenerSettings):
    queue_url: str = Field(description="The address of the queue.")

    @field_validator("queue_url")
    @classmethod
    def _check(cls, url: str) -> str:
        if not url.startswith("amqp://"):
            raise ValueError("expected an address that begins with amqp://")
        return url


def _build(_settings: QueueSettings, _services: Services) -> Listener:
    raise NotImplementedError


QUEUE = ListenerSpec("QUEUE", QueueSettings, _build)


@pytest.mark.usefixtures("installed")
def test_the_page_quotes_the_errors_as_they_are(register: Callable[[str], None]) -> None:
    register(f"QUEUE = {__name__}:QUEUE")
    errors = []
    for listener in (
        {"type": "FILE", "path": "requests.txt", "interval": 0},
        {"type": "FILE"},
        {"type": "FILE", "path": "requests.txt", "intervall": 1},
        {"type": "QUEUE", "queueUrl": "http://queue"},
    ):
        with pytest.raises(SettingsError) as error:
            settings_of(**listener)
        errors.append(str(error.value))
    assert "\n```\n" + "\n".join(errors) + "\n```\n" in PAGE


def test_the_page_names_every_field_of_the_spec() -> None:
    for part in (ListenerSpec, Services):
        named = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
        assert {field.name for field in fields(part)} <= named
