"""Which of the addresses that Port names are given the access token."""

from __future__ import annotations

from typing import Any

import pytest

from ocean_actors.port.client import PortClient
from ocean_actors.port.errors import PortError
from ocean_actors.port.ingest import below, ingest_addresses
from ocean_actors.port.models import Integration, parse_integration
from ocean_actors.sandbox import Sandbox

PORT = "https://api.getport.io"
LOCAL = "http://127.0.0.1:8099"
SECRET = "sandbox-secret"


def usable(address: str, base_url: str = PORT) -> bool:
    found = ingest_addresses(Integration(metrics_url=address, logs_url=address), base_url)
    assert found.metrics == found.logs
    return found.logs == address


@pytest.mark.parametrize(
    "address",
    [
        "https://ingest.getport.io/metrics/abc",
        "https://ingest.getport.io:8443/logs/abc?key=1",
        "https://ingest.example.org",
    ],
)
def test_an_address_under_tls_is_used(address: str) -> None:
    assert usable(address)
    assert usable(address, LOCAL)


@pytest.mark.parametrize(
    "address",
    [
        "http://ingest.getport.io/logs",
        "http://127.0.0.1:8099/logs",
        "http://169.254.169.254/latest",
        "ftp://ingest.getport.io",
        "file:///etc/passwd",
        "//ingest.getport.io/logs",
        "ingest.getport.io",
        "https://",
        "https://user:secret@ingest.getport.io/",
        "https://api.getport.io@evil.example/",
        "https://evil.example\\@api.getport.io/",
        "https://ingest.getport.io/a b",
        "https://ingest.getport.io/\r\nHost: evil",
        "https://ingest.getport.io/#x",
        "https://ingest.getport.io:port/",
        "https://[::1",
        "https://ingest.getpört.io/",
        "https://ingest.getport.io/" + "x" * 2000,
        "",
    ],
)
def test_an_address_that_might_leak_the_token_is_not_used(address: str) -> None:
    assert not usable(address)


@pytest.mark.parametrize(
    ("address", "base_url", "used"),
    [
        ("http://127.0.0.1:8099/logs", LOCAL, True),
        ("http://localhost:5555/logs", LOCAL, True),
        ("http://port.test/logs", "http://port.test:8080", True),
        ("http://evil.example/logs", LOCAL, False),
        ("http://169.254.169.254/latest", LOCAL, False),
        ("HTTP://127.0.0.1:8099/logs", LOCAL, True),
    ],
)
def test_plain_http_is_for_a_port_that_is_itself_reached_by_it(
    address: str, base_url: str, used: bool
) -> None:
    assert usable(address, base_url) == used


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"ingestUrl": "https://ingest.test"}, "https://ingest.test"),
        ({"ingestUrl": 7}, None),
        ({"ingestUrl": None}, None),
        ({}, None),
        (None, None),
        (["https://ingest.test"], None),
        ("https://ingest.test", None),
    ],
)
def test_the_address_is_read_from_ports_answer_whatever_that_holds(
    attributes: Any, expected: str | None
) -> None:
    fields = {"metricAttributes": attributes, "logAttributes": attributes}
    found = parse_integration({"integration": {"identifier": "demo", "config": {}, **fields}})
    assert (found.metrics_url, found.logs_url) == (expected, expected)
    absent = parse_integration({"integration": {"identifier": "demo", "config": {}}})
    assert (absent.metrics_url, absent.logs_url) == (None, None)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://a.test", "https://a.test/heartbeat"),
        ("https://a.test/", "https://a.test/heartbeat"),
        ("https://a.test/x/y", "https://a.test/x/y/heartbeat"),
        ("https://a.test/x?k=1", "https://a.test/x/heartbeat?k=1"),
    ],
)
def test_paths_are_joined_below_the_address(address: str, expected: str) -> None:
    assert below(address, "/heartbeat") == expected


def test_another_host_is_given_the_token_and_never_the_secret(
    client: PortClient, sandbox: Sandbox
) -> None:
    with Sandbox(client_secret="another secret") as other:
        address = f"{other.url}/v1/ingest/demo/logs?key=hidden"
        for _ in range(2):
            with pytest.raises(PortError) as caught:
                client.deliver("POST", address, {"logs": []})
        assert caught.value.status == 401
        assert "hidden" not in str(caught.value)
        assert [call.path for call in other.calls] == ["/v1/ingest/demo/logs"] * 2
        assert all(SECRET.encode() not in call.raw for call in other.calls)
    assert [call.path for call in sandbox.calls] == ["/v1/auth/access_token"]
