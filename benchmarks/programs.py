"""Programs under measurement: processes that tell this one when something happens.

A program writes lines `event seconds` to the descriptor that BENCHMARK_EVENTS names. The seconds
are `time.perf_counter()`, which all processes of a machine share.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import final

import psutil

ROOT = Path(__file__).parents[1]
EVENTS = "BENCHMARK_EVENTS"
MIB = 2**20


@final
class Program:
    """A process; a context manager that ends it."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, folder: Path = ROOT
    ) -> None:
        self._command, self._env, self._folder = list(command), dict(env or {}), folder
        self._heard: deque[tuple[str, float]] = deque()
        self._rest = b""

    def __enter__(self) -> Program:
        self._read, write = os.pipe()
        self._log = tempfile.TemporaryFile()
        env = {**environment(), **self._env, EVENTS: str(write)}
        self.started = time.perf_counter()
        try:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=env, pass_fds=[write],
                stdin=subprocess.PIPE, stdout=self._log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        finally:
            os.close(write)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._all():
            process.kill()
        self._process.wait(30)
        if self._process.stdin is not None:
            self._process.stdin.close()
        os.close(self._read)
        self._log.close()

    # -- what it says ------------------------------------------------------------------------------

    def hear(self, event: str, within: float = 60.0) -> float:
        """Returns the seconds of the next such event; others before it are dropped.

        Raises RuntimeError with the end of the program's log if it does not come.
        """
        until = time.monotonic() + within
        while True:
            while self._heard:
                name, seconds = self._heard.popleft()
                if name == event:
                    return seconds
            if not self._listen(until - time.monotonic()):
                raise RuntimeError(f"{self._command}: no {event!r}\n{self._end_of_log()}")

    def count(self, event: str, quiet: float, within: float = 120.0) -> int:
        """Returns how many such events come until none has come for `quiet` seconds."""
        found, until = 0, time.monotonic() + within
        while True:
            found += sum(name == event for name, _ in self._heard)
            self._heard.clear()
            if time.monotonic() > until or not self._listen(quiet):
                return found

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def _listen(self, seconds: float) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self._read, selectors.EVENT_READ)
            if not selector.select(max(0.0, seconds)):
                return False
        if not (data := os.read(self._read, 65_536)):
            raise RuntimeError(f"{self._command} has ended\n{self._end_of_log()}")
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            name, _, value = line.decode().rpartition(" ")
            self._heard.append((name, float(value)))
        return True

    def _end_of_log(self) -> str:
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), 3_000, max(0, size - 3_000)).decode(errors="replace")

    # -- what it uses ------------------------------------------------------------------------------

    def resident(self) -> float:
        """Returns the resident memory of it and its children in MiB."""
        return sum(process.memory_info().rss for process in self._all()) / MIB

    def cpu(self) -> float:
        """Returns the processor seconds of it and its children so far."""
        times = [process.cpu_times() for process in self._all()]
        return sum(each.user + each.system for each in times)

    def _all(self) -> list[psutil.Process]:
        try:
            process = psutil.Process(self._process.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def module(name: str, *arguments: str) -> list[str]:
    """Returns the command that runs a module of the benchmarks in this Python."""
    return [sys.executable, "-m", f"benchmarks.{name}", *arguments]


def environment() -> dict[str, str]:
    """Returns the environment of programs: they keep bytecode, as an installed package does."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return env


def result_of(command: Sequence[str], timeout: float = 300) -> dict[str, float]:
    """Returns the JSON object that a command prints as its last line.

    Raises RuntimeError with what it wrote to standard error if it fails, or if it takes longer.
    """
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False,
            env=environment(),
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(str(error)) from None
    if done.returncode != 0:
        raise RuntimeError(f"{command} failed:\n{done.stderr[-3_000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
