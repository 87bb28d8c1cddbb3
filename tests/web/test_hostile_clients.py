"""What strangers can send that is no call: others are still served, and the log stays clean."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waiting import wait_until
from waitress.channel import HTTPChannel  # type: ignore[import-untyped]

from ocean_actors.sandbox import Sandbox
from ocean_actors.web.channel import CONNECTIONS, limits
from ocean_actors.web.parser import FRAMING_BYTES
from ocean_actors.web.server import HttpServer

if TYPE_CHECKING:
    from tests.web.conftest import Door

STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
LIVE = b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\n"
LINES_A_KIND = 5  # in a minute


def connect(door: Door) -> socket.socket:
    return socket.create_connection(door.address, timeout=10)


def read_all(sock: socket.socket) -> bytes:
    """What comes until the other side closes."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := sock.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def statuses(door: Door, data: Any) -> Any:
    """The statuses of the answers to raw bytes, once the server has closed the connection."""
    with connect(door) as sock:
        sock.sendall(data)
        return [int(status) for status in STATUS.findall(read_all(sock))]


def reset(sock: socket.socket) -> None:
    """Close a connection with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def assert_serves(door: Door) -> None:
    assert requests.get(door.server.url + "/health/live", timeout=10).status_code == 200


def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """What was logged, each line as it would be printed."""
    for record in caplog.records:
        if not record.name.startswith("urllib3"):
            yield logging.Formatter().format(record)


def assert_clean(caplog: pytest.LogCaptureFixture, most: Any) -> None:
    found = list(lines(caplog))
    assert len(found) <= most, found
    assert all(char.isprintable() for line in found for char in line), found


# -- urgent data, resets ---------------------------------------------------------------------


def test_urgent_data_closes_the_connection_silently(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(door) as sock:
        sock.send(b"x", socket.MSG_OOB)
        assert read_all(sock) == b""
    assert_serves(door)
    assert list(lines(caplog)) == []


def test_urgent_data_within_a_request_close_the_connection_silently(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(door) as sock:
        sock.sendall(b"POST /resync HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\nhalf")
        sock.send(b"x", socket.MSG_OOB)
        assert read_all(sock) == b""
    assert list(lines(caplog)) == []


def test_resets_during_an_answer_leave_no_line_of_the_callers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    called, gone = threading.Semaphore(0), threading.Event()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        called.release()
        gone.wait(20)
        start_response("200 OK", [])
        return [b"x" * 100_000] * 100

    server = HttpServer(app, "127.0.0.1", 0, threads=10, **limits(1000, lambda *_: None))
    server.start()
    try:
        for _ in range(10):
            sock = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            sock.sendall(b"GET /%1b%5b31mforged%0aline HTTP/1.1\r\nHost: here\r\n\r\n")
            assert called.acquire(timeout=20)
            reset(sock)
        gone.set()
        wait_until(lambda: not channels_of(server), "an end of all connections")
    finally:
        gone.set()
        server.stop()
    assert_clean(caplog, LINES_A_KIND)


def test_what_an_application_raises_is_logged_cleanly_and_seldom(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> NoReturn:
        raise ValueError(f"forged\nline \x1b[31m {environ['PATH_INFO']}")

    server = HttpServer(app, "127.0.0.1", 0, **limits(1000, lambda *_: None))
    server.start()
    try:
        for _ in range(20):
            answer = requests.get(server.url, timeout=10)
            assert answer.status_code == 500
            assert "forged" not in answer.text
    finally:
        server.stop()
    found = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(found) == LINES_A_KIND
    assert all("ValueError: forged line [31m /" in line for line in found)
    assert all("test_hostile_clients.py" in line for line in found), "the frames are missing"
    assert not any("\x1b" in line for line in found)


def test_an_application_that_calls_exit_is_answered_500(caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> NoReturn:
        sys.exit(5)

    server = HttpServer(app, "127.0.0.1", 0, threads=2, **limits(1000, lambda *_: None))
    server.start()
    try:
        for _ in range(4):
            assert requests.get(server.url, timeout=10).status_code == 500
    finally:
        server.stop()
    assert "SystemExit: 5" in caplog.text


def test_a_handler_that_fails_is_answered_500_and_logged_seldom(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    door.reception = ZeroDivisionError("forged\nline")
    for number in range(20):
        assert door.post_signed(timestamp=door.now() - number).status_code == 500
    failures = [item for item in caplog.records if item.levelno >= logging.ERROR]
    assert len(failures) == LINES_A_KIND
    assert "ZeroDivisionError: forged line" in failures[0].getMessage()


# -- ambiguous requests ------------------------------------------------------------------------


BODY = b"2\r\n{}\r\n0\r\n\r\n"
SMUGGLED = b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\n"
HEADERS = b"Host: here\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("version", "framing"),
    [
        (b"1.1", b"Content-Length: 12\r\nTransfer-Encoding: chunked\r\n"),
        (b"1.1", b"Transfer-Encoding: chunked\r\nContent-Length: 12\r\n"),
        (b"1.1", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        (b"1.1", b"Transfer-Encoding: chunked, chunked\r\n"),
        (b"1.1", b"Transfer-Encoding: gzip, chunked\r\n"),
        (b"1.1", b"Transfer-Encoding: chunked, identity\r\n"),
        (b"1.1", b"Transfer-Encoding: \r\n"),
        (b"1.1", b"Transfer-Encoding: ,chunked\r\n"),
        (b"1.1", b"Transfer-Encoding:\r\n chunked\r\n"),
        (b"1.1", b"Transfer-Encoding : chunked\r\n"),
        (b"1.1", b"Transfer-Encoding: \x0bchunked\r\n"),
        (b"1.1", b"Content-Length: 12\r\nContent-Length: 12\r\n"),
        (b"1.1", b"Content-Length: +12\r\n"),
        (b"1.1", b"Content-Length: 1_2\r\n"),
        (b"1.1", b"X: folded\r\n line\r\nContent-Length: 12\r\n"),
        (b"1.0", b"Transfer-Encoding: chunked\r\n"),
        (b"1.0", b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n"),
    ],
)
def test_ambiguous_framing_is_400_and_what_follows_is_not_served(
    door: Door, version: bytes, framing: bytes
) -> None:
    head = b"POST /resync HTTP/" + version + b"\r\n" + HEADERS + framing + b"\r\n"
    assert statuses(door, head + BODY + SMUGGLED) == [400]
    assert door.hints == 0


@pytest.mark.parametrize("version", [b"2.0", b"1.2", b"0.9", b"3.0"])
def test_another_version_is_505_and_its_body_is_not_served(door: Door, version: bytes) -> None:
    head = b"POST /resync HTTP/" + version + b"\r\n" + HEADERS + b"Content-Length: 43\r\n\r\n"
    assert statuses(door, head + SMUGGLED) == [505]


@pytest.mark.parametrize(
    ("version", "hosts", "status"),
    [
        (b"1.1", b"Host: here\r\n", 200),
        (b"1.1", b"X: y\r\nhOST:here\r\n", 200),
        (b"1.1", b"Host:\r\n", 200),
        (b"1.1", b"", 400),
        (b"1.1", b"X-Host: here\r\nX: Host: here\r\n", 400),
        (b"1.1", b"Host: here\r\nHost: here\r\n", 400),
        (b"1.1", b"Host: here\r\nX: y\r\nhost: elsewhere\r\n", 400),
        (b"1.1", b"Host:\r\nHost:\r\n", 400),
        (b"1.0", b"", 200),
        (b"1.0", b"Host: here\r\n", 200),
        (b"1.0", b"Host: here\r\nHost: elsewhere\r\n", 400),
    ],
)
def test_a_request_has_one_host_which_http_1_0_may_leave_out(
    door: Door, version: bytes, hosts: bytes, status: int
) -> None:
    head = b"GET /health/live HTTP/" + version + b"\r\n" + hosts
    assert statuses(door, head + b"Connection: close\r\n\r\n") == [status]


@pytest.mark.parametrize(
    "line", [b"GET /health/live", b"GET /health/live HTTP/11", b"GET  /x HTTP/1.1"]
)
def test_a_request_line_without_a_version_is_400(door: Door, line: bytes) -> None:
    assert statuses(door, line + b"\r\n\r\n") == [400]


@pytest.mark.parametrize(
    "chunks",
    [
        b"2\n\r\n{}\r\n0\r\n\r\n",
        b"2;a\n\r\n{}\r\n0\r\n\r\n",
        b"\r\n2\r\n{}\r\n0\r\n\r\n",
        b"0x2\r\n{}\r\n0\r\n\r\n",
        b"-2\r\n{}\r\n0\r\n\r\n",
        b"2 \r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}x\r\n0\r\n\r\n",
        b"2\r\n{}0\r\n\r\n",
    ],
)
def test_a_malformed_chunk_is_400_and_what_follows_is_not_served(door: Door, chunks: bytes) -> None:
    head = b"POST /resync HTTP/1.1\r\n" + HEADERS + b"Transfer-Encoding: chunked\r\n\r\n"
    assert statuses(door, head + chunks + SMUGGLED) == [400]


def test_chunks_that_are_in_order_are_read(door: Door) -> None:
    head = b"POST /resync HTTP/1.1\r\n" + HEADERS + b"Transfer-Encoding: Chunked\r\n"
    body = b'1;name=value;other="x"\r\n{\r\n1\r\n}\r\n0\r\nTrailer: x\r\n\r\n'
    assert statuses(door, head + b"Connection: close\r\n\r\n" + body) == [202]


@pytest.mark.parametrize(
    "framing",
    [b"2;" + b"x" * 2_000_000, b"2;" + b"x" * 2_000_000 + b"\r\n{}\r\n0\r\n\r\n",
     b"2\r\n{}\r\n0\r\n" + b"x: y\r\n" * 300_000],
)  # fmt: skip
def test_what_frames_the_chunks_is_bounded(open_door: Callable[..., Door], framing: bytes) -> None:
    door = open_door(max_body_bytes=4_000_000)
    head = b"POST /resync HTTP/1.1\r\n" + HEADERS + b"Transfer-Encoding: chunked\r\n\r\n"
    held = []

    def watch() -> None:
        for channel in channels_of(door.server):
            receiver = getattr(channel.request, "body_rcv", None)
            if receiver is not None:
                held.append(len(receiver._line) + receiver._framing)

    with connect(door) as sock:
        sock.sendall(head)
        sent = 0
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while sent < len(framing):
                sent += sock.send(framing[sent : sent + 4096])
                watch()
            sock.shutdown(socket.SHUT_WR)
        assert [int(status) for status in STATUS.findall(read_all(sock))] == [400]
    assert max(held, default=0) <= FRAMING_BYTES + 8192


# -- the path ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/resync", 202),
        ("/resync?a=b", 202),
        ("http://elsewhere/resync", 202),
        ("//resync", 404),
        ("///resync", 404),
        ("/re%ffsync", 404),
        ("/%72esync", 404),
        ("/resync%00", 404),
        ("/resync/", 404),
        ("/./resync", 404),
        ("/resync;x", 404),
        ("/Resync", 404),
        ("resync", 404),
        ("http://elsewhere?/resync", 404),
        ("http://elsewhere//resync", 404),
        ("/resync#x", 400),
        ("/re\tsync", 400),
        ("\t/resync", 400),
        ("/re\xffsync", 400),
        ("/health/live%2e", 404),
    ],
)
def test_the_path_is_compared_byte_for_byte(door: Door, target: str, status: int) -> None:
    head = f"POST {target} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n"
    rest = "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    assert statuses(door, (head + rest).encode("latin-1")) == [status]


def test_a_head_request_is_answered_without_a_body(door: Door) -> None:
    answer = requests.head(door.server.url + "/health/live", timeout=10)
    assert (answer.status_code, answer.content) == (200, b"")


# -- pipelining, slow readers --------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order_one_at_a_time(door: Door) -> None:
    calls = b"".join(
        b"GET /%d HTTP/1.1\r\nHost: here\r\n\r\n" % number + LIVE for number in range(50)
    )
    last = b"GET /health/ready HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
    assert statuses(door, calls + last) == [404, 200] * 50 + [200]


def test_a_pipelined_body_may_come_in_parts(door: Door) -> None:
    post = b"POST /resync HTTP/1.1\r\n" + HEADERS + b"Content-Length: 2\r\n\r\n{}"
    last = b"GET /health/live HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
    received = b""
    with connect(door) as sock:
        for part, answers in ((post + post + post[:-1], 2), (b"}" + post[:30], 3), (post[30:], 4)):
            sock.sendall(part)
            while len(STATUS.findall(received)) < answers:  # so that the parts arrive apart
                more = sock.recv(10_000)
                assert more, received
                received += more
        sock.sendall(last)
        assert STATUS.findall(received + read_all(sock)) == [b"202"] * 4 + [b"200"]


PIPELINERS = """
import selectors, socket, sys
address = ("127.0.0.1", int(sys.argv[1]))
flood = b"GET /health/live HTTP/1.1\\r\\nHost: here\\r\\n\\r\\n" * 60
selector = selectors.DefaultSelector()
def attack():
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(address)
    selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
