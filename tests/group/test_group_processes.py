"""`ocean-actors run a.yaml b.yaml …` and `check`, as a user calls them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
import requests
from grouped import WITHIN
from waiting import wait_until

from ocean_actors.cli import main
from ocean_actors.sandbox import Sandbox

COMMAND = [sys.executable, "-m", "ocean_actors"]

WORK = """
import threading
from ocean_actors import Actor, OnFailure, ResyncHandler, RunEnded, Supervision, handles

class Quick(ResyncHandler):
    def resync(self, run):
        pass

class Patient(ResyncHandler):
    def resync(self, run):
        run.sleep(3600)

class Deaf(ResyncHandler):
    def resync(self, run):
        threading.Event().wait(3600)

class Crashing(Actor):
    subscribes_to = (RunEnded,)
    supervision = Supervision(on_failure=OnFailure.ESCALATE)

    @handles(RunEnded)
    def on_run(self, event):
        raise ValueError("broken on purpose")
"""


class Process:
    """`ocean-actors run` with several files; its log is read all the time."""

    def __init__(self, folder: Path, *configs: str) -> None:
        environment = {name: value for name, value in os.environ.items() if "OCEAN__" not in name}
        self._process = subprocess.Popen(
            [*COMMAND, "run", *configs, "--log-format", "json"],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=environment,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,))
        self._reader.start()

    def said(self, pattern: str) -> list[re.Match[str]]:
        messages = [str(line["message"]) for line in tuple(self.lines)]
        return [found for message in messages if (found := re.search(pattern, message))]

    def url(self, server: str) -> str:
        """Returns the address that the log gives: `serving HTTP on` or `the dashboard is on`."""
        wait_until(lambda: bool(self.said(server)), "what the server says")
        return self.said(rf"{server} (\S+)")[0][1]

    def end(self, number: int) -> int:
        """Send a signal; returns the exit code."""
        self._process.send_signal(number)
        code = self._process.wait(WITHIN)
        self._reader.join(WITHIN)
        return code

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(WITHIN)
        self._reader.join(WITHIN)

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self.lines.append(json.loads(line))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def write(tmp_path: Path, sandbox: Sandbox) -> Callable[..., None]:
    """Writes the settings of integrations beside their handlers."""
    (tmp_path / "work.py").write_text(WORK)

    def write(name: str, handler: str | None = "Quick", *more: str, identifier: str = "") -> None:
        handlers = [] if handler is None else [f"handlers: ['work.py:{handler}']"]
        port = {
            "clientId": sandbox.client_id,
            "clientSecret": sandbox.client_secret,
            "baseUrl": sandbox.url,
        }
        text = [
            f"port: {json.dumps(port)}",
            f"integration: {{identifier: {identifier or name}}}",
            "eventListener: {type: POLLING, interval: 60}",
            *handlers,
            *more,
        ]
        (tmp_path / f"{name}.yaml").write_text("\n".join(text))

    return write


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    processes = []

    def start(*configs: str) -> Process:
        processes.append(Process(tmp_path, *configs))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


ANY_PORTS = ("http: {host: 127.0.0.1, port: 0}", "control: {port: 0}")


def test_of_three_one_crashes_and_one_hangs_and_the_third_goes_on(
    write: Callable[..., None], run: Callable[..., Process], sandbox: Sandbox
) -> None:
    write("shop", "Quick", *ANY_PORTS)
    write("broken", "Quick", "actors: ['work.py:Crashing']")
    write("deaf", "Deaf", "resync: {abortGrace: 0.2}")
    process = run("shop.yaml", "broken.yaml", "deaf.yaml")
    http, control = process.url("serving HTTP on"), process.url("the dashboard is on")
    wait_until(
        lambda: bool(process.said("integration broken stopped: actor Crashing failed")),
        "the stop of broken",
    )
    wait_until(lambda: sandbox.statuses("deaf") == ["running"], "a run of deaf")
    wait_until(lambda: sandbox.statuses("shop") == ["running", "completed"], "a run of shop")
    requests.post(
        f"{control}/api/resync?integration=shop", json={"reason": "still at work?"},
        headers={"X-Ocean-Actors": "1"}, timeout=WITHIN,
    ).raise_for_status()  # fmt: skip
    wait_until(lambda: sandbox.statuses("shop") == ["running", "completed"] * 2, "two runs of shop")
    told = requests.get(f"{http}/health", timeout=WITHIN)
    assert told.status_code == 503
    each = told.json()["integrations"]
    assert {name: health["ok"] for name, health in each.items()} == {
        "shop": True, "broken": False, "deaf": True,
    }  # fmt: skip
    assert requests.get(f"{http}/health/live", timeout=WITHIN).status_code == 200
    assert process.end(signal.SIGTERM) == 1  # the worst
    assert process.said("threads left behind, as they did not end: handler-Deaf")
    assert process.said("all integrations have stopped; broken: actor Crashing failed")
    logged = [line["integration"] for line in process.lines if "integration" in line]
    assert {"shop", "broken", "deaf"} <= set(logged)


def test_a_signal_stops_all_of_them_and_exit_is_0(
    write: Callable[..., None], run: Callable[..., Process], sandbox: Sandbox
) -> None:
    write("shop", "Patient", *ANY_PORTS)
    write("blog", "Patient")
    process = run("shop.yaml", "blog.yaml")
    wait_until(
        lambda: sandbox.statuses("shop") == sandbox.statuses("blog") == ["running"], "a run of both"
    )
    assert process.end(signal.SIGTERM) == 0
    assert process.said("integration shop stopped")
    assert process.said("integration blog stopped")
    assert process.said("all integrations have stopped$")


# -- unusable arguments ----------------------------------------------------------------------------


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Returns the one line that a call prints, which ends with exit code 2."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in [name for name in os.environ if name.startswith("OCEAN__")]:
        monkeypatch.delenv(name)
    modules = {*sys.modules}

    def call(*arguments: str) -> str:
        code = main(arguments)
        for name in sys.modules.keys() - modules:
            if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None)):
                del sys.modules[name]
        assert code == 2
        lines = capfd.readouterr().err.strip().splitlines()
        assert len(lines) == 1, lines
        return lines[0].removeprefix("ocean-actors: ")

    return call


@pytest.mark.parametrize("command", ["run", "check"])
def test_settings_that_do_not_go_together_are_one_line_and_exit_2(
    write: Callable[..., None], refused: Callable[..., str], command: str
) -> None:
    write("a", "Quick", "http: {port: 8000}")
    write("b", "Quick", "http: {port: 9000}")
    write("c", identifier="a")
    assert refused(command, "a.yaml", "b.yaml") == (
        "a.yaml and b.yaml: http.port differs, but the integrations of one process share it; set "
        "it in one of them"
    )
    assert refused(command, "a.yaml", "c.yaml") == (
        "a.yaml and c.yaml: both have the integration.identifier a; give each its own, in its file "
        "(OCEAN__INTEGRATION__IDENTIFIER sets that of all)"
    )


def test_what_is_wrong_in_one_file_names_the_file(
    write: Callable[..., None], refused: Callable[..., str], tmp_path: Path
) -> None:
    write("a")
    write("none", None)
    write("typo", "Quick", "resync: {abortGrce: 1}")
    write("absent", "Absent")
    assert refused("run", "a.yaml", "none.yaml") == (
        "none.yaml: expected at least one ResyncHandler: name it in the settings, as "
        'handlers: ["file.py:Class"]'
    )
    assert refused("run", "a.yaml", "typo.yaml") == (
        "typo.yaml: resync.abortGrce: unknown key; did you mean resync.abortGrace?"
    )
    assert refused("run", "a.yaml", "absent.yaml").startswith("absent.yaml: handlers[0]: work.py")
    assert refused("run", "a.yaml", "nowhere.yaml") == (
        "nowhere.yaml: cannot be read: No such file or directory"
    )


@pytest.mark.parametrize("configs", [("",), ("a.yaml", "")])
def test_an_empty_path_is_refused_as_such(
    write: Callable[..., None], refused: Callable[..., str], configs: tuple[str, ...]
) -> None:
    write("a")
    assert refused("run", *configs) == "CONFIG: expected the path of a file, got an empty text"


@pytest.mark.parametrize(
    "option", [("--handler", "work.py:Quick"), ("--actor", "work.py:Crashing"), ("--dry-run",)]
)
def test_what_concerns_one_integration_is_refused_for_several(
    write: Callable[..., None], refused: Callable[..., str], option: tuple[str, ...]
) -> None:
    write("a")
    write("b")
    line = refused("run", "a.yaml", "b.yaml", *option)
    assert line == f"{option[0]}: expected one CONFIG, got 2"


def test_a_module_that_another_integration_has_imported_is_not_taken_for_its_own(
    write: Callable[..., None], refused: Callable[..., str], tmp_path: Path
) -> None:
    """Python has one module of each name: the second would run the first one's handler."""
    write("a")
    write("b")
    for name in ("a", "b"):
        folder = tmp_path / f"folder_{name}"
        folder.mkdir()
        (folder / "things.py").write_text(WORK)
        text = (tmp_path / f"{name}.yaml").read_text().replace("work.py:", "things:")
        (folder / "config.yaml").write_text(text)
    line = refused("run", "folder_a/config.yaml", "folder_b/config.yaml")
    assert line == (
        f"folder_b/config.yaml: things:Quick: the module things was imported from "
        f"{tmp_path}/folder_a/things.py and not from {tmp_path}/folder_b/things.py; name the file "
        "in place of the module, as file.py:Class"
    )


def test_check_looks_at_every_integration(
    write: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    write("a")
    write("b")
    text = (tmp_path / "b.yaml").read_text()
    listener = "{type: WEBHOOK, appHost: 'https://hooks.example'}"
    (tmp_path / "b.yaml").write_text(re.sub(r"\{type: POLLING.*", listener, text))
    assert main(["check", "a.yaml", "b.yaml"]) == 0
    printed = capfd.readouterr().out
    assert "a.yaml: integration a of type custom" in printed
    assert "b.yaml: integration b of type custom" in printed
    assert "WEBHOOK, at https://hooks.example/b/resync" in printed
