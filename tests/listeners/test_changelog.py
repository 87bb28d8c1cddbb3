"""Which messages of the change log concern an integration: docs/port-wire.md, section 7."""

from __future__ import annotations

import json
import random
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.listeners.changelog import (
    MAX_BYTES,
    ConfigUpdate,
    Irrelevant,
    Needle,
    ResyncAsked,
    Unreadable,
    interpret,
    may_concern,
    read,
)

REQUEST = {"action": "RESYNC", "resourceType": "integration", "context": {"integrationId": "demo"}}


def update(destination: str = "KAFKA", **after: Any) -> dict[str, Any]:
    return {
        "action": "UPDATE",
        "resourceType": "integration",
        "context": {},
        "diff": {
            "before": {"identifier": "demo"},
            "after": {
                "identifier": "demo",
                "installationId": "demo",
                "updatedAt": "2026-10-01T08:05:00.000Z",
                "config": {"resources": [{"kind": "repository"}]},
                "resyncState": {"status": "completed", "updatedAt": "2026-10-01T08:00:02.000Z"},
                **after,
            },
        },
        "changelogDestination": {"type": destination},
    }


def test_a_resync_request_counts_whatever_the_destination() -> None:
    for more in ({}, {"changelogDestination": {"type": "WEBHOOK"}}, {"changelogDestination": None}):
        assert interpret({**REQUEST, **more}, "demo") == ResyncAsked(), more


def test_on_the_topic_of_requests_the_action_is_not_read() -> None:
    message = {"context": {"integrationId": "demo"}}
    assert interpret(message, "demo", requests_only=True) == ResyncAsked()
    assert isinstance(interpret(message, "demo"), Irrelevant)
    assert isinstance(interpret(update(), "demo", requests_only=True), Irrelevant)


def test_an_update_carries_the_config_and_ports_time() -> None:
    verdict = interpret(update(), "demo")
    assert isinstance(verdict, ConfigUpdate)
    assert verdict.snapshot is not None
    assert verdict.snapshot.config == {"resources": [{"kind": "repository"}]}
    assert verdict.snapshot.updated_at == datetime(2026, 10, 1, 8, 5, tzinfo=timezone.utc)


@pytest.mark.parametrize("absent", [{"identifier": None}, {"installationId": "another"}])
def test_either_name_of_the_integration_will_do(absent: dict[str, Any]) -> None:
    assert isinstance(interpret(update(**absent), "demo"), ConfigUpdate)


@pytest.mark.parametrize(
    "after", [{"resyncState": None}, {"resyncState": {}}, {"resyncState": "none"}]
)
def test_an_update_before_the_first_run_counts(after: dict[str, Any]) -> None:
    assert isinstance(interpret(update(**after), "demo"), ConfigUpdate)


@pytest.mark.parametrize("config", [None, "missing", 3])
def test_an_update_without_a_config_has_no_snapshot(config: Any) -> None:
    assert interpret(update(config=config), "demo") == ConfigUpdate(None)


def test_a_config_too_deep_to_be_kept_is_left_to_the_api() -> None:
    config: dict[str, Any] = {}
    for _ in range(5_000):
        config = {"inner": config}
    assert interpret(update(config=config), "demo") == ConfigUpdate(None)


@pytest.mark.parametrize("reported", ["2026-10-01T08:05:00.000Z", "2026-10-01T08:05:00+00:00"])
def test_the_echo_of_an_own_report_is_ignored(reported: str) -> None:
    message = update(resyncState={"status": "running", "updatedAt": reported})
    assert interpret(message, "demo") == Irrelevant("own report")


def test_a_message_that_cannot_be_told_from_an_own_report_is_ignored() -> None:
    assert isinstance(interpret(update(updatedAt=None), "demo"), Irrelevant)


def test_the_destination_is_that_of_the_listener() -> None:
    assert isinstance(interpret(update("WEBHOOK"), "demo"), Irrelevant)
    assert isinstance(interpret(update("WEBHOOK"), "demo", "WEBHOOK"), ConfigUpdate)
    assert isinstance(interpret(update("KAFKA"), "demo", "WEBHOOK"), Irrelevant)


