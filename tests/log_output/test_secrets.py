"""No secret gets into anything that the package says, however it is spelled there."""

from __future__ import annotations

import base64
import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import requests
from waiting import wait_until

from ocean_actors import OceanSystem, ResyncHandler, ResyncRun, Settings, SettingsError
from ocean_actors.check import check
from ocean_actors.log import ContextFilter
from ocean_actors.log_output.json_format import JsonLineFormatter
from ocean_actors.log_output.text_format import TextFormatter
from ocean_actors.sandbox import Sandbox
from ocean_actors.web.signature import sign

WITHIN = 60.0
CLIENT_ID = "cl1ent/id+with=signs"
CLIENT_SECRET = 'cl1ent "secret" \\ with/signs+é='
WEBHOOK_SECRET = "webh00k secret/with+signs="
PASSWORD = 'k4fka "password"/with+signs='
CONTROL_TOKEN = "c0ntrol-token/with+signs="
ACCESS_TOKEN = "acc3ss-token-of-the-sandbox"
SECRETS = (
    CLIENT_ID, CLIENT_SECRET, WEBHOOK_SECRET, PASSWORD, CONTROL_TOKEN, ACCESS_TOKEN,
    f"{CLIENT_ID}:{CLIENT_SECRET}", f"\0kafka-user\0{PASSWORD}",
)  # fmt: skip


def spellings(secret: str) -> set[str]:
    """The secret as text, in URLs, in JSON, escaped, in hexadecimal, and inside of base64."""
    raw = secret.encode()
    found = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), raw.hex()}
    found |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    found |= {repr(secret)[1:-1], repr(raw)[2:-1]}
    for shift in range(3):  # where it begins within three bytes
        coded = base64.b64encode(b"\0" * shift + raw).decode()
        inner = coded[4 if shift else 0 : -4]  # what depends on the secret alone
        found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return found


FORBIDDEN = {spelling: secret for secret in SECRETS for spelling in spellings(secret)}


def leaks(text: str) -> list[str]:
    """The lines that hold a secret."""
    return [line for line in text.splitlines() if any(each in line for each in FORBIDDEN)]


class Said(logging.Handler):
    """Keeps everything that is logged, in every format."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(ContextFilter())
        self.formatters = (TextFormatter(), TextFormatter(coloured=True), JsonLineFormatter())
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts += [formatter.format(record) for formatter in self.formatters]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, attach: Callable[[logging.Handler, int], None]) -> Said:
    monkeypatch.setattr("secrets.token_urlsafe", lambda _bytes: ACCESS_TOKEN)
    handler = Said()
    attach(handler, logging.DEBUG)
    return handler


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(client_id=CLIENT_ID, client_secret=CLIENT_SECRET) as sandbox:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{unused.getsockname()[1]}"
        sandbox.set_kafka_credentials("kafka-user", PASSWORD, [address])
        sandbox.create_blueprint("thing")
        yield sandbox


class Works(ResyncHandler):
    def resync(self, run: ResyncRun) -> None:
        run.logger.debug("at work for %r", run)
        run.port.upsert("thing", [{"identifier": "1"}])


class Fails(ResyncHandler):
    def resync(self, run: ResyncRun) -> None:
        run.port.upsert("no such blueprint", [{"identifier": "1"}])
        raise ValueError(f"failed in {run!r}, {vars(run.info)}")


def settings_of(sandbox: Sandbox, listener: dict[str, Any], **more: Any) -> Settings:
    return Settings.from_dict(
        {
            "port": {
                "clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET, "baseUrl": sandbox.url,
            },
            "integration": {"identifier": "mine"},
            "eventListener": listener,
            "http": {"host": "127.0.0.1", "port": 0},
            "control": {"port": 0, "token": CONTROL_TOKEN},
            **more,
        },
        env={},
    )  # fmt: skip


def answers_of(system: OceanSystem) -> Iterator[str]:
    """What the servers say, to those who know the control server's token and those who do not."""
    for header in ({"Authorization": f"Bearer {CONTROL_TOKEN}"}, {"Authorization": "Bearer x"}, {}):
        for path in ("/", "/api/status", "/api/events?after=0", "/metrics", "/nothing"):
            for url in (system.control_url, system.http_url):
                answer = requests.get(f"{url}{path}", headers=header, timeout=10)
                yield f"{answer.headers}\n{answer.text}"


