"""What is not ours is passed on to the integration's own server, and its answers back."""

from __future__ import annotations

import contextlib
import http.client
import io
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standin import Answer, StandIn, headers_of, ok, read_request, reset, says

from ocean_actors.actors import SystemClock
from ocean_actors.group.app import GroupApp, Mounted
from ocean_actors.ocean.address import ChildAddress
from ocean_actors.ocean.proxy import OceanProxy, ProxyTimes
from ocean_actors.web.answers import Answer as OurAnswer
from ocean_actors.web.channel import limits
from ocean_actors.web.endpoint import EndpointApp
from ocean_actors.web.health import Health
from ocean_actors.web.log import WebLog
from ocean_actors.web.server import HttpServer, SlowCalls
from ocean_actors.web.tasks import WAITED
from ocean_actors.web.wsgi import StartResponse

MAX_BODY = 1 << 20
WITHIN = 30.0


class Front:
    """Our server before a stand-in for the integration's."""

    passed: StandIn

    def __init__(self) -> None:
        self.address = ChildAddress()
        self._ends: list[Callable[[], None]] = []

    def child(self, answer: Answer) -> StandIn:
        """Start the integration's server."""
        child = StandIn(answer)
        self._ends.append(child.stop)
        self.address.url = child.url
        return child

    def serve(
        self,
        *,
        slow: int = 4,
        times: ProxyTimes | None = None,
        mounted: Any = None,
        max_body_bytes: int = MAX_BODY,
        **timing: float,
    ) -> Front:
        """Start our server, whose proxy has so many threads."""
        log = WebLog(SystemClock())
        proxy = OceanProxy(self.address, log, max_body_bytes=max_body_bytes, times=times)
        app = EndpointApp(
            lambda: Health(listening=True, port=True), log,
            metrics=lambda: (b"ours", "text/plain"), mounted=mounted, proxy=proxy,
        )  # fmt: skip
        self.server = HttpServer(
            app, "127.0.0.1", 0,
            threads=2, slow=SlowCalls(app.is_proxied, slow), outbuf_high_watermark=1 << 20,
            **limits(max_body_bytes, log.refused, **timing),  # type: ignore[arg-type]  # no counts
        )  # fmt: skip
        self.server.start()
        self._ends.append(self.server.stop)
        return self

    def get(self, path: str, **keywords: Any) -> requests.Response:
        """Send a GET."""
        return requests.get(f"{self.server.url}{path}", timeout=WITHIN, **keywords)

    def connect(self) -> socket.socket:
        """Connect to our server."""
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=WITHIN)

    def send(self, data: bytes) -> bytes:
        """Send raw bytes; returns what comes until our server closes."""
        with self.connect() as connection, contextlib.suppress(ConnectionResetError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return read_all(connection)
        return b""

    def end(self) -> None:
        """Stop all servers."""
        for end in self._ends:
            end()


@pytest.fixture
def front() -> Iterator[Front]:
    front = Front()
    yield front
    front.end()


def read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def test_a_call_of_http_1_0_without_a_host_passes_with_one(front: Front) -> None:
    child = front.serve().child(ok())
    assert front.send(b"GET /integration/a HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200 OK\r\n")
    (host,) = headers_of(child.requests[0])[b"host"]
    assert host.endswith(f":{front.server.port}".encode())


def test_a_call_passes_as_it_was_sent(front: Front) -> None:
    child = front.serve().child(ok())
    target = "/integration/a%2Fb/%2e%2E//c;d|e?q=%20&a=+b%zz&q"
    answer = front.send(
        f"PUT {target} HTTP/1.1\r\nHost: shop.example:8443\r\nX-Hub-Signature-256: sha256=\xe9\r\n"
        "Cookie: a=1; b=2\r\nContent-Type: application/x-thing\r\nContent-Length: 5\r\n\r\n"
        "a\0b\r\n".encode("latin-1")
    )
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\ndone")
    (request,) = child.requests
    assert request.startswith(f"PUT {target} HTTP/1.1\r\n".encode())
    assert request.endswith(b"\r\n\r\na\0b\r\n")
    assert headers_of(request) == {
        b"host": [b"shop.example:8443"],
        b"x-hub-signature-256": [b"sha256=\xe9"],
        b"cookie": [b"a=1; b=2"],
        b"content-type": [b"application/x-thing"],
        b"content-length": [b"5"],
        b"x-forwarded-for": [b"127.0.0.1"],
        b"x-forwarded-host": [b"shop.example:8443"],
        b"x-forwarded-proto": [b"http"],
        b"connection": [b"close"],
    }


def test_an_answer_passes_as_it_was_sent(front: Front) -> None:
    front.serve().child(
        says(
            b"HTTP/1.1 418 I'm a teapot\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
            b"X-Request-ID: \xe9\r\nContent-Type: text/x-tea\r\nContent-Length: 3\r\n\r\ntea"
        )
    )
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", front.server.port)) as client:
        client.request("GET", "/tea")
        answer = client.getresponse()
        assert (answer.status, answer.reason, answer.read()) == (418, "I'm a teapot", b"tea")
        assert answer.headers.get_all("set-cookie") == ["a=1", "b=2"]
        assert answer.headers["x-request-id"] == "\xe9"
        assert answer.headers["content-type"] == "text/x-tea"
        client.request("GET", "/tea")  # the connection stays
        assert client.getresponse().status == 418


def test_headers_of_one_connection_are_not_passed_on(front: Front) -> None:
    child = front.serve().child(
        ok(
            b"x", b"Connection: keep-alive, X-Own", b"X-Own: 1", b"Keep-Alive: timeout=5",
            b"Proxy-Authenticate: Basic", b"Upgrade: h2c", b"Trailer: X", b"Server: uvicorn",
        )
    )  # fmt: skip
    answer = front.send(
        b"POST /x HTTP/1.1\r\nHost: here\r\nConnection: close, X-Mine, Host\r\nX-Mine: 1\r\n"
        b"Keep-Alive: 5\r\nTE: trailers\r\nUpgrade: websocket\r\nProxy-Authorization: x\r\n"
        b"Proxy-Connection: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx"
    )
    assert set(headers_of(child.requests[0])) == {
        b"host", b"connection", b"content-length",
        b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto",
    }  # fmt: skip
    assert b"X-Own" not in answer
    assert set(headers_of(answer[answer.index(b"HTTP/1.1 200") :])) <= {
        b"connection", b"content-length", b"date",
    }  # fmt: skip


def test_what_proxies_before_us_say_is_kept(front: Front) -> None:
    child = front.serve().child(ok())
    front.get(
        "/x",
        headers={
            "X-Forwarded-For": "203.0.113.7, 10.0.0.1",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "public.example",
        },
    )
    headers = headers_of(child.requests[0])
    assert headers[b"x-forwarded-for"] == [b"203.0.113.7, 10.0.0.1, 127.0.0.1"]
    assert headers[b"x-forwarded-proto"] == [b"https"]
    assert headers[b"x-forwarded-host"] == [b"public.example"]


def resync(_environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    return OurAnswer(202, b"ours").send(start_response)


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/metrics", 200, b"ours"),
        ("/health/live", 200, b'{"ok": true}'),
        ("/resync", 202, b"ours"),
        ("/health/more", 404, None),
        ("/live/tracker", 404, None),
        ("/%6Detrics", 404, None),
        ("/%68ealth/live", 404, None),
        ("/res%79nc", 404, None),
        ("/liv%65%2Ftracker", 404, None),
    ],
)
def test_our_paths_are_not_passed_on(
    front: Front, path: str, status: int, body: bytes | None
) -> None:
    child = front.serve(mounted=resync).child(ok(b"theirs"))
    answer = front.send(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    assert int(answer.split()[1]) == status
    assert body is None or answer.endswith(b"\r\n\r\n" + body)
    assert child.requests == []


def test_resync_is_theirs_unless_our_listener_serves_it(front: Front) -> None:
    front.serve().child(ok(b"theirs"))
    assert front.get("/resync").content == b"theirs"


@pytest.mark.parametrize(
    "line",
    ["OPTIONS * HTTP/1.0", "CONNECT there:80 HTTP/1.0", "TRACE /x HTTP/1.0", "GET x HTTP/1.0"],
)
def test_what_asks_for_more_than_a_path_is_not_passed_on(front: Front, line: str) -> None:
    child = front.serve().child(ok())
    assert front.send(f"{line}\r\n\r\n".encode()).split()[1] in (b"404", b"405", b"400")
    assert child.requests == []


def test_a_target_with_a_host_is_passed_on_as_its_path(front: Front) -> None:
    child = front.serve().child(ok())
    front.send(b"GET http://other.example/x?y HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    assert child.requests[0].startswith(b"GET /x?y HTTP/1.1\r\n")


def test_a_body_in_chunks_is_passed_on_with_its_length(front: Front) -> None:
    child = front.serve().child(ok())
    front.send(
        b"POST /x HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n"
    )
    headers = headers_of(child.requests[0])
    assert child.requests[0].endswith(b"\r\n\r\nhello world")
    assert headers[b"content-length"] == [b"11"]
    assert b"transfer-encoding" not in headers
    assert b"x-trailer" not in headers


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nConnection: close", b"HTTP/1.0 200 OK"])
def test_an_answer_may_end_with_its_connection(front: Front, head: bytes) -> None:
    front.serve().child(says(head + b"\r\n\r\nall of it"))
    assert front.get("/x").content == b"all of it"


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("status", [b"200 OK", b"204 No Content", b"304 Not Modified"])
def test_answers_without_a_body_end_with_their_head(
    front: Front, method: str, status: bytes
) -> None:
    length = b"" if status.startswith(b"204") else b"Content-Length: 4\r\n"
    body = b"done" if method == "GET" and status.startswith(b"200") else b""
    front.serve().child(says(b"HTTP/1.1 " + status + b"\r\n" + length + b"\r\n" + body))
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", front.server.port, timeout=WITHIN)
    ) as client:
        for _ in range(2):  # the second on the same connection
            client.request(method, "/x")
            answer = client.getresponse()
            assert b"%d" % answer.status == status[:3]
            assert answer.read() == body


def test_each_of_several_integrations_is_called_below_its_identifier() -> None:
    log = WebLog(SystemClock())
    members, children = [], []
    for name in ("shop", "b/log"):
        children.append(StandIn(ok(name.encode())))
        address = ChildAddress()
        address.url = children[-1].url
        proxy = OceanProxy(address, log, max_body_bytes=MAX_BODY)
        app = EndpointApp(Health, log, proxy=proxy)
        members.append(Mounted(name, app, Health, app.is_proxied))
    group = GroupApp(members, log, share=2)
    assert group.is_proxied("/shop/integration/x")
    assert group.is_proxied("/b%2Flog/integration/x")
    for path in ("/shop/health/live", "/shop/%6Detrics", "/health", "/nobody/integration/x", "/"):
        assert not group.is_proxied(path)
    server = HttpServer(group, "127.0.0.1", 0, slow=SlowCalls(group.is_proxied, 2))
    server.start()
    try:
        got = requests.get(f"{server.url}/shop/integration/x?y", timeout=WITHIN).content
        assert got == b"shop"
        got = requests.get(f"{server.url}/b%2Flog/integration/x", timeout=WITHIN).content
        assert got == b"b/log"
    finally:
        server.stop()
        for child in children:
            child.stop()
    (request,) = children[0].requests
    assert request.startswith(b"GET /integration/x?y HTTP/1.1\r\n")
    assert headers_of(request)[b"x-forwarded-prefix"] == [b"/shop"]


# --- large bodies -----------------------------------------------------------------------------


def test_a_large_answer_takes_no_more_memory_than_a_small_one(front: Front) -> None:
    total, piece = 96 << 20, bytes(1 << 20)
    sent = 0
    blocked = threading.Event()

    def answer(connection: socket.socket, _request: bytes) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        connection.setblocking(False)
        while sent < total:
            try:
                sent += connection.send(piece[: total - sent])
            except BlockingIOError:
                connection.settimeout(1.0)
                try:
                    sent += connection.send(piece[: total - sent])
                except TimeoutError:  # nothing was taken for a second
                    blocked.set()
                    connection.settimeout(60.0)
                    sent += connection.send(piece[: total - sent])
                connection.setblocking(False)

    front.serve().child(answer)
    with front.connect() as client:
        client.sendall(b"GET /large HTTP/1.0\r\n\r\n")
        assert blocked.wait(WITHIN)
        assert sent < total // 2  # what the proxy and the kernel hold
        received = 0
        while part := client.recv(1 << 20):
            received += len(part)
    assert received > total


def test_an_answer_is_passed_on_piece_by_piece(front: Front) -> None:
    seen = threading.Event()

    def answer(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        assert seen.wait(WITHIN)
        connection.sendall(b"6\r\nsecond\r\n0\r\n\r\n")

    front.serve().child(answer)
    response = front.get("/events", stream=True)
    pieces = response.iter_content(None)
    assert next(pieces) == b"first"
    seen.set()
    assert b"".join(pieces) == b"second"


def test_a_large_body_is_passed_on(front: Front) -> None:
    child = front.serve(max_body_bytes=8 << 20).child(ok())
    body = bytes(range(256)) * (8 << 12)
    requests.post(f"{front.server.url}/x", data=body, timeout=WITHIN)
    assert child.requests[0].partition(b"\r\n\r\n")[2] == body


def test_a_body_over_the_limit_is_refused(front: Front) -> None:
    child = front.serve(max_body_bytes=1000).child(ok())
    answer = requests.post(f"{front.server.url}/x", data=bytes(1001), timeout=WITHIN)
    assert answer.status_code == 413
    assert child.requests == []


@pytest.mark.parametrize("reads_on", [True, False])
def test_an_answer_that_comes_before_the_body_was_read_is_passed_on(
    front: Front, reads_on: bool
) -> None:
    front.serve(max_body_bytes=32 << 20)
    listening = socket.create_server(("127.0.0.1", 0))
    front.address.url = f"http://127.0.0.1:{listening.getsockname()[1]}"

    def answer() -> None:
        connection, _ = listening.accept()
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
        connection.shutdown(socket.SHUT_WR)
        if reads_on:
            with contextlib.suppress(OSError):
                read_all(connection)
        connection.close()  # which is a reset, if bytes have not been read

    thread = threading.Thread(target=answer)
    thread.start()
    answered = requests.post(f"{front.server.url}/x", data=bytes(24 << 20), timeout=WITHIN)
    thread.join()
    listening.close()
    assert (answered.status_code, answered.content) == (401, b"no")


# --- an integration that is not well ----------------------------------------------------------


def test_calls_are_answered_503_while_no_integration_runs(
    front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    front.serve()
    answer = front.get("/integration/x")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["message"] == "the integration is not running now"
    assert front.send(b"HEAD /x HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\n")
    assert caplog.records == []


def test_calls_are_answered_503_when_its_process_has_just_ended(front: Front) -> None:
    front.serve()
    with socket.create_server(("127.0.0.1", 0)) as gone:
        front.address.url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    answer = front.get("/integration/x")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_a_call_goes_nowhere_else_if_the_process_is_replaced_while_its_body_is_read(
    front: Front,
) -> None:
    child = front.child(ok())

    class Body(io.BytesIO):
        """A body; once it is read, there is no address."""

        def read(self, size: int | None = -1) -> bytes:
            front.address.url = None
            return super().read(size)

    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/x", "SERVER_NAME": "shop", "SERVER_PORT": "80",
        "CONTENT_LENGTH": "1", "wsgi.input": Body(b"x"),
    }  # fmt: skip
    proxy = OceanProxy(front.address, WebLog(SystemClock()), max_body_bytes=MAX_BODY)
    statuses: list[str] = []
    body = proxy(environ, lambda status, *_: statuses.append(status))
    assert (statuses, b"".join(body)) == (["200 OK"], b"done")
    getattr(body, "close", lambda: None)()
    assert len(child.requests) == 1


def hang(connection: socket.socket, _request: bytes) -> None:
    with contextlib.suppress(OSError):
        connection.recv(1)  # until the other side closes


def trickle(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    connection.settimeout(0.01)
    while True:
        try:
            if not connection.recv(1):
                return
        except TimeoutError:
            connection.sendall(b"x")


@pytest.mark.parametrize("answer", [hang, trickle])
def test_an_integration_that_does_not_answer_in_time_is_answered_504(
    front: Front, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    front.serve(times=ProxyTimes(answer=0.3, call=0.5)).child(answer)
    answered = front.get("/integration/x")
    assert (answered.status_code, answered.headers["retry-after"]) == (504, "1")
    (line,) = caplog.messages
    assert line == (
        "answered 504 to 127.0.0.1: GET /integration/x: the integration did not answer in time"
    )


GARBAGE = {
    "nothing": says(),
    "a reset": reset,
    "text": says(b"hello\r\n\r\n"),
    "a long line": says(b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n"),
    "many headers": says(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n"),
    "a status that is no number": says(b"HTTP/1.1 two OK\r\n\r\n"),
    "a status that is no answer": says(b"HTTP/1.1 999 OK\r\n\r\n"),
    "another protocol": says(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_no_answer_is_answered_502(front: Front, name: str) -> None:
    front.serve().child(GARBAGE[name])
    answered = front.get("/integration/x")
    assert (answered.status_code, answered.headers["retry-after"]) == (502, "1")


def test_what_would_forge_an_answer_is_left_out(front: Front) -> None:
    front.serve().child(
        says(
            b"HTTP/1.1 200 O\x1bK\r\nX-Folded: a\r\n b\r\nContent-Length: 2\r\nbad name: 1\r\n"
            b"Content-Length: 2\r\nX-Good: 1\r\n\r\nok"
        )
    )
    answer = front.send(b"GET /x HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert headers_of(answer)[b"content-length"] == [b"2"]
    assert b"\x1b" not in answer
    assert answer.endswith(b"\r\n\r\nok")
    assert headers_of(answer)[b"x-folded"] == [b"a b"]


@pytest.mark.parametrize(
    "head", [b"Content-Length: 100\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n64\r\n"]
)
@pytest.mark.parametrize("end", [says(), reset, hang])
def test_an_answer_that_ends_early_is_not_passed_on_as_a_whole_one(
    front: Front, head: bytes, end: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(connection: socket.socket, request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"only this")
        end(connection, request)

    front.serve(times=ProxyTimes(piece=0.2)).child(answer)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        front.get("/x")
    front.server.stop()
    messages = [each for each in caplog.messages if "cut short" in each]
    assert len(messages) == 1 or end is reset  # the reset may overtake the answer
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


# --- calls that wait --------------------------------------------------------------------------


def test_probes_are_answered_while_all_other_calls_wait(front: Front) -> None:
    release = threading.Event()
    waiting = threading.Semaphore(0)

    def answer(connection: socket.socket, request: bytes) -> None:
        waiting.release()
        assert release.wait(WITHIN)
        ok()(connection, request)

    child = front.serve(slow=2, mounted=resync).child(answer)
    statuses: list[int] = []
    callers = [
        threading.Thread(target=lambda: statuses.append(front.get("/integration/x").status_code))
        for _ in range(6)
    ]
    for caller in callers:
        caller.start()
    for _ in range(2):
        assert waiting.acquire(timeout=WITHIN)
    for _ in range(3):
        assert front.get("/health/live").status_code == 200
        assert front.get("/resync").status_code == 202
    assert len(child.requests) == 2
    release.set()
    for caller in callers:
        caller.join(WITHIN)
    assert statuses == [200] * 6


def test_a_call_that_waited_too_long_is_not_passed_on(front: Front) -> None:
    child = front.serve().child(ok())
    statuses: list[str] = []
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/x", "SERVER_NAME": "shop", "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(),
    }  # fmt: skip
    log = WebLog(SystemClock())
    proxy = OceanProxy(front.address, log, max_body_bytes=MAX_BODY, times=ProxyTimes(queue=30.0))
    for waited in (29.9, 30.1):
        body = proxy({**environ, WAITED: waited}, lambda status, *_: statuses.append(status))
        assert list(body)
        getattr(body, "close", lambda: None)()
    assert statuses == ["200 OK", "503 Service Unavailable"]
    assert len(child.requests) == 1


def test_a_call_is_told_how_long_it_waited_for_a_thread() -> None:
    waited: list[float] = []

    def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        waited.append(environ[WAITED])
        return OurAnswer(200, b"ok").send(start_response)

    server = HttpServer(app, "127.0.0.1", 0, threads=1)
    server.start()
    try:
        requests.get(server.url, timeout=WITHIN)
    finally:
        server.stop()
    assert 0 <= waited[0] < WITHIN


class Endless:
    """An answer without an end; `closed` is set once nobody takes it any more."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def __call__(self, connection: socket.socket, _request: bytes) -> None:
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                connection.sendall(bytes(65_536))
        except OSError:
            self.closed.set()


def test_a_caller_that_leaves_ends_the_call(front: Front) -> None:
    answer = Endless()
    front.serve(slow=1).child(answer)
    with front.connect() as client:
        client.sendall(b"GET /x HTTP/1.0\r\n\r\n")
        client.recv(1)
        reset(client)
    assert answer.closed.wait(WITHIN)


def test_a_caller_that_reads_slowly_does_not_keep_a_thread_for_ever(front: Front) -> None:
    answer = Endless()
    front.serve(slow=1, answer_seconds=0.5, request_seconds=3600.0).child(answer)
    until = time.monotonic() + WITHIN
    with front.connect() as client:
        client.sendall(b"GET /x HTTP/1.0\r\n\r\n")
        while not answer.closed.wait(0.05):
            assert time.monotonic() < until
            client.recv(1000)


# --- hostile calls ----------------------------------------------------------------------------

HOSTILE = [
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
        b"Transfer-Encoding: x\r\n\r\n0\r\n\r\n"
    ),
    b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 40\r\n\r\nGET /y",
    b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nbody",
    b"GET /x HTTP/1.1\r\nHost: a\r\nX: a\r\n Content-Length: 30\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: a\r\nX: a\nContent-Length: 30\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /x\x0bHTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /x\rGET /y HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]
"""Requests that servers understand differently."""


@pytest.mark.parametrize("request_bytes", HOSTILE)
def test_what_is_ambiguous_is_refused_and_not_passed_on(front: Front, request_bytes: bytes) -> None:
    child = front.serve().child(ok())
    answer = front.send(request_bytes + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.split()[1] in (b"400", b"505")
    assert child.requests == []


def test_headers_that_only_look_like_the_length_change_nothing(front: Front) -> None:
    child = front.serve().child(ok())
    front.send(
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent_Length: 100\r\nTransfer_Encoding: chunked\r\n"
        b"Connection: close, Content-Length\r\nContent-Length: 4\r\n\r\nbody"
    )
    (request,) = child.requests
    assert headers_of(request)[b"content-length"] == [b"4"]
    assert b"chunked" not in request
    assert request.endswith(b"\r\n\r\nbody")


def test_each_of_several_calls_on_a_connection_is_passed_on_by_itself(front: Front) -> None:
    child = front.serve().child(ok())
    one = b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    front.send(one % 1 + one % 2 + one % 3)
    assert [each.split()[1] for each in child.requests] == [b"/1", b"/2", b"/3"]
    assert all(each.endswith(b"\r\n\r\nabc") for each in child.requests)


LINES = st.sampled_from(
    [
        b"Content-Length: 9", b"Content-Length: 0", b"content-length: 09", b"Content-Length: 9, 9",
        b"Content-Length: -1", b"Content-Length: 9\t", b"Content_Length: 9",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity",
        b"Transfer-Encoding:chunked ",
        b"Transfer-Encoding: gzip, chunked", b"Transfer_Encoding: chunked", b"TE: trailers",
        b"Connection: close", b"Connection: content-length", b"Connection: Host",
        b"Host: b", b"X: \xff", b"X: a\x00b", b" folded: 1", b"X : 1", b"Expect: 100-continue",
    ]
)  # fmt: skip
BODIES = st.sampled_from([b"", b"9\r\nsome body\r\n0\r\n\r\n", b"some body", b"0\r\n\r\n"])


@given(
    method=st.sampled_from([b"GET", b"POST", b"DELETE", b"HEAD"]),
    lines=st.lists(LINES, max_size=4),
    body=BODIES,
)
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_what_is_passed_on_is_always_one_whole_call(
    front: Front, method: bytes, lines: list[bytes], body: bytes
) -> None:
    if front.address.url is None:
        front.passed = front.serve().child(ok())
    front.passed.requests.clear()
    head = b"\r\n".join([method + b" /sent HTTP/1.1", b"Host: a", *lines])
    front.send(head + b"\r\n\r\n" + body + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
    for request in front.passed.requests:
        got, _, rest = request.partition(b"\r\n\r\n")
        headers = headers_of(got + b"\r\n\r\n")
        assert got.split()[1] in (b"/sent", b"/next")
        assert not {b"transfer-encoding", b"te", b"expect"} & set(headers)
        assert headers[b"connection"] == [b"close"]
        assert len(headers[b"host"]) == 1
        lengths = headers.get(b"content-length", [b"0"])
        assert lengths == [b"%d" % len(rest)]


def test_the_stand_in_reads_what_it_is_sent() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcd")
        assert read_request(theirs).endswith(b"abcd")