@pytest.mark.parametrize(
    "message",
    [
        {**update(), "changelogDestination": None},
        {**update(), "changelogDestination": {}},
        {**update(), "diff": None},
        {**update(), "diff": {"before": {"identifier": "demo"}, "after": None}},
        {**update(), "resourceType": "entity"},
        update(identifier="other", installationId="other"),
        {**REQUEST, "context": None},
        {**REQUEST, "context": {"integrationId": "demo2"}},
        {**REQUEST, "context": {"integrationId": ["demo"]}},
        {**REQUEST, "action": "resync"},
        {},
        [],
        [REQUEST],
        "demo",
        None,
        3,
        True,
    ],
)
def test_everything_else_is_ignored(message: Any) -> None:
    assert isinstance(interpret(message, "demo"), Irrelevant)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("demo"),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["action", "context", "diff", "after", "identifier", "integrationId", "updatedAt",
             "resyncState", "changelogDestination", "type", "config", "resourceType"]
        ),
        inner, max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip


@given(json_like)
def test_no_shape_is_too_strange_to_be_interpreted(message: Any) -> None:
    assert interpret(message, "demo") is not None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        (b"", "not JSON"),
        (b"demo", "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b"9" * 10_000, "not JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
        ('{"a": "demo"}'.encode("utf-16"), "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"demo":' * 200_000, "nested too deeply"),
        (b'"' + b"x" * MAX_BYTES + b'"', "too long"),
    ],
)
def test_what_is_not_json_is_refused_with_a_reason(value: Any, reason: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read(value)
    assert str(refused.value) == reason


def escaped(text: str, seed: Any) -> str:
    """The JSON string of `text` with some characters escaped, in one of the possible ways."""
    jitter = random.Random(seed)  # noqa: S311
    short = {'"': '"', "\\": "\\", "/": "/", "\n": "n", "\t": "t", "\b": "b", "\f": "f", "\r": "r"}
    parts = []
    for character in text:
        units = character.encode("utf-16-be")
        codes = [units[i : i + 2].hex() for i in range(0, len(units), 2)]
        ways = ["".join("\\u" + code for code in codes), "".join(f"\\u{c.upper()}" for c in codes)]
        if character in short:
            ways.append("\\" + short[character])
        if character not in '"\\' and character >= " ":
            ways.append(character)
        parts.append(jitter.choice(ways))
    return '"' + "".join(parts) + '"'


identifiers = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.text('ab-/"\\\n', min_size=1, max_size=8),
    st.just("my-custom-integration"),
)


@given(identifiers, st.integers(), st.text(max_size=30))
def test_the_shortcut_never_loses_a_message(identifier: str, seed: Any, noise: Any) -> None:
    name = escaped(identifier, seed)
    context = f'{{"noise": {json.dumps(noise)}, "integrationId": {name}}}'
    value = f'{{"action": "RESYNC", "context": {context}}}'
    assert interpret(read(value.encode()), identifier) == ResyncAsked()
    assert may_concern(value.encode(), Needle.of(identifier))


@given(identifiers, json_like, st.booleans())
def test_what_the_shortcut_skips_would_be_irrelevant(
    identifier: str, message: Any, ascii_only: Any
) -> None:
    value = json.dumps(message, ensure_ascii=ascii_only).encode()
    if not may_concern(value, Needle.of(identifier)):
        assert isinstance(interpret(read(value), identifier), Irrelevant)


def test_the_shortcut_skips_ordinary_noise_however_it_is_escaped() -> None:
    noise = json.dumps({"title": 'She said "no" to C:\\temp/x', "name": "中文 é"}).encode()
    assert b"\\u4e2d" in noise
    assert not may_concern(noise, Needle.of("my-custom-integration"))
    assert not may_concern(noise, Needle.of("demo"))
