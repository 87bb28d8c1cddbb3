"""Whatever is thrown at the sandbox, it answers like Port and goes on."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocean_actors.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
PATHS = [
    "/v1/auth/access_token",
    "/v1/organization",
    "/v1/kafka-credentials",
    "/v1/integration",
    "/v1/integration/{}",
    "/v1/integration/{}/config",
    "/v1/integration/{}/resync",
    "/v1/integration/{}/resync-request",
    "/v1/integration/{}/resync-state",
    "/v1/ingest/{}",
    "/v1/blueprints",
    "/v1/blueprints/{}",
    "/v1/blueprints/{}/entities",
    "/v1/blueprints/{}/entities/bulk",
    "/v1/blueprints/{}/entities/search",
    "/v1/blueprints/{}/entities/{}",
    "/v1/blueprints/{}/bulk/entities/delete",
    "/v1/blueprints/entities/datasource-entities",
    "/v1/entities/search",
    "/sandbox/faults",
    "/sandbox/settings",
    "/sandbox/kafka-credentials",
    "/sandbox/integrations/{}/config",
    "/sandbox/integrations/{}/reports",
    "/sandbox/entities",
    "/sandbox/state",
    "/sandbox/{}",
    "/{}",
]
NAMES = st.one_of(st.sampled_from(["demo", "package", "a"]), st.text(max_size=8))
KEYS = st.one_of(
    st.sampled_from(["identifier", "installationId", "title", "config", "changelogDestination"]),
    st.sampled_from(["type", "url", "status", "lastResyncStart", "clientId", "times", "rate"]),
    st.sampled_from(["entities", "properties", "relations", "schema", "required", "target"]),
    st.sampled_from(["combinator", "rules", "property", "operator", "value", "query", "limit"]),
    st.sampled_from(["from", "datasource_prefix", "datasource_suffix", "headers", "seconds"]),
    st.sampled_from(["version", "needs"]),
    st.text(max_size=5),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["demo", "package", "a", "and", "=", "KAFKA", "WEBHOOK", "2026-01-01", "string"]
    ),
    st.text(max_size=8),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=12,
)
BODIES = st.one_of(VALUES.map(lambda value: json.dumps(value).encode()), st.binary(max_size=50))
QUERIES = st.dictionaries(
    st.sampled_from(["upsert", "merge", "validation_only", "delete_dependents", "blueprint", "x"]),
    st.sampled_from(["true", "false", "", "maybe", "package"]),
    max_size=3,
)


@pytest.fixture(scope="module")
def target() -> Iterator[Any]:
    """One sandbox for all that is thrown, with something in it, and a client that may in."""
    with Sandbox() as sandbox, requests.Session() as session:
        sandbox.create_integration("demo")
        schema = {"properties": {"version": {"type": "string"}}, "required": []}
        needs = {"needs": {"target": "package", "many": True}}
        sandbox.create_blueprint("package", schema=schema, relations=needs)
        yield sandbox, session


def log_in(sandbox: Sandbox, session: Any) -> None:
    sandbox.clear_faults()
    sandbox.configure(refuse_credentials=False, token_lifetime=3600)
    credentials = {"clientId": "sandbox", "clientSecret": "sandbox-secret"}
    token = session.post(f"{sandbox.url}/v1/auth/access_token", json=credentials, timeout=30)
    session.headers["Authorization"] = "Bearer " + token.json()["accessToken"]


@settings(max_examples=250, suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(METHODS),
    path=st.sampled_from(PATHS),
    names=st.tuples(NAMES, NAMES),
    query=QUERIES,
    body=BODIES,
)
def test_a_call_of_any_shape_is_answered_like_port(
    target: Any, method: str, path: str, names: Any, query: Any, body: Any
) -> None:
    sandbox, session = target
    log_in(sandbox, session)
    path = path.format(*(quote(name.encode("utf-8", "replace"), safe="") for name in names))
    answer = session.request(
        method, sandbox.url + path, params=query, data=body, timeout=30, allow_redirects=False
    )
    assert answer.status_code < 500, (answer.text, method, path, body)
    if method != "HEAD":
        assert answer.json()["ok"] is answer.ok
        if not answer.ok:
            assert set(answer.json()) == {"ok", "error", "message"}


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"config": {"a": ' + b"[" * 200 + b"]" * 200 + b"}}",
        b'{"config": {"a": NaN}}',
        b'{"config": {"a": 1e999}}',
        b'{"config": {"a": ' + b"9" * 10_000 + b"}}",
        b'{"config": {"a": "\xff"}}',
        b"{",
        b"\x00",
    ],
    ids=lambda body: str(body[:12]),
)
def test_a_body_that_no_json_reader_should_have_to_bear_is_refused(
    demo: Client, body: bytes
) -> None:
    answer = demo.call("PATCH", "/integration/demo", data=body)
    assert answer.status_code in {400, 422}
    assert answer.json()["ok"] is False
    assert demo.ask("GET", "/integration/demo")["integration"]["config"] == {}


@pytest.mark.parametrize("body", [b"[]", b"5", b'"text"', b"true"])
def test_a_body_that_is_no_object_is_refused(demo: Client, body: bytes) -> None:
    assert demo.call("PATCH", "/integration/demo", data=body).status_code == 422


@pytest.mark.parametrize(
    "first_line",
    [
        b"GET /v1/organization HTTP/9.9",
        b"GET http://elsewhere/v1/organization HTTP/1.1",
        b"GET //v1//organization HTTP/1.1",
        b"GET /v1/integration/%ff%00 HTTP/1.1",
        b"BREW /v1/organization HTTP/1.1",
        b"GET /\xff\xfe HTTP/1.1",
        b"GET * HTTP/1.1",
        b"nonsense",
    ],
)
def test_a_first_line_of_any_shape_costs_the_server_nothing(
    sandbox: Sandbox, client: Client, first_line: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=30) as connection:
        connection.sendall(first_line + b"\r\nHost: here\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.split(b" ", 2)[1].startswith((b"4", b"505")), answer
    assert b"Traceback" not in answer
    assert client.ask("GET", "/organization")["ok"]
