"""What the child may write on its pipe, and what is made of anything else."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.ocean.child.pipe import Parent
from ocean_actors.ocean.protocol import (
    Failed,
    Finished,
    KindProgress,
    Logged,
    ProtocolError,
    Ready,
    Requested,
    RunCounts,
    command,
    parsed,
)

KIND = {
    "kind": "issue", "index": 1, "blueprint": "issue", "state": "syncing",
    "extract_raw_extracted": 7, "transform_transformed": 6, "transform_failed": 1,
    "load_loaded": 4, "load_skipped": 1, "load_failed": 1, "something_newer": 3,
}  # fmt: skip


def line(event: str, **fields: object) -> bytes:
    return json.dumps({"event": event, **fields}).encode() + b"\n"


@pytest.mark.parametrize(
    ("written", "event"),
    [
        (
            line("ready", port=8000, version="0.56.2", kinds=["b"]),
            Ready(8000, "0.56.2", ("b",)),
        ),
        (line("requested"), Requested()),
        (line("failed", reason="no\nway", lasting=True), Failed("no way", True)),
        (line("logged", level="ODD", text="a\nb", run=None), Logged("INFO", "a\nb", None)),
        (
            line("finished", run=3, status="failed", failure="x", total=2, kinds=[KIND], deleted=5),
            Finished(
                3, "failed", "x",
                RunCounts(2, (KindProgress("issue", 1, "issue", "syncing", 7, 4, 1, 2),), 5),
            ),
        ),
    ],
)  # fmt: skip
def test_an_event_is_read(written: bytes, event: object) -> None:
    assert parsed(written) == event


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (b"\x1b[31mhello", "it is not JSON"),
        (b"\xff\xfe", "ValueError|UnicodeDecodeError|it is not JSON"),
        (b"[1]", "expected a JSON object"),
        (b'{"event": 3}', "event: expected text"),
        (line("surprise"), "unknown event surprise"),
        (line("ready", port=0, version="1", kinds=[]), "port: expected a number from 1"),
        (line("ready", port=True, version="1", kinds=[]), "port: expected a count"),
        (line("ready", port=1, version="1", kinds=[{}]), "kinds: expected texts"),
        (line("finished", run=1, status="fine"), "status: expected one of completed"),
        (line("finished", run=-1, status="completed"), "run: expected a count"),
        (line("progressed", run=1, kinds="many"), "kinds: expected a list"),
        (line("failed", reason="x", lasting="no"), "lasting: expected true or false"),
        (b"[" * 100_000, "RecursionError|it is not JSON"),
    ],
)
def test_anything_else_is_told_in_one_escaped_line(written: bytes, why: str) -> None:
    with pytest.raises(ProtocolError, match=why) as told:
        parsed(written)
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 400


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
NAMES = st.sampled_from(
    ["run", "status", "failure", "total", "kinds", "deleted", "port", "version", "level", "text",
     "reason", "lasting"]
)  # fmt: skip
EVENTS = st.sampled_from(["ready", "requested", "progressed", "finished", "logged", "failed", "?"])


@given(st.binary() | st.builds(lambda value: json.dumps(value).encode(), JSON_LIKE))
def test_no_garbage_raises_anything_but_a_protocol_error(garbage: bytes) -> None:
    try_to_parse(garbage)


@given(EVENTS, st.dictionaries(NAMES, JSON_LIKE))
def test_no_fields_of_an_event_raise_anything_else(event: str, fields: dict[str, Any]) -> None:
    try_to_parse(json.dumps({**fields, "event": event}).encode())


def try_to_parse(written: bytes) -> None:
    told = ""
    try:
        hash(parsed(written))
    except ProtocolError as error:
        told = str(error)
    assert told == "" or told.isprintable()


def test_a_command_is_one_line() -> None:
    assert command("run", run=3, id="a\nb") == b'{"command": "run", "run": 3, "id": "a\\nb"}\n'


def test_an_event_survives_what_the_integration_wrote_to_its_descriptor() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"junk without a line break")
    Parent(writing).send("requested")
    os.close(writing)
    with open(reading, "rb") as stream:
        lines = [line for line in stream.read().split(b"\n") if line]
    assert parsed(lines[-1]) == Requested()