for _ in range(300):
    attack()
print("ready", flush=True)
while True:
    for key, _ in selector.select():
        try:
            key.fileobj.send(flood)
            while key.fileobj.recv(65536):
                pass
        except BlockingIOError:
            continue
        except OSError:
            pass
        selector.unregister(key.fileobj)
        key.fileobj.close()
        attack()
"""

# The caller has a process of its own, and sends each request right after it has connected. In the
# server's process it would wait for the interpreter in between, and be closed for its silence.
CALLER = """
import json, socket, sys
for call in json.load(sys.stdin):
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30) as sock:
        sock.sendall(call.encode())
        print(sock.makefile("rb").readline().decode(), end="", flush=True)
"""


def test_signed_calls_are_served_while_hundreds_pipeline_without_end(door: Door) -> None:
    port = str(door.server.port)
    calls = [signed_call(door, door.now() - number) for number in range(28)]
    with subprocess.Popen(
        [sys.executable, "-c", PIPELINERS, port], stdout=subprocess.PIPE
    ) as attackers:
        try:
            assert attackers.stdout is not None
            assert attackers.stdout.readline() == b"ready\n"
            wait_until(
                lambda: len(channels_of(door.server)) > CONNECTIONS // 2,
                "more than half of the connections",
            )
            caller = subprocess.run(
                [sys.executable, "-c", CALLER, port],
                input=json.dumps(calls), capture_output=True, text=True, timeout=100, check=False,
            )  # fmt: skip
        finally:
            attackers.kill()
    assert caller.stdout.splitlines() == ["HTTP/1.1 202 Accepted"] * 28, caller.stderr
    assert_serves(door)


def signed_call(door: Door, timestamp: int) -> str:
    """A request for a resync, head and body."""
    body = json.dumps({"action": "RESYNC", "context": {"integrationId": "demo"}})
    headers = door.signed(body.encode(), timestamp=timestamp)
    head = [f"{name}: {value}" for name, value in headers.items()]
    length = f"Content-Length: {len(body)}"
    return "\r\n".join(["POST /resync HTTP/1.1", "Host: here", *head, length, "", body])


def test_a_client_that_never_reads_is_closed() -> None:
    body = b"x" * 8_000_000  # more than the buffers of both sides hold

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    server = HttpServer(
        app, "127.0.0.1", 0, **limits(1000, lambda *_: None, request_seconds=0.3, idle_seconds=60)
    )
    server.start()
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
            sock.sendall(LIVE * 20)
            wait_until(lambda: channels_of(server), "a connection")
            wait_until(lambda: not channels_of(server), "its end")
            assert len(read_all(sock)) < len(body)
    finally:
        server.stop()


def test_an_idle_connection_outlives_the_minute_of_a_load_balancer(
    open_door: Callable[..., Door],
) -> None:
    """By the numbers that the server is given; to wait for them would take too long."""
    given = limits(1000, lambda *_: None)["channel"].keywords
    assert 60 < given["idle_seconds"] <= 75
    assert given["request_seconds"] == 30


def channels_of(server: HttpServer) -> list[Any]:
    assert server._serving is not None
    connected = list(server._serving._map.values())  # a copy, as the loop changes it meanwhile
    return [item for item in connected if isinstance(item, HTTPChannel)]


# -- memory --------------------------------------------------------------------------------------


def test_large_bodies_are_refused_while_too_many_arrive(
    open_door: Callable[..., Door], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocean_actors.web.server.ARRIVING_BYTES", 300_000)
    door = open_door(max_body_bytes=200_000)
    head = b"POST /resync HTTP/1.1\r\n" + HEADERS + b"Content-Length: 150000\r\n\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            sock = stack.enter_context(connect(door))
            sock.sendall(head + b" " * 149_000)
        wait_until(
            lambda: sum(item.body_bytes for item in channels_of(door.server)) >= 290_000,
            "the bodies",
        )
        answer = door.post(b"[" + b" " * 149_000 + b"]")
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert door.post(b"[" + b" " * 50_000 + b"]").status_code == 202
    wait_until(lambda: not channels_of(door.server), "an end of all connections")
    assert door.post(b"[" + b" " * 149_000 + b"]").status_code == 202


def test_large_bodies_need_no_temporary_folder(
    open_door: Callable[..., Door], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc/read-only")
    door = open_door(max_body_bytes=1 << 20)
    body = json.dumps({"action": "RESYNC", "context": {"integrationId": "demo"}}).encode()
    assert door.post_signed(body.ljust(1 << 20)).status_code == 202
    headers = door.signed(body.ljust(1_000_000))
    chunks = iter([body.ljust(1_000_000)])
    answer = requests.post(door.server.url + "/resync", data=chunks, headers=headers, timeout=10)
    assert answer.status_code == 202


def test_large_answers_need_no_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc/read-only")
    body = b"x" * 8_000_000

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    server = HttpServer(app, "127.0.0.1", 0)
    server.start()
    try:
        assert requests.get(server.url, timeout=10).content == body
    finally:
        server.stop()


# -- garbage -------------------------------------------------------------------------------------


parts = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            b"GET /health/live HTTP/1.1\r\n", b"POST /resync HTTP/1.1\r\n",
            b"POST /\x1b[31m%0a X\r\n",
            b"GET / HTTP/2.0\r\n", b"GET http://[ HTTP/1.1\r\n", b"Host: here\r\n", b"\r\n",
            b"\r\n\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
            b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"5\r\nhello\r\n",
            b"0\r\n\r\n", b"5;x=\"\r\n", b"x: " + b"y" * 9000 + b"\r\n", b"\n", b"\0" * 30,
            b"x-port-signature: v1,\xff\r\n", b"Content-Type: application/json\r\n",
        ]
    ),
)  # fmt: skip


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    pieces=st.lists(parts, max_size=12),
    end=st.sampled_from(["half-close", "reset", "urgent", "close"]),
)
def test_garbage_costs_no_traceback_and_no_line_that_is_not_bounded(
    door: Door, caplog: pytest.LogCaptureFixture, pieces: Any, end: Any
) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError), connect(door) as sock:
        for piece in pieces:
            sock.sendall(piece)
        if end == "half-close":
            sock.shutdown(socket.SHUT_WR)
            answer = read_all(sock)
            assert b"Traceback" not in answer
            assert not re.search(rb"^HTTP/1\.[01] (?!200|202|4\d\d|505|100)", answer)
        elif end == "reset":
            reset(sock)
        elif end == "urgent":
            sock.send(b"x", socket.MSG_OOB)
    assert_serves(door)
    found = list(lines(caplog))
    assert not any("Traceback" in line or "failed" in line for line in found)
    assert all(char.isprintable() for line in found for char in line), found
    assert len(found) <= 10 * LINES_A_KIND  # a few statuses, five lines each


# -- the sandbox stands on the same server -----------------------------------------------------


def test_the_sandbox_takes_no_harm_either(caplog: pytest.LogCaptureFixture) -> None:
    with Sandbox() as sandbox:
        for attack in (b"", b"GET /sandbox/state HTTP/1.1\r\n"):
            with socket.create_connection(("127.0.0.1", sandbox.port), timeout=10) as sock:
                sock.sendall(attack)
                sock.send(b"x", socket.MSG_OOB)
                assert read_all(sock) == b""
        head = b"POST /v1/auth/access_token HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n"
        with socket.create_connection(("127.0.0.1", sandbox.port), timeout=10) as sock:
            sock.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + BODY + SMUGGLED)
            answer = read_all(sock)
        assert [int(status) for status in STATUS.findall(answer)] == [400]
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "bad_request"
        assert requests.get(sandbox.url + "/sandbox/state", timeout=10).status_code == 200
    assert list(lines(caplog)) == []
