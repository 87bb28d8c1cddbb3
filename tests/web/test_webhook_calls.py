from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pykka
import pytest
import requests

from ocean_actors.actors import MailboxFull
from ocean_actors.frozen import FrozenDict
from ocean_actors.messages import ConfigUpdated

if TYPE_CHECKING:
    from tests.web.conftest import Door

REQUEST = {"action": "RESYNC", "context": {"integrationId": "demo"}}


def update(
    *,
    identifier: str = "demo",
    destination: str = "WEBHOOK",
    state: str = "2026-01-01T00:00:01.000Z",
) -> dict[str, Any]:
    return {
        "action": "UPDATE",
        "resourceType": "integration",
        "context": {},
        "diff": {
            "after": {
                "identifier": identifier,
                "updatedAt": "2026-01-01T00:05:00.000Z",
                "config": {"resources": [1]},
                "resyncState": {"status": "completed", "updatedAt": state},
            }
        },
        "changelogDestination": {"type": destination, "url": "https://demo.example/resync"},
    }


# -- authentic calls -------------------------------------------------------------------------


def test_an_authentic_request_is_accepted_with_its_id(door: Door) -> None:
    answer = door.post_signed(REQUEST)
    assert answer.status_code == 202
    (offered,) = door.offered
    assert answer.json() == {"ok": True, "status": "accepted", "id": offered.id}
    assert offered.trigger == "webhook"
    assert offered.requested_at == door.clock.now()


