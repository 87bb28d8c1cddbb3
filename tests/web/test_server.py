from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import requests

from ocean_actors.web.server import HttpServer

HALF_A_REQUEST = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\nonly this"


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


class Stuck:
    """An app whose calls end when told."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.release = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        self.called.set()
        self.release.wait(20)
        return hello(environ, start_response)


@pytest.fixture
def serve() -> Iterator[Callable[..., HttpServer]]:
    servers = []

    def start(app: Any = hello, port: int = 0, **options: Any) -> HttpServer:
        server = HttpServer(app, "127.0.0.1", port, **options)
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


def connect(server: HttpServer, first_words: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall(first_words)
    return connection


def is_closed(connection: Any) -> bool:
    """Waits, bounded by the connection's own time-out, for the other side to close it."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


def threads_of(server: HttpServer) -> Any:
    return [item.name for item in threading.enumerate() if f"http-{server.port}" in item.name]


def test_answers_requests(serve: Callable[..., HttpServer]) -> None:
    answer = requests.get(serve().url, timeout=30)
    assert (answer.status_code, answer.text) == (200, "hello")


def test_names_neither_itself_nor_its_version(serve: Callable[..., HttpServer]) -> None:
    server = serve()
    with closing(connect(server, b"GARBAGE\r\n\r\n")) as connection:
        refused = connection.recv(4096)
    assert "Server" not in requests.get(server.url, timeout=30).headers
    assert b"waitress" not in refused.lower()


def test_two_servers_live_side_by_side(serve: Callable[..., HttpServer]) -> None:
    def other(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", [])
        return [b"other"]

    first, second = serve(), serve(other)
    assert requests.get(first.url, timeout=30).text == "hello"
    first.stop()
    assert requests.get(second.url, timeout=30).text == "other"


def test_a_used_port_is_one_line_that_names_it_and_nothing_is_left(
    serve: Callable[..., HttpServer],
) -> None:
    taken = serve().port
    before = set(threading.enumerate())
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{taken}") as caught:
        HttpServer(hello, "127.0.0.1", taken).start()
    assert "\n" not in str(caught.value)
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("127.0.0.1", 99_999)])
def test_an_unusable_address_is_an_os_error_that_names_it(host: str, port: int) -> None:
    with pytest.raises(OSError, match=f"cannot listen on {host}:{port}"):
        HttpServer(hello, host, port).start()


def test_an_unknown_limit_is_refused_before_anything_starts() -> None:
    with pytest.raises(ValueError, match="no_such_limit"):
        HttpServer(hello, "127.0.0.1", 0, no_such_limit=1).start()


def test_limits_are_obeyed(serve: Callable[..., HttpServer]) -> None:
    server = serve(max_request_body_size=10)
    assert requests.post(server.url, data=b"x" * 11, timeout=30).status_code == 413


def test_stop_joins_its_threads_and_frees_the_port_at_once(
    serve: Callable[..., HttpServer],
) -> None:
    server = serve(threads=3)
    requests.get(server.url, timeout=30)
    assert len(threads_of(server)) == 4
    server.stop()
    assert threads_of(server) == []
    serve(port=server.port)


def test_stop_closes_idle_and_half_open_connections(serve: Callable[..., HttpServer]) -> None:
    server = serve()
    with requests.Session() as session:
        session.get(server.url, timeout=30)  # leaves its connection open
        silent, halfway = connect(server), connect(server, HALF_A_REQUEST)
        keep_alive = connect(server, b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        with closing(http.client.HTTPResponse(keep_alive)) as answer:
            answer.begin()
            assert answer.read() == b"hello"
        server.stop(timeout=30)
        for connection in (silent, halfway, keep_alive):
            assert is_closed(connection)
            connection.close()
        assert threads_of(server) == []
        serve(port=server.port)
        assert session.get(server.url, timeout=30).text == "hello"


def test_stop_lets_a_call_in_flight_finish(serve: Callable[..., HttpServer]) -> None:
    app = Stuck()
    server = serve(app, threads=1)
    with closing(connect(server, b"GET / HTTP/1.0\r\n\r\n")) as connection:
        assert app.called.wait(30)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        app.release.set()
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
        stopping.join(30)
    assert answer.endswith(b"hello")
    assert threads_of(server) == []


def test_stop_does_not_wait_for_a_call_before_it_closes_the_door(
    serve: Callable[..., HttpServer],
) -> None:
    app = Stuck()
    server = serve(app, threads=1)
    with closing(connect(server)) as idle, closing(connect(server, b"GET / HTTP/1.0\r\n\r\n")):
        assert app.called.wait(30)
        stopping = threading.Thread(target=server.stop, args=(60,))
        stopping.start()
        assert is_closed(idle)
        assert stopping.is_alive()
        with pytest.raises(ConnectionRefusedError):
            connect(server)
        app.release.set()
        stopping.join(30)


def test_stop_leaves_a_stuck_call_behind_and_says_so(
    serve: Callable[..., HttpServer], caplog: pytest.LogCaptureFixture
) -> None:
    app = Stuck()
    server = serve(app, threads=1)
    with closing(connect(server, b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")) as connection:
        assert app.called.wait(30)
        server.stop(timeout=0.05)
        assert is_closed(connection)
    (stuck,) = [item for item in threading.enumerate() if f"http-{server.port}" in item.name]
    assert stuck.daemon
    assert stuck.name in caplog.text
    serve(port=server.port)
    app.release.set()
    stuck.join(30)
    assert not stuck.is_alive()


def test_stop_leaves_no_descriptor_behind() -> None:
    """In a child, as other tests open and close files of this process."""
    code = """
import json, os, requests
from ocean_actors.web.server import HttpServer
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"x"]
def once():
    server = HttpServer(app, "127.0.0.1", 0)
    server.start()
    requests.get(server.url, timeout=30)
    server.stop()
once()
before = len(os.listdir("/proc/self/fd"))
for _ in range(5):
    once()
print(json.dumps([before, len(os.listdir("/proc/self/fd"))]))
"""
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, capture_output=True, timeout=30, check=True).stdout
    before, after = json.loads(output)
    assert before == after


def test_stopping_twice_or_before_the_start_does_nothing(serve: Callable[..., HttpServer]) -> None:
    server = HttpServer(hello, "127.0.0.1", 0)
    server.stop()
    server.start()
    server.stop()
    server.stop()


def test_a_call_may_stop_its_own_server(serve: Callable[..., HttpServer]) -> None:
    done = threading.Event()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        server.stop(timeout=1)
        done.set()
        return hello(environ, start_response)

    server = serve(app)
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url, timeout=30)
    assert done.wait(30)


def test_may_be_started_again_on_the_same_port(serve: Callable[..., HttpServer]) -> None:
    server = serve()
    port = server.port
    server.stop()
    again = serve(port=port)
    assert requests.get(again.url, timeout=30).text == "hello"
