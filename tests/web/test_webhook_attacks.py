"""Strangers at the door: garbage, floods, slow and idle connections. It answers others."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocean_actors.web.channel import CONNECTIONS
from ocean_actors.web.signature import sign

if TYPE_CHECKING:
    from tests.web.conftest import Door

STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3}) ", re.MULTILINE)
EXAMPLES = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def connect(door: Door) -> socket.socket:
    return socket.create_connection(door.address, timeout=10)


def read_all(sock: socket.socket) -> bytes:
    """What comes until the other side closes."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := sock.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def ask(
    sock: socket.socket, data: bytes = b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\n"
) -> Any:
    """The status of one request on a connection that stays open."""
    sock.sendall(data)
    answer = http.client.HTTPResponse(sock)
    try:
        answer.begin()
        answer.read()
    finally:
        answer.close()
    return answer.status


def talk(door: Door, data: Any, *, half_close: bool = False) -> Any:
    """The statuses of the answers to raw bytes."""
    with connect(door) as sock:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        answer = read_all(sock)
    assert b"waitress" not in answer.lower()
    assert b"Traceback" not in answer
    return [int(status) for status in STATUS.findall(answer)]


def assert_serves(door: Door) -> None:
    with requests.Session() as session:
        answer = session.get(door.server.url + "/health/live", timeout=10)
    assert answer.status_code == 200


# -- garbage ---------------------------------------------------------------------------------


@EXAMPLES
@given(data=st.binary(max_size=400))
def test_any_bytes_are_answered_with_2xx_or_4xx_or_not_at_all(door: Door, data: Any) -> None:
    statuses = talk(door, data, half_close=True)
    assert all(200 <= status < 300 or 400 <= status < 500 for status in statuses)
    assert_serves(door)


tokens = st.text("abcXYZ-_:;,= \t\x00\x7f\xff\"'%", max_size=20)
headers_of_any_kind = st.lists(
    st.tuples(
        st.one_of(
            tokens,
            st.sampled_from(
                ["Host", "Content-Type", "Transfer-Encoding", "Content-Length", "Expect",
                 "Connection", "X-Forwarded-For", "x-port-signature", "x-port-timestamp",
                 "Upgrade", "X_Port_Signature"]
            ),
        ),
        st.one_of(
            tokens,
            st.sampled_from(
                ["chunked", "gzip, chunked", "0", "-1", "1e3", "9" * 5000, "100-continue",
                 "application/json", "close", "keep-alive", "v1,AAAA", "1767225600"]
            ),
        ),
    ),
    max_size=6,
)  # fmt: skip
json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@EXAMPLES
@given(
    method=st.sampled_from(["POST", "GET", "PUT", "OPTIONS", "HEAD", "post", "PROXY", "A B", ""]),
    path=st.sampled_from(
        ["/resync", "//resync", "/resync/", "/resync?x=%00", "/%ff", "http://[", "*",
         "/health/ready", "http://a/resync", "/../resync", "/resync\x00"]
    ),
    headers=headers_of_any_kind | headers_of_any_kind.map(lambda some: [("Host", "here"), *some]),
    body=st.binary(max_size=200) | json_like.map(lambda value: json.dumps(value).encode()),
)  # fmt: skip
def test_any_request_is_answered_with_2xx_or_4xx(
    door: Door, method: str, path: str, headers: Any, body: Any
) -> None:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    statuses = talk(door, "\r\n".join(lines).encode("latin-1") + body, half_close=True)
    if statuses[:1] == [100]:  # waitress takes the head before the body
        statuses = statuses[1:]
        assert statuses
    assert all(200 <= status < 300 or 400 <= status < 500 for status in statuses)
    assert_serves(door)
    assert door.offered == []


@EXAMPLES
@given(event=json_like | st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("action", "context", "diff", "changelogDestination"), json_like),
))  # fmt: skip
def test_any_json_that_is_signed_has_an_answer(door: Door, event: Any) -> None:
    door.clock.advance(1)
    body = json.dumps(event).encode()
    assert door.post(body, door.signed(body)).status_code in (200, 202)
    assert door.post(body).status_code == 202


@pytest.mark.parametrize(
    "request_line",
    [
        b"POST http://[ HTTP/1.1\r\nHost: here\r\n\r\n",
        b"POST /resync HTTP/1.1\r\nHost: here\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST /resync HTTP/1.1\r\nHost: here\r\nContent-Length: 5, 5\r\n\r\nhello",
        b"POST /resync HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /resync HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /resync HTTP/1.1\nX: bare\n\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"lower /resync HTTP/1.1\r\nHost: here\r\n\r\n",
    ],
)
def test_what_is_no_http_is_400_in_json(door: Door, request_line: bytes) -> None:
    with connect(door) as sock:
        sock.sendall(request_line)
        answer = read_all(sock)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"Content-Type: application/json" in answer
    assert b"Server:" not in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "bad_request"


