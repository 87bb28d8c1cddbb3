from __future__ import annotations

import contextlib
import functools
import gzip
import queue
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
from jumping_clock import JumpingClock
from requests.adapters import HTTPAdapter

from ocean_actors.actors import Cancelled, CancelToken
from ocean_actors.connections import AnswerTooLong
from ocean_actors.retry import ONCE, Retry
from ocean_actors.session import CancellableSession
from ocean_actors.testing import ManualClock

HANG_UP = b""
HALF = b"HTTP/1.1 200 Said\r\nContent-Length: 10\r\n\r\n12345"

SOON = 30  # seconds; bounds what must happen at once, on a machine that may be busy


class Stopped(Cancelled):
    pass


class Server(socketserver.ThreadingTCPServer):
    """Answers each connection's requests with the next bytes of `script`.

    At the end of the script it says nothing more until `released`.
    """

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.script: queue.Queue[bytes] = queue.Queue()
        self.heads: queue.Queue[bytes] = queue.Queue()
        self.connections = 0
        self.released = threading.Event()
        self.context = context
        super().__init__(("127.0.0.1", 0), Connection)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://{self.address}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that hangs up is what these tests are about


class Connection(socketserver.BaseRequestHandler):
    server: Server

    def handle(self) -> None:
        connection = self.request
        self.server.connections += 1
        if self.server.context is not None:
            connection = self.server.context.wrap_socket(connection, server_side=True)
        with connection, connection.makefile("rb") as lines:
            while head := b"".join(iter(lambda: lines.readline().strip() or b"", b"")):
                self.server.heads.put(head)
                try:
                    said = self.server.script.get_nowait()
                except queue.Empty:
                    self.server.released.wait(SOON * 3)
                    return
                connection.sendall(said)
                if said in (HANG_UP, HALF):
                    return


