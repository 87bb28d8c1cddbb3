"""What a batch of messages asks for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ocean_actors.listeners.kafka.scanner import Finding, Scanner


@dataclass
class Record:
    offset: int
    value: bytes | None


def batch(*messages: Any, first: int = 100) -> Any:
    values = [each if isinstance(each, bytes | None) else json.dumps(each) for each in messages]
    return [
        Record(first + number, each.encode() if isinstance(each, str) else each)
        for number, each in enumerate(values)
    ]


def request(identifier: str = "demo") -> dict[str, Any]:
    return {"action": "RESYNC", "context": {"integrationId": identifier}}


def update(config: Any, minute: int) -> dict[str, Any]:
    return {
        "action": "UPDATE",
        "diff": {
            "after": {
                "identifier": "demo",
                "config": config,
                "updatedAt": f"2026-10-01T08:{minute:02}:00.000Z",
            }
        },
        "changelogDestination": {"type": "KAFKA"},
    }


def found(scanner: Scanner, *messages: Any) -> Finding:
    finding = scanner.scan(batch(*messages))
    assert finding is not None
    return finding


def test_a_batch_of_noise_asks_for_nothing_and_is_not_parsed() -> None:
    scanner = Scanner("demo", requests_only=False)
    assert scanner.scan(batch(request("other"), b"no JSON at all", {"x": "\u00e9"})) is None
    assert scanner.messages == 3
    assert not scanner.unreadable


def test_an_identifier_that_is_escaped_is_found_as_well() -> None:
    scanner = Scanner("demo", requests_only=False)
    hidden = json.dumps(request()).replace("demo", "d\\u0065mo").encode()
    assert b"demo" not in hidden
    assert found(scanner, {}, hidden, {}).offset == 101


def test_all_requests_of_a_batch_are_one_at_the_offset_of_the_first() -> None:
    scanner = Scanner("demo", requests_only=False)
    finding = found(scanner, {}, request(), {}, request(), request(), {})
    assert finding.offset == 101
    assert finding.reason == "resync requested"
    assert scanner.requests == 3


def test_the_newest_config_of_a_batch_counts_whatever_its_order() -> None:
    scanner = Scanner("demo", requests_only=False)
    finding = found(scanner, update({"n": 2}, 9), update({"n": 1}, 8))
    assert finding.snapshot is not None
    assert finding.snapshot.config == {"n": 2}
    assert finding.reason == "configuration changed"


def test_a_request_and_an_update_are_named_together() -> None:
    finding = found(Scanner("demo", requests_only=False), request(), update({"n": 1}, 1))
    assert finding.reason == "configuration changed, resync requested"
    assert finding.snapshot is not None
    assert finding.snapshot.config == {"n": 1}


def test_malformed_messages_are_counted_and_hide_nothing() -> None:
    scanner = Scanner("demo", requests_only=False)
    poison = [None, b'{"demo', b'"demo"\xff', b'{"demo":' * 100_000, b"demo" * 3_000_000]
    finding = found(scanner, *poison, request(), *poison)
    assert finding.offset == 105
    assert scanner.unreadable == {
        "tombstone": 2, "not JSON": 2, "not UTF-8": 2, "nested too deeply": 2, "too long": 2,
    }  # fmt: skip


def test_what_names_us_and_is_not_ours_is_counted_by_reason() -> None:
    scanner = Scanner("demo", requests_only=False)
    echo = update({}, 1)
    echo["diff"]["after"]["resyncState"] = {"updatedAt": echo["diff"]["after"]["updatedAt"]}
    assert scanner.scan(batch(echo, {"title": "demo"})) is None
    assert scanner.irrelevant["own report"] == 1
    assert scanner.irrelevant.total() == 2