# -- size ------------------------------------------------------------------------------------


def test_a_body_over_the_limit_is_refused_before_it_is_sent(door: Door) -> None:
    for length in (100_001, 10**18):
        head = f"POST /resync HTTP/1.1\r\nHost: here\r\nContent-Length: {length}\r\n\r\n".encode()
        with connect(door) as sock:
            assert ask(sock, head) == 413


def test_one_who_waits_for_leave_to_send_too_much_is_refused(door: Door) -> None:
    head = (
        b"POST /resync HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\nContent-Length: 100001\r\n"
        b"Content-Type: application/json\r\n\r\n"
    )
    with connect(door) as sock:
        assert ask(sock, head) == 413


def test_one_who_sends_on_after_a_refusal_is_not_cut_off_before_it_could_read_it(
    door: Door,
) -> None:
    head = b"POST /resync HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\n\r\n"
    with connect(door) as sock:
        assert ask(sock, head) == 413
        for _ in range(10):  # a connection that was closed answers the first with a reset
            sock.sendall(bytes(10_000))
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""


def test_the_rest_of_a_body_that_was_refused_is_not_read_for_ever(door: Door) -> None:
    head = b"POST /resync HTTP/1.1\r\nHost: here\r\nContent-Length: 100000000\r\n\r\n"
    sent = 0
    with connect(door) as sock:
        sock.sendall(head)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 100_000_000:
                sent += sock.send(bytes(65_536))
    assert sent < 100_000_000
    assert_serves(door)


def test_a_flood_of_headers_is_refused(door: Door) -> None:
    statuses = talk(door, b"GET / HTTP/1.1\r\nHost: here\r\n" + b"x: y\r\n" * 100_000)
    assert statuses == [431]
    assert_serves(door)


# -- time and number -------------------------------------------------------------------------


def test_slow_clients_hold_no_thread(door: Door) -> None:
    halves = [
        b"",
        b"POST /resy",
        b"POST /resync HTTP/1.1\r\nHost: here\r\n",
        b"POST /resync HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\nhalf",
        b"POST /resync HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf",
    ]
    with contextlib.ExitStack() as stack:
        for half in halves * 8:
            stack.enter_context(connect(door)).sendall(half)
        assert_serves(door)
        assert door.post_signed().status_code == 202


def test_connections_silent_for_long_make_room_for_new_ones(door: Door) -> None:
    with contextlib.ExitStack() as stack:
        oldest = stack.enter_context(connect(door))
        for _ in range(CONNECTIONS + 100):
            sock = stack.enter_context(connect(door))
            assert ask(sock) == 200
        assert_serves(door)
        assert door.post_signed().status_code == 202
        assert oldest.recv(1) == b""
        assert ask(sock) == 200


def test_one_that_talks_all_the_time_is_not_taken_for_silent(door: Door) -> None:
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(connect(door))
        for number in range(2 * CONNECTIONS):
            stack.enter_context(connect(door))
            if number % 50 == 0:
                assert ask(busy) == 200


def test_a_request_that_trickles_is_cut_off(open_door: Callable[..., Door]) -> None:
    door = open_door(timing={"request_seconds": 0.2})
    with connect(door) as sock:
        sock.sendall(b"POST /resync HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\n")
        sock.settimeout(0.05)  # the pace of the trickle, and how we notice the end
        ended = False
        for _ in range(400):
            try:
                sock.sendall(b" ")
                ended = sock.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
            break
    assert ended


def test_a_silent_connection_is_closed_after_a_while(open_door: Callable[..., Door]) -> None:
    door = open_door(timing={"idle_seconds": 1})
    with connect(door) as sock:
        sock.sendall(b"POST /resync HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\nhalf")
        assert sock.recv(1) == b""


def test_signed_calls_are_served_while_others_flood(door: Door) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            sock = stack.enter_context(connect(door))
            sock.sendall(b"POST /resync HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{}" * 20)
        for number in range(5):
            body = json.dumps({"action": "RESYNC", "context": {"integrationId": "demo"}}).encode()
            moment = door.now() + number
            headers = {
                "Content-Type": "application/json",
                "x-port-timestamp": str(moment),
                "x-port-signature": sign(b"s3cr3t", moment, body),
            }
            assert door.post(body, headers).status_code == 202