@pytest.mark.parametrize("body", [b"", json.dumps(REQUEST).encode()])
def test_a_call_that_expects_100_continue_is_accepted(door: Door, body: bytes) -> None:
    headers = door.signed(body) | {
        "Host": "here",
        "Expect": "100-continue",
        "Content-Length": str(len(body)),
    }
    lines = ["POST /resync HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    with socket.create_connection(door.address, timeout=10) as sock, sock.makefile("rb") as answer:
        sock.sendall("\r\n".join([*lines, "", ""]).encode())
        if body:  # without one there is nothing to wait for (RFC 9110, 10.1.1)
            assert answer.readline() == b"HTTP/1.1 100 Continue\r\n"
            assert answer.readline() == b"\r\n"
            sock.sendall(body)
        assert answer.readline() == b"HTTP/1.1 202 Accepted\r\n"
    assert len(door.offered) == 1


def test_a_malformed_call_that_expects_100_continue_is_refused(door: Door) -> None:
    head = b"POST /resync HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"  # no Host
    with socket.create_connection(door.address, timeout=10) as sock, sock.makefile("rb") as answer:
        sock.sendall(head)
        assert answer.readline() == b"HTTP/1.1 400 Bad Request\r\n"


def test_a_signed_empty_body_is_a_resync_request(door: Door) -> None:
    assert door.post_signed(b"").status_code == 202
    headers = door.signed(b"", timestamp=door.now() + 1)
    del headers["Content-Type"]
    assert door.post(b"", headers).status_code == 202
    assert len(door.offered) == 2


def test_an_authentic_update_brings_its_config_along(door: Door) -> None:
    assert door.post_signed(update()).status_code == 202
    (offered,) = door.offered
    assert isinstance(offered, ConfigUpdated)
    assert offered.snapshot is not None
    assert offered.snapshot.config == FrozenDict({"resources": [1]})
    assert offered.snapshot.updated_at is not None
    assert offered.snapshot.updated_at.isoformat() == "2026-01-01T00:05:00+00:00"


def test_a_request_that_waits_stands_for_those_like_it_until_its_run_is_prepared(
    door: Door,
) -> None:
    door.idle = False  # a run is in flight
    ids = {door.post_signed(timestamp=door.now() - n).json()["id"] for n in range(5)}
    assert ids == {door.offered[0].id}
    assert len(door.offered) == 1
    door.post_signed(update())  # brings a config of its own
    assert len(door.offered) == 2
    door.generation += 1
    assert door.post_signed(timestamp=door.now() - 5).json()["id"] == door.offered[2].id
    assert door.post_signed(timestamp=door.now() - 6).json()["id"] == door.offered[2].id


def test_a_request_stands_for_others_a_tenth_of_a_second(door: Door) -> None:
    door.idle = False
    door.post_signed()
    door.clock.advance(0.1)
    door.reception = pykka.Timeout("1 second")
    assert door.post_signed(timestamp=door.now() - 1).status_code == 503


def test_an_ignored_request_stands_for_none(door: Door) -> None:
    door.idle = False
    door.reception = "ignored"
    door.post_signed()
    door.reception = "accepted"
    assert door.post_signed(timestamp=door.now() - 1).json()["status"] == "accepted"


@pytest.mark.parametrize(
    "event",
    [
        update(state="2026-01-01T00:05:00.000Z"),  # our own report coming back
        update(identifier="other"),
        update(destination="KAFKA"),
        {"action": "RESYNC", "context": {"integrationId": "other"}},
        {"action": "DELETE", "context": {}, "diff": {"before": {"identifier": "demo"}}},
        {},
        [],
        None,
    ],
)
def test_what_concerns_somebody_else_is_ignored(door: Door, event: Any) -> None:
    answer = door.post_signed(event)
    assert answer.status_code == 200
    assert answer.json()["status"] == "ignored"
    assert door.offered == []


def test_a_request_that_the_coordinator_ignores_is_answered_as_ignored(door: Door) -> None:
    door.reception = "ignored"
    answer = door.post_signed()
    assert answer.status_code == 202
    assert answer.json()["status"] == "ignored"
    assert answer.json()["id"]


@pytest.mark.parametrize(
    "trouble",
    ["refused", pykka.Timeout("1 second"), pykka.ActorDeadError("gone"), MailboxFull("full")],
)
def test_without_the_coordinator_it_is_503_and_the_same_call_may_come_again(
    door: Door, trouble: Any
) -> None:
    door.reception = trouble
    body = json.dumps(REQUEST).encode()
    headers = door.signed(body)
    answer = door.post(body, headers)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    door.reception = "accepted"
    assert door.post(body, headers).status_code == 202
    assert door.post(body, headers).status_code == 401


def test_a_fault_of_ours_is_500_without_its_traceback(door: Door) -> None:
    door.reception = ZeroDivisionError("secret inside")
    answer = door.post_signed()
    assert answer.status_code == 500
    assert answer.json() == {"ok": False, "error": "internal_server_error",
                             "message": "internal error"}  # fmt: skip
    door.reception = "accepted"
    assert door.post_signed().status_code == 202


def test_a_gate_that_is_shut_answers_503(door: Door) -> None:
    door.intake.shut()
    assert door.post_signed().status_code == 503
    assert door.post({}).status_code == 503
    door.open()
    assert door.post_signed().status_code == 202


# -- signatures ------------------------------------------------------------------------------


def test_a_signature_is_good_for_one_call(door: Door) -> None:
    body = json.dumps(REQUEST).encode()
    headers = door.signed(body)
    assert door.post(body, headers).status_code == 202
    replayed = door.post(body, headers)
    assert replayed.status_code == 401
    assert "before" in replayed.json()["message"]
    assert len(door.offered) == 1


def test_of_one_signed_call_sent_many_times_at_once_one_is_accepted(door: Door) -> None:
    body = json.dumps(REQUEST).encode()
    headers = door.signed(body)
    start = threading.Barrier(8)
    statuses = []

    def call() -> None:
        start.wait(30)
        statuses.append(door.post(body, headers).status_code)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(statuses) == [202] + [401] * 7


@pytest.mark.parametrize(
    "change",
    [
        {"x-port-signature": "v1,AAAA"},
        {"x-port-signature": ""},
        {"x-port-signature": None},
        {"x-port-timestamp": None},
        {"x-port-timestamp": "yesterday"},
        {"x-port-timestamp": "1"},
    ],
)
def test_a_tampered_header_is_401_and_neither_event_nor_hint(
    door: Door, change: dict[str, Any]
) -> None:
    body = json.dumps(REQUEST).encode()
    headers = {k: v for k, v in (door.signed(body) | change).items() if v is not None}
    assert door.post(body, headers).status_code == 401
    assert door.post(body + b" ", door.signed(body)).status_code == 401
    assert door.post_signed(REQUEST, secret="other").status_code == 401
    assert door.offered == []
    assert door.hints == 0


def test_a_signature_that_is_too_old_or_too_early_is_refused(door: Door) -> None:
    now = door.now()
    assert door.post_signed(timestamp=now - 301).status_code == 401
    assert door.post_signed(timestamp=now + 301).status_code == 401
    assert door.post_signed(timestamp=now - 300).status_code == 202
    assert door.post_signed(timestamp=now + 300).status_code == 202


def test_time_does_not_bring_a_used_signature_back(door: Door) -> None:
    body = json.dumps(REQUEST).encode()
    headers = door.signed(body, timestamp=door.now() + 300)
    assert door.post(body, headers).status_code == 202
    for _ in range(7):
        door.clock.advance(100)
        assert door.post(body, headers).status_code == 401


def test_secrets_of_ones_own_stand_for_the_client_secret(open_door: Callable[..., Door]) -> None:
    door = open_door(secrets=("old", "new"))
    assert door.post_signed(secret="old").status_code == 202
    assert door.post_signed(secret="new").status_code == 202
    assert door.post_signed().status_code == 401


# -- calls that prove nothing ----------------------------------------------------------------


def test_an_unsigned_call_is_a_hint_and_no_event(door: Door) -> None:
    answer = door.post(REQUEST)
    assert answer.status_code == 202
    assert answer.json() == {"ok": True, "status": "checking"}
    assert door.offered == []
    assert door.hints == 1


def test_hints_do_not_pile_up_before_a_listener_that_is_busy(door: Door) -> None:
    for _ in range(5):
        assert door.post(REQUEST).status_code == 202
    assert door.hints == 1
    door.intake.hint_received()
    door.post(b"")
    assert door.hints == 2


def test_where_signatures_are_required_an_unsigned_call_is_refused(
    open_door: Callable[..., Door],
) -> None:
    door = open_door(verify_signature="required")
    assert door.post(REQUEST).status_code == 401
    assert door.hints == 0
    assert door.post_signed().status_code == 202


# -- addresses -------------------------------------------------------------------------------


def test_calls_from_addresses_that_are_not_allowed_are_403(open_door: Callable[..., Door]) -> None:
    strict = open_door(allowed_ips=("192.0.2.0/24",))
    assert strict.post_signed().status_code == 403
    assert open_door(allowed_ips=("127.0.0.0/8",)).post_signed().status_code == 202


def test_behind_a_trusted_proxy_the_forwarded_address_counts(
    open_door: Callable[..., Door],
) -> None:
    door = open_door(allowed_ips=("192.0.2.7",), trusted_proxies=("127.0.0.1", "10.0.0.0/8"))

    def status(forwarded_for: Any, timestamp: Any) -> Any:
        headers = door.signed(b"", timestamp=door.now() + timestamp)
        return door.post(b"", headers | {"X-Forwarded-For": forwarded_for}).status_code

    assert status("192.0.2.7", 1) == 202
    assert status("203.0.113.1, 192.0.2.7, 10.1.1.1", 2) == 202
    assert status("192.0.2.7, 203.0.113.1", 3) == 403
    assert status("garbage", 4) == 403


def test_without_a_trusted_proxy_the_forwarded_address_is_anybodys_claim(
    open_door: Callable[..., Door],
) -> None:
    door = open_door(allowed_ips=("192.0.2.7",))
    headers = door.signed(b"") | {"X-Forwarded-For": "192.0.2.7"}
    assert door.post(b"", headers).status_code == 403


# -- HTTP ------------------------------------------------------------------------------------


def test_every_refusal_is_json_without_a_banner(door: Door) -> None:
    url = door.server.url
    json_type = {"Content-Type": "application/json"}
    big = b"[" + b" " * 100_000 + b"]"
    refusals = {
        "no such path": (404, requests.post(url + "/other", timeout=10)),
        "a path of bytes": (404, requests.get(url + "/%ff%0a", timeout=10)),
        "wrong method": (405, requests.get(url + "/resync", timeout=10)),
        "wrong method there": (405, requests.post(url + "/health/live", timeout=10)),
        "wrong type": (415, door.post(b"{}", {"Content-Type": "text/plain"})),
        "no type": (415, door.post(b"{}", {})),
        "form": (415, requests.post(url + "/resync", data={"a": "b"}, timeout=10)),
        "too large": (413, door.post(big)),
        "far too large": (413, door.post(big * 30)),
        "too many chunks": (
            413, requests.post(url + "/resync", data=iter([big] * 3), headers=json_type, timeout=10)
        ),
        "no JSON": (400, door.post(b"{")),
        "no UTF-8": (400, door.post(b'"\xff"')),
        "no number": (400, door.post(b"NaN")),
        "too deep": (400, door.post(b"[" * 99_000)),
        "no JSON, signed": (400, door.post_signed(b"{")),
        "headers": (431, requests.get(url, headers={"x": "y" * 20_000}, timeout=10)),
    }  # fmt: skip
    for name, (status, answer) in refusals.items():
        assert answer.status_code == status, name
        assert answer.headers["Content-Type"] == "application/json", name
        assert "Server" not in answer.headers, name
        said = answer.json()
        assert said["ok"] is False, name
        assert set(said) == {"ok", "error", "message"}, name
        assert "waitress" not in answer.text.lower(), name
    assert refusals["wrong method"][1].headers["Allow"] == "POST"
    assert door.offered == []
    assert door.post_signed().status_code == 202


def test_a_body_of_exactly_the_limit_is_read_in_either_encoding(
    open_door: Callable[..., Door],
) -> None:
    door = open_door(max_body_bytes=1000)
    body = json.dumps(REQUEST).encode().ljust(1000)
    assert door.post_signed(body).status_code == 202
    headers = door.signed(body, timestamp=door.now() + 1)
    chunks = (body[start : start + 100] for start in range(0, 1000, 100))
    answer = requests.post(door.server.url + "/resync", data=chunks, headers=headers, timeout=10)
    assert answer.status_code == 202
    assert door.post_signed(body + b" ").status_code == 413


def test_types_that_are_json_are_let_in(door: Door) -> None:
    for kind in ("application/json; charset=utf-8", "APPLICATION/JSON", "application/x+json"):
        assert door.post({}, {"Content-Type": kind}).status_code == 202


def test_refusals_are_logged_with_the_source_at_a_bounded_rate(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "ocean_actors")
    for _ in range(50):
        door.post(b"{}", {"Content-Type": "text/plain"})
    requests.get(door.server.url + "/no%0asuch%1b[31mpath", timeout=10)
    lines = [record.getMessage() for record in caplog.records]
    assert sum("415" in line for line in lines) == 5
    assert all("127.0.0.1" in line for line in lines)
    assert not any("\n" in line or "\x1b" in line for line in lines)
    door.clock.advance(60)
    caplog.clear()
    door.post(b"{}", {"Content-Type": "text/plain"})
    assert "45 more" in caplog.records[-1].getMessage()


def test_no_secret_is_in_a_log_or_an_answer(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [door.post_signed(secret="other"), door.post_signed(), door.post_signed(b"{")]
    assert not any("s3cr3t" in answer.text for answer in answers)
    assert "s3cr3t" not in caplog.text


# -- health ----------------------------------------------------------------------------------


def test_it_is_live_at_once_and_ready_when_it_listens_and_has_heard_from_port(door: Door) -> None:
    def get(path: str) -> Any:
        answer = requests.get(door.server.url + path, timeout=10)
        return answer.status_code, answer.json()

    door.intake.shut()
    door.reached = False
    assert get("/health/live") == (200, {"ok": True})
    no = {"ok": False, "listening": False, "port": False, "standby": False}
    assert get("/health/ready") == (503, no)
    door.open()
    assert get("/health/ready") == (503, {**no, "listening": True})
    door.reached = True
    assert get("/health/ready") == (200, {**no, "ok": True, "listening": True, "port": True})


# -- mounted in somebody else's server ---------------------------------------------------------


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


def test_it_can_be_mounted_in_a_foreign_wsgi_application(door: Door) -> None:
    def site(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"].startswith("/hooks/"):
            environ["SCRIPT_NAME"] += "/hooks"
            environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/hooks")
            return door.app(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"the site"]

    with make_server("127.0.0.1", 0, site, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            body = json.dumps(REQUEST).encode()
            hook = url + "/hooks/resync"
            signed = requests.post(hook, data=body, headers=door.signed(body), timeout=10)
            assert signed.status_code == 202
            empty = requests.post(
                hook, headers=door.signed(b"", timestamp=door.now() + 1), timeout=10
            )
            assert empty.status_code == 202
            json_type = {"Content-Type": "application/json"}
            large = requests.post(hook, data=b" " * 100_001, headers=json_type, timeout=10)
            assert large.status_code == 413
            chunks = requests.post(hook, data=iter([b"{}"]), headers=json_type, timeout=10)
            assert chunks.status_code == 411
            assert requests.get(hook, timeout=10).status_code == 405
            assert requests.get(url + "/hooks/health/live", timeout=10).status_code == 200
            assert requests.get(url + "/", timeout=10).text == "the site"
        finally:
            server.shutdown()
            thread.join(30)
    assert len(door.offered) == 2
