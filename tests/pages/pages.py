"""Executes what a page shows: its files and its commands."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

ROOT = Path(__file__).parents[2]
WITHIN = 180.0
"""Seconds for one command: pip builds a package from nothing, on a machine that does more."""


def blocks(page: str, language: str) -> list[str]:
    """Returns the texts of the code blocks of a language, in their order."""
    return [block.text for block in blocks_of(page) if block.language == language]


@dataclass(frozen=True)
class Block:
    """A code block of a page; `line` is where it begins."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that the block shows, which its first line names: `# config.yaml`."""
        named = re.match(r"# ([\w./-]+\.\w+)\n", self.text)
        return named[1] if named and self.language not in {"sh", "text"} else None

    @property
    def content(self) -> str:
        """The text of that file, which begins in the second line."""
        return self.text.partition("\n")[2]


def blocks_of(page: str) -> list[Block]:
    """Returns the code blocks of a page."""
    found = re.finditer(r"^```(\w+)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return [Block(match[1], match[2], page.count("\n", 0, match.start()) + 1) for match in found]


def prints(output: str, shown: str) -> bool:
    """Returns whether the lines of `shown` are in the output, in their order.

    `…` stands for any text within a line.
    """
    position = 0
    for line in shown.splitlines():
        pattern = ".*".join(re.escape(part) for part in line.strip().split("…"))
        found = re.compile(pattern).search(output, position)
        if found is None:
            return False
        position = found.end()
    return bool(output)


class Background:
    """A command that works until it is stopped; what it prints is collected."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._printed = threading.Condition()
        self.output = ""
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._printed:
                self.output += line
                self._printed.notify_all()
        with self._printed:
            self._ended = True
            self._printed.notify_all()

    def expect(self, shown: str) -> None:
        """Wait until `shown` was printed: see `prints`.

        Raises AssertionError if the command ends before, and after `WITHIN` seconds.
        """
        with self._printed:
            self._printed.wait_for(lambda: prints(self.output, shown) or self._ended, WITHIN)
            assert prints(self.output, shown), f"expected {shown!r}, got:\n{self.output}"

    def stop(self, number: int = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does; returns its exit code. Does nothing if it has ended."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            code = self._process.wait(WITHIN)
        finally:
            self._process.kill()
            self._process.wait(WITHIN)
            self._reader.join(WITHIN)
            if self._process.stdout is not None:
                self._process.stdout.close()
        return code


def installed(folder: Path) -> dict[str, str]:
    """Returns the environment of a user who has installed `ocean-actors`, as a program in `folder`.

    No setting of the tests is in it.
    """
    return {**_with_program(folder, "ocean-actors", "-m ocean_actors"), "PYTHONPATH": str(ROOT)}


def clone(folder: Path) -> tuple[Path, dict[str, str]]:
    """Returns a fresh clone below `folder`, and the environment of a terminal.

    It has what the installation needs, and what pages use. `python3` is this Python, and pip
    installs no dependencies.
    """
    made = folder / "clone"
    leave = shutil.ignore_patterns("__pycache__")
    for name in ("ocean_actors", "tests/tracker"):
        shutil.copytree(ROOT / name, made / name, ignore=leave)
    for name in ("README.md", "LICENSE", "setup.cfg", "setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, made)
    variables = _with_program(folder / "bin", "python3")
    return made, {**variables, "PIP_NO_DEPS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def _with_program(folder: Path, name: str, arguments: str = "") -> dict[str, str]:
    """Put a program that is this Python into `folder`; returns an environment that finds it."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
    program.chmod(0o755)
    kept = {name: text for name, text in os.environ.items() if not name.startswith("OCEAN__")}
    return {**kept, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


class Terminal:
    """Runs commands of a page in a folder, and stops what is left in the background.

    `ports` replaces the ports that the page names, which may be taken here.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        ports: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        self.folder = folder
        self._environment = environment
        self._ports = ports
        self._background: list[Background] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for each in reversed(self._background):
            each.stop()

    def here(self, text: str) -> str:
        """Returns a text of the page with the ports that are used here."""
        for shown, used in self._ports.items():
            text = re.sub(rf"\b{shown}\b", str(used), text)
        return text

    def write(self, name: str, text: str) -> None:
        """Write a file that the page shows."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.here(text))

    def run(self, commands: str) -> str:
        """Run commands, each of which has to succeed; returns what they print.

        The folder and the variables that they leave behind are those of later commands.
        """
        with tempfile.NamedTemporaryFile("rb") as left:
            keep = f"pwd > {left.name}; env -0 >> {left.name}"
            done = subprocess.run(  # noqa: S602  (commands of our own pages)
                f"set -e\n{self.here(commands)}\n{keep}", shell=True, cwd=self.folder,
                env=self._environment, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, timeout=WITHIN, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{commands}: exit code {done.returncode}\n{done.stdout}"
            folder, _, variables = left.read().decode().partition("\n")
        self.folder = Path(folder)
        pairs = (each.partition("=") for each in variables.split("\0") if each)
        self._environment = {name: value for name, _, value in pairs}
        return done.stdout

    def start(self, command: str) -> Background:
        """Start a command in the background, and wait until it prints something."""
        process = subprocess.Popen(  # noqa: S602  (commands of our own pages)
            f"exec env {self.here(command.strip())}", shell=True, cwd=self.folder,
            env=self._environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        started = Background(process)
        self._background.append(started)
        started.expect("")
        return started


ENDLESS = {
    "ocean-actors run": "--log-format text",  # as on a terminal
    "ocean-actors sandbox": "--port 8099",
    "tracker.py": "--port 9100",
}
"""What is in commands that work until they are stopped, and their defaults, spelled out."""


@dataclass(frozen=True)
class Step:
    """A block that was executed, and what its commands in the foreground printed."""

    block: Block
    output: str = ""


def follow(page: str, terminal: Terminal) -> list[Step]:
    """Do what a page says, block by block; returns the steps.

    A block whose first line names a file is written to that file. The lines of a block `sh` are
    commands: each has to succeed, save that those of `ENDLESS` are started in the background,
    where a second one of its kind takes the place of the first. What a block `text` shows has to
    be printed by the command before it, or else by `ocean-actors run`.
    """
    running: dict[str, Background] = {}
    steps: list[Step] = []
    last: Background | str = ""
    for block in blocks_of(page):
        output = ""
        if block.file is not None:
            terminal.write(block.file, block.content)
        elif block.language == "sh":
            for command in block.text.splitlines():
                last = _do(command, terminal, running)
                output += last if isinstance(last, str) else ""
        elif block.language == "text":
            _expect(block, terminal.here(block.text), last, running)
        else:
            continue
        steps.append(Step(block, output))
    return steps


def _do(command: str, terminal: Terminal, running: dict[str, Background]) -> Background | str:
    kind = next((each for each in ENDLESS if each in command), None)
    if kind is None:
        return terminal.run(command)
    if kind in running:
        running[kind].stop()
    running[kind] = terminal.start(f"{command} {ENDLESS[kind]}")
    return running[kind]


def _expect(
    block: Block, shown: str, last: Background | str, running: Mapping[str, Background]
) -> None:
    if isinstance(last, str) and prints(last, shown):
        return
    waited = last if isinstance(last, Background) else running.get("ocean-actors run")
    assert waited is not None, f"line {block.line}: expected {shown!r}, got:\n{last}"
    waited.expect(shown)
