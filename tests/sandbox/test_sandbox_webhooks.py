from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from http.client import parse_headers
from typing import Any

import pytest
import requests

from ocean_actors.sandbox import Sandbox, changelog
from ocean_actors.sandbox.publishers import Delivery, WebhookPublisher
from ocean_actors.testing import ManualClock
from ocean_actors.web.server import HttpServer


class Receiver:
    """An integration's web server: keeps what it gets, and answers as told."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, Any], bytes]] = []
        self.status = "202 Accepted"
        self.release = threading.Event()
        self.release.set()
        self.arrived = threading.Event()
        self._server = HttpServer(self._app, "127.0.0.1", 0)
        self._server.start()
        self.url = self._server.url + "/resync"
        self.stop = self._server.stop

    def _app(self, environ: Any, start_response: Any) -> Any:
        self.arrived.set()
        self.release.wait(30)
        self.got.append((environ, environ["wsgi.input"].read()))
        start_response(self.status, [])
        return [b""]

    @property
    def messages(self) -> Any:
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
def receiver() -> Iterator[Any]:
    receiver = Receiver()
    yield receiver
    receiver.release.set()
    receiver.stop()


@pytest.fixture
def registered(sandbox: Sandbox, receiver: Any) -> Any:
    """The sandbox, with an integration that wants webhooks."""
    destination = {"type": "WEBHOOK", "url": receiver.url}
    sandbox.create_integration("demo", changelogDestination=destination)
    return sandbox


def delivered(sandbox: Sandbox, number: int) -> Any:
    return sandbox.wait_for(
        lambda: sandbox.deliveries if len(sandbox.deliveries) >= number else None
    )


def verifies(environ: Any, body: Any, secret: bytes = b"sandbox-secret") -> bool:
    timestamp = environ["HTTP_X_PORT_TIMESTAMP"]
    digest = hmac.new(secret, f"{timestamp}.".encode() + body, hashlib.sha256).digest()
    signature: str = environ["HTTP_X_PORT_SIGNATURE"]
    return signature == "v1," + base64.b64encode(digest).decode()


def test_registering_itself_calls_nobody(registered: Any, receiver: Any) -> None:
    registered.request_resync("demo")
    delivered(registered, 1)
    assert [message["action"] for message in receiver.messages] == ["RESYNC"]


def test_every_kind_of_news_arrives_in_its_order(registered: Any, receiver: Any) -> None:
    registered.set_config("demo", {"a": 1})
    registered.request_resync("demo")
    base = f"{registered.url}/v1"
    credentials = {"clientId": "sandbox", "clientSecret": "sandbox-secret"}
    token = requests.post(f"{base}/auth/access_token", json=credentials, timeout=30).json()
    requests.patch(
        f"{base}/integration/demo/resync-state",
        json={"status": "running"},
        headers={"Authorization": f"Bearer {token['accessToken']}"},
        timeout=30,
    ).raise_for_status()
    registered.delete_integration("demo")
    assert [item.status for item in delivered(registered, 4)] == [202] * 4
    update, resync, report, deletion = receiver.messages

    assert update["action"] == report["action"] == "UPDATE"
    assert update["diff"]["after"]["config"] == {"a": 1}
    assert update["diff"]["before"]["config"] == {}
    assert update["diff"]["after"]["identifier"] == "demo"
    assert "resyncState" not in update["diff"]["after"]

    assert (resync["action"], resync["context"]) == ("RESYNC", {"integrationId": "demo"})

    after = report["diff"]["after"]
    assert after["updatedAt"] == after["resyncState"]["updatedAt"]

    assert (deletion["action"], deletion["diff"]["after"]) == ("DELETE", None)
    assert deletion["diff"]["before"]["identifier"] == "demo"


def test_webhooks_are_signed(registered: Any, receiver: Any) -> None:
    registered.request_resync("demo")
    delivered(registered, 1)
    assert verifies(*receiver.got[0])


def test_webhooks_may_be_unsigned_or_signed_wrong(registered: Any, receiver: Any) -> None:
    for number, signing in enumerate(("unsigned", "wrong"), start=1):
        settings = {"webhook_signing": signing}
        requests.put(f"{registered.url}/sandbox/settings", json=settings, timeout=30)
        registered.request_resync("demo")
        delivered(registered, number)
    (unsigned, _), (wrong, body) = receiver.got
    assert "HTTP_X_PORT_SIGNATURE" not in unsigned
    assert "HTTP_X_PORT_TIMESTAMP" not in unsigned
    assert not verifies(wrong, body)


@pytest.mark.parametrize("destination", [{}, {"type": "KAFKA"}])
def test_those_who_want_no_webhook_get_none(
    sandbox: Sandbox, receiver: Any, destination: dict[str, Any]
) -> None:
    sandbox.create_integration("other", changelogDestination=destination)
    sandbox.request_resync("other")
    webhook = {"type": "WEBHOOK", "url": receiver.url}
    sandbox.create_integration("demo", changelogDestination=webhook)
    sandbox.request_resync("demo")
    delivered(sandbox, 1)
    (message,) = receiver.messages
    assert message["context"]["integrationId"] == "demo"


def test_a_refusal_and_a_dead_address_are_recorded_and_not_repeated(
    registered: Any, receiver: Any
) -> None:
    receiver.status = "503 Service Unavailable"
    registered.request_resync("demo")
    delivered(registered, 1)
    receiver.stop()
    registered.request_resync("demo")
    refused, dead = delivered(registered, 2)
    assert (refused.status, refused.error) == (503, None)
    assert dead.status is None
    assert "Connection" in dead.error
    recorded = requests.get(f"{registered.url}/sandbox/deliveries", timeout=30).json()
    assert [item["status"] for item in recorded["deliveries"]] == [503, None]
    assert len(receiver.got) == 1


def test_a_receiver_that_does_not_answer_costs_the_time_out(
    make_sandbox: Callable[..., Sandbox], receiver: Any
) -> None:
    sandbox = make_sandbox(webhook_timeout=0.05)
    destination = {"type": "WEBHOOK", "url": receiver.url}
    sandbox.create_integration("demo", changelogDestination=destination)
    receiver.release.clear()
    sandbox.request_resync("demo")
    (delivery,) = delivered(sandbox, 1)
    assert "timed out" in delivery.error


def test_no_more_than_its_capacity_waits(receiver: Any) -> None:
    recorded: list[Delivery] = []
    publisher = WebhookPublisher(
        "secret", lambda: "signed", recorded.append, ManualClock(), capacity=2
    )
    integration = {"changelogDestination": {"type": "WEBHOOK", "url": receiver.url}}
    for number in range(5):
        publisher.publish({"number": number}, integration)
    assert [item.error for item in recorded] == ["too many webhooks wait"] * 3
    publisher.start()
    publisher.stop()


def test_nothing_is_sent_after_the_stop_and_no_thread_stays(
    make_sandbox: Callable[..., Sandbox], receiver: Any
) -> None:
    sandbox = make_sandbox()
    before = {thread for thread in threading.enumerate() if "webhook" in thread.name}
    destination = {"type": "WEBHOOK", "url": receiver.url}
    sandbox.create_integration("demo", changelogDestination=destination)
    receiver.release.clear()
    for _ in range(3):
        sandbox.request_resync("demo")
    assert receiver.arrived.wait(30)
    stopping = threading.Thread(target=sandbox.stop)
    stopping.start()
    receiver.release.set()
    stopping.join(30)
    assert not stopping.is_alive()
    webhooks = {thread for thread in threading.enumerate() if "webhook" in thread.name}
    assert len(webhooks) == len(before) - 1
    assert len(receiver.got) <= 3


def test_what_waited_at_the_stop_is_not_sent_after_the_next_start(receiver: Any) -> None:
    recorded: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
    publisher = WebhookPublisher("secret", lambda: "signed", recorded.put, ManualClock())
    integration = {"changelogDestination": {"type": "WEBHOOK", "url": receiver.url}}
    receiver.release.clear()
    for number in range(3):
        publisher.publish({"number": number}, integration)
    publisher.start()
    assert receiver.arrived.wait(30)
    stopping = threading.Thread(target=publisher.stop)
    stopping.start()
    assert publisher._stopping.wait(30)
    receiver.release.set()
    stopping.join(30)
    assert not stopping.is_alive()
    publisher.start()
    publisher.publish({"number": 3}, integration)
    sent = [recorded.get(timeout=30).message for _ in range(2)]
    publisher.stop()
    assert sent == receiver.messages == [{"number": 0}, {"number": 3}]
    assert recorded.empty()


def test_a_thread_that_outlasts_the_stop_ends_with_its_call() -> None:
    """A receiver that sends its answer byte by byte is not cut off by any time-out."""
    recorded: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
    publisher = WebhookPublisher(
        "secret", lambda: "signed", recorded.put, ManualClock(), timeout=0.1
    )
    stopped = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"

        def answer_slowly() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as request:
                assert request.readline().startswith(b"POST ")
                head = parse_headers(request)
                request.read(int(head["Content-Length"]))  # what is unread resets the connection
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not stopped.wait(0.02):
                    connection.sendall(b"x")
                connection.sendall(b"\r\nContent-Length: 0\r\n\r\n")

        receiver = threading.Thread(target=answer_slowly)
        receiver.start()
        publisher.publish({}, {"changelogDestination": {"type": "WEBHOOK", "url": url}})
        publisher.start()
        thread = publisher._thread
        assert thread is not None
        publisher.stop()
        assert thread.is_alive()
        stopped.set()
        receiver.join(30)
        thread.join(30)
    assert not thread.is_alive()
    assert recorded.get(timeout=30).status == 200


class Notes:
    """A publisher that takes notes."""

    def __init__(self) -> None:
        self.notes: list[Any] = []

    def start(self) -> None:
        self.notes.append("start")

    def publish(self, message: Any, integration: Any) -> None:
        self.notes.append((message["action"], integration["identifier"]))

    def stop(self) -> None:
        self.notes.append("stop")


def test_other_publishers_get_every_message_between_start_and_stop(
    make_sandbox: Callable[..., Sandbox],
) -> None:
    given, added = Notes(), Notes()
    sandbox = make_sandbox(publishers=[given])
    sandbox.add_publisher(added)
    sandbox.create_integration("demo")
    sandbox.set_config("demo", {"a": 1})
    sandbox.request_resync("demo")
    sandbox.stop()
    expected = ["start", ("UPDATE", "demo"), ("RESYNC", "demo"), "stop"]
    assert given.notes == added.notes == expected


def test_a_publisher_that_fails_costs_only_its_own(
    make_sandbox: Callable[..., Sandbox], caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Notes):
        def publish(self, message: Any, integration: Any) -> None:
            raise RuntimeError("no broker")

    notes = Notes()
    sandbox = make_sandbox(publishers=[Broken(), notes])
    sandbox.create_integration("demo")
    with caplog.at_level(logging.ERROR):
        sandbox.request_resync("demo")
    assert ("RESYNC", "demo") in notes.notes
    assert "no broker" in caplog.text


def test_a_publisher_that_does_not_start_leaves_nothing_running() -> None:
    class Broken(Notes):
        def start(self) -> None:
            raise RuntimeError("no broker")

    sandbox = Sandbox(publishers=[Broken()])
    with pytest.raises(RuntimeError, match="no broker"):
        sandbox.start()
    with pytest.raises(requests.ConnectionError):
        requests.get(sandbox.url, timeout=30)


def test_messages_have_the_shape_that_port_wire_shows() -> None:
    before = {"identifier": "demo", "updatedAt": "1", "changelogDestination": {"type": "KAFKA"}}
    after = {**before, "updatedAt": "2"}
    at = "2026-10-01T08:05:00.000Z"
    trigger = {"by": {"orgId": "org_1", "userId": "sandbox"}, "at": at}
    assert changelog.config_updated("org_1", before, after, at) == {
        "action": "UPDATE",
        "resourceType": "integration",
        "status": "SUCCESS",
        "context": {},
        "trigger": {**trigger, "origin": "API"},
        "diff": {"before": before, "after": after},
        "changelogDestination": {"type": "KAFKA"},
    }
    assert changelog.resync_requested("org_1", after, at) == {
        "action": "RESYNC",
        "resourceType": "integration",
        "status": "SUCCESS",
        "trigger": {**trigger, "origin": "UI"},
        "context": {"integrationId": "demo"},
    }
    assert changelog.deleted("org_1", after, at)["diff"] == {"before": after, "after": None}
