"""Mounted in gunicorn: what it leaves to the application is answered, and costs few lines."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

PROGRAM = """
from ocean_actors.listeners.webhook.app import WebhookApp
from ocean_actors.listeners.webhook.caller import CallReader
from ocean_actors.listeners.webhook.intake import Listening, WebhookIntake
from ocean_actors.settings import PortSettings, WebhookSettings
from ocean_actors.testing import ManualClock
from ocean_actors.web.log import WebLog

class Coordinator:
    generation = 0
    def offer(self, request, timeout):
        return "accepted"

clock = ManualClock()
intake = WebhookIntake("demo", resync=Coordinator(), clock=clock)
reader = CallReader(
    WebhookSettings(app_host="https://demo.example"),
    PortSettings(client_id="id", client_secret="s3cr3t").client_secret,
    max_body_bytes=1000, clock=clock,
)
application = WebhookApp(reader, intake, WebLog(clock))
intake.open(Listening("webhook", lambda: None))
"""
HEAD = (
    b"POST /resync HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
)


@pytest.fixture
def start(tmp_path: Path, reserve_port: Callable[[], int]) -> Iterator[Any]:
    """Starts gunicorn; returns its port. What it logs is in `tmp_path / "log"`."""
    (tmp_path / "mounted.py").write_text(PROGRAM)
    processes = []

    def start(*arguments: Any) -> Any:
        port = reserve_port()
        command = [
            sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}",
            "--chdir", str(tmp_path), *arguments, "mounted:application",
        ]  # fmt: skip
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, "HOME": str(tmp_path)}
            )
        processes.append(process)

        def listens() -> bool:
            assert process.poll() is None, (tmp_path / "log").read_text()
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=20).close()
                return True
            return False

        wait_until(listens, "a server that listens")
        return port

    yield start
    for process in processes:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()


def talk(port: int, data: Any) -> Any:
    """The status of the answer to raw bytes, and its body."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        head, _, body = b"".join(iter(lambda: sock.recv(65_536), b"")).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize("arguments", [(), ("--threads", "4"), ("--preload",)])
def test_a_malformed_chunk_is_400_and_logged_at_a_bounded_rate(
    start: Any, tmp_path: Path, arguments: Any
) -> None:
    port = start(*arguments)
    malformed = [
        b"zz\r\n{}\r\n0\r\n\r\n", b"2\r\n{}x\r\n0\r\n\r\n", b"2\r\n{", b"5\r\n{}",
        b"2\r\n{}\r\n0\r\nno trailer\r\n\r\n",
    ]  # fmt: skip
    preloaded = "--preload" in arguments  # then the listener is in the parent
    expected = 503 if preloaded else 400
    for _ in range(4):
        for chunks in malformed:
            status, body = talk(port, HEAD + chunks)
            assert status == expected
            assert json.loads(body)["ok"] is False
    assert talk(port, HEAD + b"2\r\n{}\r\n0\r\n\r\n")[0] == (503 if preloaded else 202)
    log = (tmp_path / "log").read_text()
    assert log.count("answered 400") == (0 if preloaded else 5)
    assert log.count("was forked") == (1 if preloaded else 0)
    assert "Traceback" not in log


def test_the_path_is_compared_byte_for_byte_there_too(start: Any) -> None:
    port = start()
    for path in (b"//resync", b"/re%ffsync", b"/resync/"):
        head = b"POST " + path + b" HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n"
        assert talk(port, head + b"Content-Type: application/json\r\n\r\n{}")[0] == 404
