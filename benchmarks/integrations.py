"""The same integration as a program, with ocean_actors and with port-ocean."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.http_load import post, sent, signed_calls
from benchmarks.peers import port_ocean_python
from benchmarks.port import wait_until_idle
from benchmarks.programs import ROOT, Program, free_port
from ocean_actors.sandbox import Sandbox
from ocean_actors.testing.sandboxed import port_of

SUBJECT = Path(__file__).with_name("subject.py")
UPSTREAM = Path(__file__).with_name("peers") / "upstream"
NOWHERE = "http://127.0.0.1:1"  # where Port sends its calls, so that only ours ask for resyncs


@dataclass(frozen=True)
class Integration:
    """One that runs. Under WEBHOOK, `calls` are those by which Port asks for a resync, and GET
    `probe` is answered with 200 once the integration takes them.
    """

    name: str
    program: Program
    sandbox: Sandbox
    port: int
    calls: Iterator[bytes]
    probe: str

    @contextlib.contextmanager
    def resync(self) -> Iterator[float]:
        """Ask for a resync; yields when."""
        with sent(self.port, next(self.calls)) as begun:
            yield begun

    def first_line(self) -> float:
        """Returns the seconds from a request to the handler's first line; ends when all is idle."""
        with self.resync() as begun:
            delay = self.program.hear("called") - begun
            self.wait_until_idle()
        return delay

    def wait_until_idle(self) -> None:
        """Wait until the run's end is reported, and no call to Port follows for a moment."""
        wait_until_idle(self.sandbox, self.name)

    def wait_until_ready(self) -> None:
        """Wait until it is registered with Port and takes calls."""
        until = time.monotonic() + 60
        while not self._is_ready():
            if time.monotonic() > until:
                raise RuntimeError(f"{self.name} does not answer GET {self.probe} with 200")
            time.sleep(0.05)
        self.wait_until_idle()

    def _is_ready(self) -> bool:
        request = f"GET {self.probe} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
        try:
            with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
                connection.sendall(request.encode())
                return connection.recv(4096).startswith(b"HTTP/1.1 200")
        except OSError:
            return False


@contextlib.contextmanager
def ours(
    sandbox: Sandbox, listener: str, mode: str = "quick", entities: int = 0, interval: float = 60
) -> Iterator[Integration]:
    """Run `ocean-actors run`."""
    port = free_port()
    settings = _settings(sandbox, "ours", listener, port, interval)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(json.dumps(settings), encoding="utf-8")
        with Program(run_command(file), _env(mode, entities)) as program:
            calls = signed_calls(sandbox.client_secret, "ours")
            yield Integration("ours", program, sandbox, port, calls, "/health/ready")


@contextlib.contextmanager
def inside(sandbox: Sandbox, mode: str = "", entities: int = 1) -> Iterator[Integration]:
    """Run port-ocean inside `ocean-actors run`, under WEBHOOK."""
    python = port_ocean_python.python()
    port = free_port()
    settings = _settings(sandbox, "inside", "WEBHOOK", port, 60)
    del settings["handlers"]
    settings["ocean"] = {"path": str(UPSTREAM), "python": str(python)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(json.dumps(settings), encoding="utf-8")
        env = {**_env(mode, entities), "BENCHMARK_INSIDE": "yes", "PYTHONPATH": ""}
        with Program(run_command(file), env, folder=ROOT) as program:
            calls = signed_calls(sandbox.client_secret, "inside")
            yield Integration("inside", program, sandbox, port, calls, "/health/ready")


@contextlib.contextmanager
def many(sandbox: Sandbox, count: int, interval: float) -> Iterator[Program]:
    """Run so many integrations in one process, of which each has a settings file."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        port = free_port()
        for number in range(count):
            settings = _settings(sandbox, f"ours-{number}", "POLLING", port, interval)
            files.append(Path(folder) / f"{number}.yaml")
            files[-1].write_text(json.dumps(settings), encoding="utf-8")
        with Program(run_command(*files), _env("quick", 0)) as program:
            yield program


def run_command(*files: Path) -> list[str]:
    """Returns the command of users, with its default log."""
    return [sys.executable, "-m", "ocean_actors", "run", *map(str, files)]


def _settings(
    sandbox: Sandbox, name: str, listener: str, port: int, interval: float
) -> dict[str, object]:
    return {
        "port": port_of(sandbox),
        "integration": {"identifier": name, "type": "custom"},
        "eventListener": (
            {"type": "WEBHOOK", "appHost": NOWHERE}
            if listener == "WEBHOOK"
            else {"type": listener, "interval": interval}
        ),
        "handlers": [f"{SUBJECT}:Subject"],
        "http": {"host": "127.0.0.1", "port": port},
        "control": {"enabled": False},
        "resync": {"abortGrace": 3600, "maxConsecutiveAborts": 1_000_000},
    }


def _env(mode: str, entities: int) -> dict[str, str]:
    return {"BENCHMARK_MODE": mode, "BENCHMARK_ENTITIES": str(entities)}


@contextlib.contextmanager
def upstream(
    sandbox: Sandbox, listener: str, entities: int = 0, interval: float = 60, mode: str = ""
) -> Iterator[Integration]:
    """Run port-ocean, as its command `ocean sail` does."""
    port = free_port()
    python = port_ocean_python.python()
    env = {
        "OCEAN__PORT__CLIENT_ID": sandbox.client_id,
        "OCEAN__PORT__CLIENT_SECRET": sandbox.client_secret,
        "OCEAN__PORT__BASE_URL": sandbox.url,
        "OCEAN__INTEGRATION__IDENTIFIER": "upstream",
        "OCEAN__INTEGRATION__TYPE": "custom",
        "OCEAN__EVENT_LISTENER": json.dumps(
            {"type": listener, "interval": int(interval), "app_host": NOWHERE}
        ),
        "APPLICATION__PORT": str(port),
        "PYTHONPATH": "",
        **_env(mode, entities),
    }
    command = [str(python), "-c", "from port_ocean.run import run; run()"]
    with Program(command, env, UPSTREAM) as program:
        call = post("/resync", b"{}")
        calls = iter(lambda: call, b"")
        yield Integration("upstream", program, sandbox, port, calls, "/docs")