def serve(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serve(Server())


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_server(authority: trustme.CA) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    yield from serve(Server(context))


@pytest.fixture
def token() -> CancelToken:
    return CancelToken(Stopped)


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


@pytest.fixture
def session(token: CancelToken, clock: JumpingClock) -> Iterator[CancellableSession]:
    with CancellableSession(token, clock=clock, jitter=lambda: 0.0) as session:
        yield session


@pytest.fixture
def elsewhere() -> Iterator[Callable[..., Future[Any]]]:
    """Run a call in another thread."""
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit


def answer(status: int, body: bytes = b"", **headers: Any) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def assert_stopped(call: Any) -> None:
    with pytest.raises(Stopped, match="enough"):
        call.result(SOON)


# -- ends at once ----------------------------------------------------------------------------------


def test_a_call_that_waits_for_the_first_byte_ends_when_the_token_is_cancelled(
    server: Server,
    session: CancellableSession,
    token: CancelToken,
    elsewhere: Callable[..., Future[Any]],
) -> None:
    call = elsewhere(session.get, server.url)
    server.heads.get(timeout=SOON)
    token.cancel("enough")
    assert_stopped(call)


def test_all_calls_of_a_session_end(
    server: Server,
    session: CancellableSession,
    token: CancelToken,
    elsewhere: Callable[..., Future[Any]],
) -> None:
    calls = [elsewhere(session.post, server.url, data=b"x") for _ in range(3)]
    for _ in calls:
        server.heads.get(timeout=SOON)
    token.cancel("enough")
    for call in calls:
        assert_stopped(call)


def test_a_call_over_a_connection_that_was_used_before_ends_as_well(
    server: Server,
    session: CancellableSession,
    token: CancelToken,
    elsewhere: Callable[..., Future[Any]],
) -> None:
    server.script.put(answer(200))
    session.get(server.url)
    server.heads.get(timeout=SOON)
    call = elsewhere(session.get, server.url)
    server.heads.get(timeout=SOON)
    token.cancel("enough")
    assert_stopped(call)


def test_a_call_over_tls_ends(
    tls_server: Server,
    authority: trustme.CA,
    session: CancellableSession,
    token: CancelToken,
    elsewhere: Callable[..., Future[Any]],
    tmp_path: Path,
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    call = elsewhere(session.get, tls_server.url, verify=str(tmp_path / "ca.pem"))
    tls_server.heads.get(timeout=SOON)
    token.cancel("enough")
    assert_stopped(call)


def test_a_tls_handshake_that_hangs_ends(
    session: CancellableSession, token: CancelToken, elsewhere: Callable[..., Future[Any]]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        call = elsewhere(session.get, f"https://127.0.0.1:{listener.getsockname()[1]}/")
        with listener.accept()[0] as peer:
            assert peer.recv(1)  # the client's hello
            token.cancel("enough")
            assert_stopped(call)


def test_a_call_that_cannot_connect_ends(
    session: CancellableSession,
    token: CancelToken,
    elsewhere: Callable[..., Future[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolved = threading.Event()
    resolve = socket.getaddrinfo

    def tell(*args: Any) -> Any:
        found = resolve(*args)
        resolved.set()
        return found

    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # more than the kernel queues: the next connection gets no answer
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        monkeypatch.setattr(socket, "getaddrinfo", tell)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        call = elsewhere(session.get, url, timeout=SOON * 3)
        assert resolved.wait(SOON)
        token.cancel("enough")
        assert_stopped(call)


def test_a_body_that_stops_flowing_ends(
    server: Server,
    session: CancellableSession,
    token: CancelToken,
    elsewhere: Callable[..., Future[Any]],
) -> None:
    server.script.put(answer(200, b"0123456789").replace(b": 10", b": 20"))
    response = session.get(server.url, stream=True)
    pieces = response.iter_content(10)
    assert next(pieces) == b"0123456789"
    call = elsewhere(next, pieces)
    token.cancel("enough")
    assert_stopped(call)


def test_a_body_without_a_length_is_not_taken_for_whole_when_it_is_cut(
    server: Server,
    session: CancellableSession,
    token: CancelToken,
    elsewhere: Callable[..., Future[Any]],
) -> None:
    server.script.put(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of it")
    response = session.get(server.url, stream=True)
    call = elsewhere(lambda: response.content)
    token.cancel("enough")
    assert_stopped(call)


def test_the_wait_before_a_retry_ends(
    server: Server, token: CancelToken, elsewhere: Callable[..., Future[Any]]
) -> None:
    clock = ManualClock()
    waiting = threading.Event()
    clock.on_sleep.add(waiting.set)
    server.script.put(answer(503))
    with CancellableSession(token, clock=clock) as session:
        call = elsewhere(session.get, server.url)
        assert waiting.wait(SOON)
        token.cancel("enough")
        assert_stopped(call)
    assert clock.pending() == 0


def test_nothing_is_sent_once_the_token_is_cancelled(
    server: Server, session: CancellableSession, token: CancelToken
) -> None:
    token.cancel("enough")
    with pytest.raises(Stopped):
        session.get(server.url)
    assert server.heads.empty()


def test_a_closed_session_is_forgotten_by_its_token(
    token: CancelToken, clock: JumpingClock
) -> None:
    CancellableSession(token, clock=clock).close()
    assert not token._callbacks


# -- proxies -----------------------------------------------------------------------------------


def test_a_proxy_of_the_environment_is_used_and_calls_through_it_end_too(
    server: Server,
    session: CancellableSession,
    token: CancelToken,
    elsewhere: Callable[..., Future[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{server.address}")
    monkeypatch.setenv("no_proxy", "")
    call = elsewhere(session.get, "http://port.invalid/v1")
    assert server.heads.get(timeout=SOON).startswith(b"GET http://port.invalid/v1 HTTP/1.1")
    token.cancel("enough")
    assert_stopped(call)


# -- time-outs and retries ---------------------------------------------------------------------


def test_a_silent_server_is_given_up(
    server: Server, token: CancelToken, clock: JumpingClock
) -> None:
    retry = Retry(attempts=2)
    with (
        CancellableSession(token, clock=clock, timeout=(SOON, 0.02), retry=retry) as session,
        pytest.raises(requests.ReadTimeout),
    ):
        session.get(server.url)
    assert server.heads.qsize() == 2


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_get_is_tried_again_on_what_passes(
    server: Server, session: CancellableSession, clock: JumpingClock, status: int
) -> None:
    server.script.put(answer(status))
    server.script.put(answer(200, b"there"))
    assert session.get(server.url).content == b"there"
    assert len(clock.waits) == 1


def test_it_waits_as_long_as_the_server_asks(
    server: Server, session: CancellableSession, clock: JumpingClock
) -> None:
    server.script.put(answer(429, Retry_After=7))
    server.script.put(answer(200))
    assert session.get(server.url).ok
    assert clock.waits == [7]


@pytest.mark.parametrize("broken", [HANG_UP, HALF])
def test_a_connection_that_breaks_is_tried_again(
    server: Server, session: CancellableSession, clock: JumpingClock, broken: Any
) -> None:
    server.script.put(broken)
    server.script.put(answer(200, b"there"))
    assert session.get(server.url).content == b"there"
    assert len(clock.waits) == 1


def test_the_last_answer_is_returned_when_nothing_helps(
    server: Server, session: CancellableSession, clock: JumpingClock
) -> None:
    for _ in range(5):
        server.script.put(answer(503))
    assert session.get(server.url).status_code == 503
    assert len(clock.waits) == 4
    assert clock.waits[-1] > clock.waits[0]


@pytest.mark.parametrize("status", [400, 404, 500])
def test_other_statuses_are_the_callers_affair(
    server: Server, session: CancellableSession, clock: JumpingClock, status: int
) -> None:
    server.script.put(answer(status))
    assert session.get(server.url).status_code == status
    assert not clock.waits


def test_a_post_is_not_sent_twice(
    server: Server, session: CancellableSession, clock: JumpingClock
) -> None:
    server.script.put(answer(503))
    assert session.post(server.url, data=b"").status_code == 503
    assert not clock.waits


def test_a_refused_connection_is_an_error_of_requests_in_the_end(
    session: CancellableSession, clock: JumpingClock
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(requests.ConnectionError, match="refused"):
        session.get(f"http://127.0.0.1:{port}/")
    assert len(clock.waits) == 4


def test_a_refusal_that_says_when_to_come_back_costs_no_attempt(
    server: Server, session: CancellableSession, clock: JumpingClock
) -> None:
    for _ in range(20):
        server.script.put(answer(429, Retry_After=2))
    server.script.put(answer(200, b"there"))
    assert session.get(server.url).content == b"there"
    assert sum(clock.waits) == 40


def test_the_patience_with_refusals_ends(
    server: Server, session: CancellableSession, clock: JumpingClock
) -> None:
    for _ in range(100):
        server.script.put(answer(429, Retry_After=100))
    assert session.get(server.url).status_code == 429
    assert 700 < sum(clock.waits) <= 900


def test_a_server_that_asks_for_hours_is_not_waited_for(
    server: Server, session: CancellableSession, clock: JumpingClock
) -> None:
    server.script.put(answer(429, Retry_After=7200))
    assert session.get(server.url).status_code == 429
    assert not clock.waits


def test_callers_that_a_server_sends_away_together_come_back_spread(
    server: Server, token: CancelToken, clock: JumpingClock
) -> None:
    for _ in range(2):
        server.script.put(answer(429, Retry_After=1))
        server.script.put(answer(200))
    for jitter in (0.0, 0.9):
        with CancellableSession(
            token, clock=clock, jitter=functools.partial(float, jitter)
        ) as session:
            session.get(server.url)
    assert clock.waits[0] == 1
    assert clock.waits[1] > 1.3


def test_all_calls_of_a_session_wait_when_a_server_asks_one_to(
    server: Server, token: CancelToken, elsewhere: Callable[..., Future[Any]]
) -> None:
    clock = ManualClock()
    sleeping: queue.Queue[None] = queue.Queue()
    clock.on_sleep.add(lambda: sleeping.put(None))
    server.script.put(answer(429, Retry_After=5))
    with CancellableSession(token, clock=clock, jitter=lambda: 0.0) as session:
        first = elsewhere(session.get, server.url)
        sleeping.get(timeout=SOON)
        others = [elsewhere(session.get, server.url) for _ in range(2)]
        for _ in others:
            sleeping.get(timeout=SOON)
        assert server.heads.qsize() == 1, "nobody else has asked"
        for _ in range(3):
            server.script.put(answer(200))
        clock.advance(5)
        assert all(call.result(SOON).ok for call in (first, *others))


# -- redirects ---------------------------------------------------------------------------------


def test_a_redirect_does_not_multiply_the_attempts(
    server: Server, session: CancellableSession
) -> None:
    for _ in range(5):
        server.script.put(answer(302, Location="/b"))
        server.script.put(answer(503))
    assert session.get(server.url).status_code == 503
    heads = [server.heads.get_nowait() for _ in range(server.heads.qsize())]
    assert [head.split()[1] for head in heads] == [b"/", b"/b"] * 5


def test_a_malformed_redirect_that_is_not_followed_is_an_answer(
    server: Server, session: CancellableSession
) -> None:
    server.script.put(answer(302, Location="http://[::bad"))
    assert session.get(server.url, allow_redirects=False).status_code == 302


@pytest.mark.parametrize("redirected", [False, True])
def test_a_netrc_replaces_no_authorization(
    server: Server,
    session: CancellableSession,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    redirected: bool,
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    if redirected:
        server.script.put(answer(302, Location="/b"))
    server.script.put(answer(200))
    session.get(server.url, headers={"Authorization": "Bearer ours"})
    while not server.heads.empty():
        assert b"Authorization: Bearer ours" in server.heads.get_nowait()


def test_credentials_in_a_url_are_sent(server: Server, session: CancellableSession) -> None:
    server.script.put(answer(200))
    session.get(server.url.replace("http://", "http://user:word@"))
    assert b"Authorization: Basic dXNlcjp3b3Jk" in server.heads.get_nowait()


# -- connections that were dropped -------------------------------------------------------------


def idle_then_closed(server: Server, session: CancellableSession) -> None:
    """Use a connection, which the server then closes as soon as it is used again."""
    server.script.put(answer(200))
    session.get(server.url)
    server.script.put(HANG_UP)


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_call_over_a_connection_that_was_dropped_while_idle_is_sent_again_at_once(
    server: Server,
    session: CancellableSession,
    clock: JumpingClock,
    method: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    idle_then_closed(server, session)
    server.script.put(answer(200, b"there"))
    assert session.request(method, server.url, data=b"x").content == b"there"
    assert not clock.waits
    assert not caplog.records


def test_it_is_sent_again_over_a_fresh_connection_though_others_are_idle(
    server: Server, session: CancellableSession, clock: JumpingClock
) -> None:
    for _ in range(3):
        server.script.put(answer(200, b"there"))
    responses = [session.get(server.url, stream=True) for _ in range(3)]
    for response in responses:  # each over a connection of its own, idle from now on
        assert response.content == b"there"
    assert server.connections == 3
    server.script.put(HANG_UP)
    server.script.put(answer(200, b"there"))
    assert session.get(server.url).content == b"there"
    assert server.connections == 4
    assert not clock.waits


def test_a_post_is_not_sent_again_over_a_fresh_connection(
    server: Server, session: CancellableSession
) -> None:
    idle_then_closed(server, session)
    with pytest.raises(requests.ConnectionError):
        session.post(server.url, data=b"x")


def test_a_fresh_connection_that_is_dropped_is_not_a_stale_one(
    server: Server, session: CancellableSession, clock: JumpingClock
) -> None:
    idle_then_closed(server, session)
    server.script.put(HANG_UP)
    server.script.put(answer(200))
    assert session.get(server.url).ok
    assert len(clock.waits) == 1


# -- the deadline, and the length of an answer -------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nX-Trickle: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1",
        b"HTTP/1.1 200 OK\r\n\r\nno length",
    ],
    ids=["head", "body", "body without a length"],
)
def test_an_answer_that_trickles_in_ends_at_the_deadline(
    server: Server, token: CancelToken, elsewhere: Callable[..., Future[Any]], said: bytes
) -> None:
    clock = ManualClock()
    with CancellableSession(token, clock=clock, deadline=30, retry=ONCE) as session:
        server.script.put(said)
        call = elsewhere(session.get, server.url)
        server.heads.get(timeout=SOON)
        assert not call.done()
        clock.advance(30)
        with pytest.raises(requests.ReadTimeout, match="no complete answer within 30 s"):
            call.result(SOON)
        assert clock.pending() == 0
        server.script.put(answer(200, b"there"))
        assert session.get(server.url).content == b"there"


def test_a_stream_may_take_longer_than_the_deadline(
    server: Server, session: CancellableSession, clock: JumpingClock
) -> None:
    server.script.put(answer(200, b"0123456789"))
    response = session.get(server.url, stream=True)
    clock.advance(10_000)
    assert response.content == b"0123456789"


def test_an_answer_may_be_limited_in_bytes_after_decompression(
    server: Server, session: CancellableSession
) -> None:
    squeezed = gzip.compress(b"0" * 1_000_000)
    server.script.put(answer(200, squeezed, Content_Encoding="gzip"))
    request = session.prepare_request(requests.Request("GET", server.url))
    with pytest.raises(AnswerTooLong, match="longer than 100000 bytes"):
        session.send(request, max_bytes=100_000)


# -- what is left behind -----------------------------------------------------------------------


class Left:
    """The sockets and answers of a session, kept from the garbage collector, which closes them."""

    def __init__(self, session: CancellableSession, monkeypatch: pytest.MonkeyPatch) -> None:
        self._sockets: list[socket.socket] = []
        self._answers: list[requests.Response] = []
        self.on_answer: Callable[[], object] = lambda: None
        self._add = session._sockets.add
        monkeypatch.setattr(session._sockets, "add", self._keep)
        session.hooks["response"] = [self._answered]

    def assert_all_closed(self) -> None:
        assert self._answers
        assert [sock for sock in self._sockets if sock.fileno() >= 0] == []

    def _keep(self, sock: socket.socket) -> None:
        self._sockets.append(sock)
        self._add(sock)

    def _answered(self, response: requests.Response, **_: Any) -> None:
        self._answers.append(response)
        self.on_answer()


@pytest.fixture
def left(session: CancellableSession, monkeypatch: pytest.MonkeyPatch) -> Left:
    return Left(session, monkeypatch)


def test_an_answer_that_is_too_long_leaves_no_open_socket(
    server: Server, session: CancellableSession, left: Left
) -> None:
    server.script.put(answer(200, b"0" * 200_000))
    request = session.prepare_request(requests.Request("GET", server.url))
    with pytest.raises(AnswerTooLong):
        session.send(request, max_bytes=100_000)
    left.assert_all_closed()


@pytest.mark.parametrize("pieces", [0, 1], ids=["before the first piece", "between two pieces"])
def test_a_body_whose_reading_is_aborted_leaves_no_open_socket(
    server: Server, session: CancellableSession, token: CancelToken, left: Left, pieces: int
) -> None:
    server.script.put(answer(200, b"0123456789"))
    body = session.get(server.url, stream=True).iter_content(2)
    for _ in range(pieces):
        next(body)
    token.cancel("enough")
    with pytest.raises(Stopped):
        next(body)
    left.assert_all_closed()


@pytest.mark.parametrize("stream", [True, False])
def test_a_call_that_is_aborted_when_its_answer_comes_leaves_no_open_socket(
    server: Server, session: CancellableSession, token: CancelToken, left: Left, stream: bool
) -> None:
    server.script.put(answer(200, b"0123456789"))
    left.on_answer = lambda: token.cancel("enough")
    with pytest.raises(Stopped):
        session.get(server.url, stream=stream)
    left.assert_all_closed()


@pytest.mark.parametrize("stream", [True, False])
def test_a_call_that_is_overdue_when_its_answer_comes_leaves_no_open_socket(
    server: Server, session: CancellableSession, clock: JumpingClock, left: Left, stream: bool
) -> None:
    session.retry = ONCE
    server.script.put(answer(200).replace(b": 0", b": 9"))
    left.on_answer = lambda: clock.advance(10_000)
    with pytest.raises(requests.ReadTimeout):
        session.get(server.url, stream=stream)
    left.assert_all_closed()


# -- proxies, and the end ----------------------------------------------------------------------


def test_this_machine_is_reached_without_a_proxy(
    server: Server, session: CancellableSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    server.script.put(answer(200))
    assert session.get(server.url).ok


def test_an_adapter_whose_close_raises_holds_nothing_up(
    token: CancelToken, clock: JumpingClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Adapter(HTTPAdapter):
        def close(self) -> None:
            raise SystemExit("no")

    session = CancellableSession(token, clock=clock)
    session.mount("http://one", Adapter())
    session.close()
    assert "http://one" in caplog.text
    assert not token._callbacks


def test_threads_that_share_a_session_all_get_their_answers(
    server: Server, session: CancellableSession, elsewhere: Callable[..., Future[Any]]
) -> None:
    for _ in range(40):
        server.script.put(answer(200, b"there"))
    calls = [elsewhere(session.get, server.url) for _ in range(40)]
    assert {call.result(SOON).content for call in calls} == {b"there"}
