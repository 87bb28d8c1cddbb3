"""What a server that is not Port, or not itself, may answer: one clean line, and no secret."""

from __future__ import annotations

import base64
import gzip
import json
import pickle
import queue
import re
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jumping_clock import JumpingClock
from pydantic import SecretStr

from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import AnswerTooLarge, PortError
from ocean_actors.port.identity import Identity
from ocean_actors.retry import ONCE
from ocean_actors.settings import IntegrationSettings, PortSettings

SECRET = "sandbox-secret"  # of the fixture `connect`
TOKEN = {"ok": True, "accessToken": "t0ken/+with=signs", "expiresIn": 3600, "tokenType": "Bearer"}
SOON = 30


class RawPort(socketserver.ThreadingTCPServer):
    """Answers one request a connection with the next bytes that a test gave it."""

    daemon_threads = True

    def __init__(self) -> None:
        self.script: queue.Queue[bytes] = queue.Queue()
        super().__init__(("127.0.0.1", 0), RawConnection)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def say(self, body: Any, status: str = "200 OK", **headers: Any) -> None:
        """Give the next answer; a body that is not bytes is JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\nConnection: close\r\n"
        for name, value in headers.items():
            head += f"{name.replace('_', '-')}: {value}\r\n"
        self.script.put(head.encode("latin1") + b"\r\n" + data)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class RawConnection(socketserver.BaseRequestHandler):
    server: RawPort

    def handle(self) -> None:
        with self.request.makefile("rb") as lines:
            head = b"".join(iter(lines.readline, b"\r\n")).lower()
            length = head.partition(b"content-length: ")[2].split(b"\r")[0]
            lines.read(int(length or 0))
        self.request.sendall(self.server.script.get(timeout=SOON))


@pytest.fixture
def port() -> Iterator[RawPort]:
    with RawPort() as port:
        thread = threading.Thread(target=port.serve_forever, args=(0.01,))
        thread.start()
        yield port
        port.shutdown()
        thread.join()


@pytest.fixture
def failure(port: RawPort, connect: Callable[..., PortClient]) -> Callable[..., PortError]:
    """Answer a call after its token, and return the error as a test wants it: one clean line."""

    def fail(body: Any, status: str = "500 Oops", **headers: Any) -> PortError:
        port.say(TOKEN)
        port.say(body, status, **headers)
        with pytest.raises(PortError) as caught:
            connect(port.url).get_integration(retry=ONCE)
        assert_clean(str(caught.value))
        return caught.value

    return fail


def assert_clean(text: str) -> None:
    assert text.isprintable()
    assert len(text) < 800


# -- one line ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"status": "500 \x1b[31mred\x1b[0m"},
        {"status": "302 Found", "Location": "http://[::bad"},
        {"status": "302 Found", "Location": "http://else/\x1b[2J" + "a" * 60_000},
        {"status": "200 OK", "Content_Type": "text/\x1b]0;title\x07plain"},
    ],
    ids=["reason", "malformed location", "location", "content type"],
)
def test_what_a_head_says_is_one_clean_line(
    failure: Callable[..., PortError], headers: dict[str, Any]
) -> None:
    error = failure(b"\x1b[31mnot JSON\r\nforged: line" + b"\xff" * 70_000, **headers)
    assert error.temporary


def test_a_message_is_one_clean_line(failure: Callable[..., PortError]) -> None:
    error = failure({"error": "\x1b[2J\r\n2026 INFO forged", "message": "m" * 60_000})
    assert "forged" in str(error)


# -- secrets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [SECRET, "sandbox", TOKEN["accessToken"]])
@pytest.mark.parametrize("before", ["", "x" * 294], ids=["at the start", "where the text is cut"])
def test_what_a_server_repeats_of_our_credentials_is_hidden(
    failure: Callable[..., PortError], secret: Any, before: str
) -> None:
    error = failure(f"{before}{secret}".encode(), Content_Type="text/plain")
    shown = str(error).partition("/demo: ")[2]
    assert secret[:4] not in shown


def test_in_json_they_are_hidden_too(failure: Callable[..., PortError]) -> None:
    assert SECRET not in str(failure({"message": f"no such secret: {SECRET}"}))


def identity(secret: str, client_id: str = "client") -> Identity:
    port = PortSettings(
        client_id=client_id, client_secret=SecretStr(secret), base_url="http://port"
    )
    return Identity(port, IntegrationSettings(identifier="demo"))


SECRETS = st.text(
    st.characters(min_codepoint=33, exclude_categories=("Cs", "Z", "C")), min_size=6, max_size=40
)


@settings(max_examples=100)
@given(secret=SECRETS, before=st.text("abcd:", max_size=7), after=st.text("wxyz", max_size=7))
def test_a_secret_is_hidden_however_it_is_encoded(secret: str, before: Any, after: Any) -> None:
    around = f"{before}{secret}{after}"
    in_url = quote(around, safe="")
    in_json = json.dumps(around)
    for encoded in (
        around,
        in_json,
        in_json.replace("/", "\\/"),
        json.dumps(around, ensure_ascii=False),
        in_url,
        re.sub("%..", lambda match: match[0].lower(), in_url),
        quote_plus(around),
        base64.b64encode(around.encode()).decode(),
        base64.urlsafe_b64encode(around.encode()).decode(),
    ):
        assert "***" in identity(secret).mask(f"<{encoded}>")


def test_the_credentials_of_basic_authorization_are_hidden() -> None:
    encoded = base64.b64encode(b"client-id-0815:s3cr3t-of-ours").decode()
    hidden = identity("s3cr3t-of-ours", "client-id-0815").mask(f"Basic {encoded}!")
    assert hidden.startswith("Basic ***")
    for start in range(len(encoded) - 8):
        assert encoded[start : start + 8] not in hidden


@pytest.mark.parametrize(
    ("body", "status", "headers"),
    [
        (b"you sent {'clientId': 'sandbox'}", "500 sandbox", {}),
        (b"", "302 Found", {"Location": "http://else/?clientSecret=sand-box"}),
        (b"sand-box", "200 sand-box", {}),
    ],
)
def test_nothing_of_a_token_calls_answer_is_quoted_unless_it_is_json(
    port: RawPort,
    connect: Callable[..., PortClient],
    body: bytes,
    status: str,
    headers: dict[str, Any],
) -> None:
    port.say(body, status, **headers)
    with pytest.raises(PortError, match="access_token") as caught:
        connect(port.url).get_organization(retry=ONCE)
    assert_clean(str(caught.value))
    shown = str(caught.value).partition("access_token: ")[2]
    assert "sand" not in shown
    assert "clientId" not in shown


# -- answers that cost too much ----------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"expiresIn": 10**400},
        {"expiresIn": 1e300},
        {"tokenType": "Bearer\r\nX-Forged: 1"},
        {"accessToken": "a\nb"},
    ],
    ids=["digits", "float", "type", "token"],
)
def test_a_token_that_cannot_be_used_is_a_failure_for_a_while(
    port: RawPort, connect: Callable[..., PortClient], change: dict[str, Any]
) -> None:
    port.say({**TOKEN, **change})
    with pytest.raises(PortError, match="expected a") as caught:
        connect(port.url).get_organization(retry=ONCE)
    assert caught.value.temporary


@pytest.mark.parametrize("depth", [65, 490, 900, 5_000])
def test_a_mapping_of_absurd_depth_is_refused(
    port: RawPort, connect: Callable[..., PortClient], depth: int
) -> None:
    port.say(TOKEN)
    config = b'{"a":' * depth + b"1" + b"}" * depth
    port.say(b'{"ok": true, "integration": {"identifier": "demo", "config": ' + config + b"}}")
    with pytest.raises(PortError, match="expected a") as caught:
        connect(port.url).get_integration(retry=ONCE)
    assert caught.value.temporary


def test_a_mapping_as_deep_as_people_write_them_is_not(
    port: RawPort, connect: Callable[..., PortClient]
) -> None:
    port.say(TOKEN)
    config: dict[str, Any] = {"a": [{"b": {}}]}
    for _ in range(50):
        config = {"a": config}
    port.say({"ok": True, "integration": {"identifier": "demo", "config": config}})
    assert connect(port.url).get_integration(retry=ONCE).config == config


@pytest.mark.parametrize("squeezed", [True, False])
def test_an_answer_that_is_too_long_is_not_read_to_its_end(
    port: RawPort, connect: Callable[..., PortClient], squeezed: bool
) -> None:
    port.say(TOKEN)
    body = b'{"ok": true, "organization": {"id": "' + b"x" * 5_000_000 + b'"}}'
    if squeezed:
        port.say(gzip.compress(body), Content_Encoding="gzip")
    else:
        port.say(body)
    with pytest.raises(AnswerTooLarge, match=r"longer than 4194304 bytes"):
        connect(port.url).get_organization(retry=ONCE)


# -- answers without a body --------------------------------------------------------------------


@pytest.mark.parametrize("status", ["200 OK", "202 Accepted", "204 No Content"])
def test_a_report_is_accepted_without_a_body_and_nothing_else_is(
    port: RawPort, connect: Callable[..., PortClient], status: str
) -> None:
    client = connect(port.url)
    port.say(TOKEN)
    port.say(b"", status)
    client.report_resync_state({"status": "running"}, retry=ONCE)
    port.say(b"", status)
    with pytest.raises(PortError, match="expected a JSON object, got 0 bytes") as caught:
        client.get_resync_request(retry=ONCE)
    assert caught.value.temporary


# -- causes ------------------------------------------------------------------------------------


def test_a_name_that_does_not_exist_is_a_lasting_cause(connect: Callable[..., PortClient]) -> None:
    with pytest.raises(PortError) as caught:
        connect("http://no-such-port.invalid").get_organization(retry=ONCE)
    assert (caught.value.temporary, caught.value.lasting) == (True, True)


def test_an_address_that_refuses_is_not(connect: Callable[..., PortClient]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(PortError) as caught:
        connect(url).get_organization(retry=ONCE)
    assert (caught.value.temporary, caught.value.lasting) == (True, False)


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_refused_credentials_are(
    port: RawPort, connect: Callable[..., PortClient], status: str
) -> None:
    port.say({"ok": False}, status)
    with pytest.raises(PortError) as caught:
        connect(port.url).get_organization(retry=ONCE)
    assert (caught.value.temporary, caught.value.lasting) == (False, True)


@pytest.mark.parametrize("refusing", [True, False])
def test_a_proxy_that_refuses_is_named(
    port: RawPort,
    connect: Callable[..., PortClient],
    monkeypatch: pytest.MonkeyPatch,
    refusing: bool,
) -> None:
    monkeypatch.setenv("no_proxy", "")
    address = port.url.removeprefix("http://")
    if not refusing:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", f"http://user:pass-word@{address}")
        port.say(b"no", "403 Forbidden")
        with pytest.raises(PortError, match=f"through the proxy http://{address}: ") as caught:
            connect(f"{scheme}://port.invalid").get_organization(retry=ONCE)
        assert "pass-word" not in str(caught.value)


def test_the_password_of_a_proxy_whose_address_is_wrong_is_not_shown(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", "http://user:pass@word@proxy.invalid:99999")
    with pytest.raises(PortError, match=r"through the proxy http://proxy\.invalid:99999") as caught:
        connect("http://port.invalid").get_organization(retry=ONCE)
    assert "word" not in str(caught.value)


def test_errors_can_be_pickled() -> None:
    error = PortError("why", status=503, temporary=True, lasting=True, asked_wait=2.0)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert vars(again) == vars(error)
    assert str(again) == "why"


# -- how long Port asks us to wait -------------------------------------------------------------


def test_threads_of_one_client_share_what_port_asks_for(
    port: RawPort, connect: Callable[..., PortClient], clock: JumpingClock
) -> None:
    client = connect(port.url)
    port.say(TOKEN)
    for _ in range(8):
        port.say({}, "429 Too Many", Retry_After="3")
    port.say({"ok": True, "organization": {"id": "org"}})
    assert client.get_organization().id == "org"
    assert clock.waits == [3] * 8, "more than the attempts"


@pytest.mark.parametrize(("asked", "seconds"), [(None, 5), (7.0, 12), (9_999.0, 305)])
def test_the_next_attempt_of_a_caller_comes_after_what_port_asks_for(
    asked: float | None, seconds: int
) -> None:
    assert PortError("why", temporary=True, asked_wait=asked).delay(5) == seconds
