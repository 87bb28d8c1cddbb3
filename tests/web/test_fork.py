"""A system that was started before a fork: its copy in the child says that it is none."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import requests

from ocean_actors.web.server import HttpServer

if TYPE_CHECKING:
    from tests.web.conftest import Door


def in_child(work: Any) -> Any:
    """What `work` returns (JSON) in a forked child."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write_end, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as answer:
        found = answer.read()
    os.waitpid(child, 0)
    return json.loads(found)


def call(app: Any, method: str, path: str, body: bytes = b"", **headers: Any) -> Any:
    statuses = []
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **{"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()},
    }  # fmt: skip
    answer = b"".join(app(environ, lambda status, _headers: statuses.append(status)))
    return [statuses[0][:3], json.loads(answer)]


class Keeping(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self.said = said

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def test_the_copy_in_a_forked_child_answers_503_and_says_so_once(door: Door) -> None:
    body = b'{"action": "RESYNC", "context": {"integrationId": "demo"}}'
    signed = door.signed(body)
    del signed["Content-Type"]

    def work() -> Any:
        said: list[str] = []
        logging.getLogger("ocean_actors").addHandler(Keeping(said))
        answers = [
            call(door.app, "POST", "/resync", body, **signed),
            call(door.app, "POST", "/resync", b"{}"),
            call(door.app, "GET", "/health/ready"),
            call(door.app, "GET", "/health/live"),
        ]
        return [answers, said]

    (resync, hint, ready, live), said = in_child(work)
    assert resync[0] == hint[0] == ready[0] == "503"
    assert ready[1] == {"ok": False, "listening": False, "port": True, "standby": False}
    assert live[0] == "200"
    assert len(said) == 1
    assert "was forked" in said[0]
    assert door.offered == []
    assert door.hints == 0
    assert door.post_signed(body).status_code == 202  # the parent goes on


def test_a_system_that_is_started_after_the_fork_listens_in_the_child(door: Door) -> None:
    door.intake.shut()

    def work() -> Any:
        door.open()
        return call(door.app, "GET", "/health/ready")

    assert in_child(work)[0] == "200"


@pytest.mark.parametrize("how", ["stop", "connection"])
def test_a_forked_child_keeps_neither_port_nor_connections(how: str) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    server = HttpServer(app, "127.0.0.1", 0)
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as caller:
        caller.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        assert caller.recv(4096).startswith(b"HTTP/1.1 200")
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(write_end)
            os.read(read_end, 1)  # lives on until the test is over
            os._exit(0)
        try:
            if how == "connection":
                assert requests.get(server.url, timeout=10).text == "ok"
            server.stop()
            assert caller.recv(1) == b""
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", server.port), timeout=10)
        finally:
            os.close(write_end)
            os.close(read_end)
            os.waitpid(child, 0)