def call(system: OceanSystem, secret: str | None) -> int:
    """Call the webhook; returns the status."""
    body, now = b"", int(time.time())
    headers = {"Content-Type": "application/json", "x-port-timestamp": str(now)}
    if secret is not None:
        headers["x-port-signature"] = sign(secret.encode(), now, body)
    url = f"{system.http_url}/resync"
    return requests.post(url, data=body, headers=headers, timeout=10).status_code


def everything(said: Said, system: OceanSystem, sandbox: Sandbox, *more: str) -> str:
    texts = [*said.texts, *more, json.dumps(system.status()), repr(system.settings)]
    texts += [str(system.cause)]
    if sandbox.integration("mine") is not None:
        texts.append(json.dumps(sandbox.logs("mine")))
    return "\n".join(texts)


@pytest.mark.parametrize("handler", [Works, Fails])
def test_a_run_and_the_servers_beside_it_say_no_secret(
    said: Said, sandbox: Sandbox, handler: type[ResyncHandler]
) -> None:
    settings = settings_of(sandbox, {"type": "POLLING", "interval": 0.1})
    sandbox.fail("status", times=2, status=500, path="/organization")
    with OceanSystem(settings, [handler], serve_control=True) as system:
        wait_until(lambda: len(sandbox.statuses("mine")) == 2, "a reported run")
        sandbox.expire_tokens()
        sandbox.request_resync("mine")
        wait_until(lambda: len(sandbox.statuses("mine")) == 4, "two reported runs")
        answers = list(answers_of(system))
    text = everything(said, system, sandbox, *answers)
    assert "run " in text
    assert leaks(text) == []


def test_the_webhook_says_no_secret(said: Said, sandbox: Sandbox) -> None:
    listener = {
        "type": "WEBHOOK", "appHost": "http://127.0.0.1:1", "secrets": [WEBHOOK_SECRET],
    }  # fmt: skip
    with OceanSystem(settings_of(sandbox, listener), [Works], serve_control=True) as system:
        wait_until(lambda: sandbox.integration("mine"), "the integration")
        wait_until(lambda: call(system, WEBHOOK_SECRET) == 202, "an accepted call")
        assert call(system, "another secret") == 401
        call(system, None)
        answers = list(answers_of(system))
    text = everything(said, system, sandbox, *answers)
    assert "answered 401" in text
    assert leaks(text) == []


def test_a_broker_that_cannot_be_reached_says_no_secret(said: Said, sandbox: Sandbox) -> None:
    listener = {"type": "KAFKA", "securityProtocol": "SASL_PLAINTEXT"}
    with OceanSystem(settings_of(sandbox, listener), [Works], serve_control=True) as system:
        wait_until(lambda: "failing" in json.dumps(system.status()), "the failure in the status")
        answers = list(answers_of(system))
    assert leaks(everything(said, system, sandbox, *answers)) == []


def test_refused_credentials_and_the_check_say_no_secret(said: Said, sandbox: Sandbox) -> None:
    settings = settings_of(sandbox, {"type": "ONCE"})
    lines = [str(line) for line in check(settings, "config.yaml")]
    sandbox.configure(refuse_credentials=True)
    sandbox.expire_tokens()
    lines += [str(line) for line in check(settings, "config.yaml")]
    with OceanSystem(settings, [Works], serve_control=True) as system:
        assert system.wait(WITHIN)
    assert system.exit_code == 1
    text = everything(said, system, sandbox, *lines)
    assert "401" in text
    assert leaks(text) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": {"clientId": CLIENT_ID, "clientSecret": [CLIENT_SECRET], "baseUrl": "x"}},
        {"port": f"{CLIENT_ID}:{CLIENT_SECRET}", "integration": PASSWORD},
        {"control": {"token": {"a": CONTROL_TOKEN}}},
        {"eventListener": {"type": "WEBHOOK", "secrets": {"x": WEBHOOK_SECRET}}},
    ],
)
def test_settings_that_cannot_be_used_are_told_without_their_secrets(wrong: Any) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_dict(wrong, env={})
    assert leaks(f"{raised.value}\n{raised.value!r}") == []


@pytest.mark.parametrize("secret", SECRETS)
def test_a_leak_would_be_found_in_any_spelling(secret: str) -> None:
    for before in ("", "x", "xy"):
        coded = base64.b64encode((before + secret + "y").encode()).decode()
        assert leaks(f"Basic {coded}")
    for spelling in (secret, quote(secret), quote_plus(secret), json.dumps(secret), repr(secret)):
        assert leaks(f"before {spelling} after")
