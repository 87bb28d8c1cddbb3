"""A process that runs out of file descriptors pauses, says so once, and recovers."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys

import pytest
from typing_extensions import Self

from ocean_actors.web.server import affordable

SERVE = """
import logging, os, resource, sys, time
from ocean_actors.web.channel import limits
from ocean_actors.web.server import HttpServer

logging.basicConfig(level=logging.INFO, format="LOG %(message)s", stream=sys.stdout)

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

server = HttpServer(app, "127.0.0.1", 0, **limits(1000, print))
{before}
server.start()
{after}
print("PORT", server.port, flush=True)
for line in sys.stdin:
    if line.strip() == "cpu":
        print("CPU", time.process_time(), flush=True)
    elif line.strip() == "free":
        for taken in hoard:
            os.close(taken)
        hoard.clear()
        print("FREED", flush=True)
server.stop()
"""

LIMIT = "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); hoard = []"
HOARD = """
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
hoard = []
try:
    while True:
        hoard.append(os.dup(0))
except OSError:
    pass
"""


class Child:
    """A server in a process of its own, with few file descriptors."""

    def __init__(self, *, before: str = "hoard = []", after: str = "") -> None:
        code = SERVE.format(before=before, after=after)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        self.lines: list[str] = []
        self.port = int(self.read("PORT"))

    def read(self, word: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(word + " ") or line.strip() == word:
                return line.strip().partition(" ")[2]
            self.lines.append(line.strip())
        raise AssertionError(f"the child ended: {self.lines}")

    def tell(self, command: str, word: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        return self.read(word)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        try:
            output, _ = self.process.communicate(timeout=20)
            self.lines += output.splitlines()
        finally:
            self.process.kill()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=15)


def ask(sock: socket.socket) -> bytes:
    sock.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    return sock.recv(4096)


def test_with_few_descriptors_idle_connections_make_room_for_calls() -> None:
    idle = []
    with Child(before=LIMIT) as child:
        for _ in range(120):
            idle.append(connect(child.port))
        for _ in range(5):
            with connect(child.port) as sock:
                assert ask(sock).startswith(b"HTTP/1.1 200 ")
        for sock in idle:
            sock.close()
    said = [line for line in child.lines if "ulimit -n" in line]
    assert len(said) == 1
    assert "keeps 32 connections open at most" in said[0]


def test_without_a_descriptor_accepting_pauses_says_so_once_and_recovers() -> None:
    waiting = []
    with Child(after=HOARD) as child:
        for _ in range(20):
            waiting.append(connect(child.port))
        before = float(child.tell("cpu", "CPU"))
        waiting[0].settimeout(3.0)
        with pytest.raises(TimeoutError):
            ask(waiting[0])
        spent = float(child.tell("cpu", "CPU")) - before
        child.tell("free", "FREED")
        waiting[0].settimeout(15.0)
        assert waiting[0].recv(4096).startswith(b"HTTP/1.1 200 ")
        with connect(child.port) as sock:
            assert ask(sock).startswith(b"HTTP/1.1 200 ")
        for sock in waiting:
            sock.close()
    assert spent < 1.0  # of three seconds
    assert sum("cannot accept connections" in line for line in child.lines) == 1
    assert sum("accepted again" in line for line in child.lines) == 1
    assert not any("Traceback" in line for line in child.lines)


def test_half_of_the_descriptors_are_left_to_everything_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for allowed, connections in ((64, 32), (1024, 256), (resource.RLIM_INFINITY, 256), (1, 1)):
        monkeypatch.setattr(resource, "getrlimit", lambda _kind, n=allowed: (n, n))
        assert affordable(256) == connections
