"""What an upsert would leave in Port, and how that differs from what is there."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.frozen import freeze
from ocean_actors.messages import RunInfo
from ocean_actors.port.client import PortClient
from ocean_actors.port.dry_run import (
    Change,
    ChangedEntity,
    DryRunCounts,
    DryRunResult,
    after_upsert,
    compare,
    refusal,
    secret_fields,
    shown_change,
)
from ocean_actors.port.dry_run_writer import DryRunWriter
from ocean_actors.sandbox.catalog import Catalog
from ocean_actors.sandbox.entity_rules import Writing
from ocean_actors.sandbox.errors import ApiError
from ocean_actors.sandbox.stamps import Stamps
from ocean_actors.testing import ManualClock

NAMES = st.sampled_from(["a", "b", "c"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)
BLUEPRINT: dict[str, Any] = {
    "identifier": "thing",
    "schema": {"properties": {name: {"type": "string"} for name in "ab"}, "required": ["a"]},
    "relations": {name: {"target": "thing", "many": True} for name in "ab"},
}
ENTITIES = st.fixed_dictionaries(
    {"identifier": st.just("x")},
    optional={
        "title": st.none() | st.text(max_size=3),
        "icon": st.none() | st.text(max_size=3),
        "team": st.lists(st.text(max_size=2), max_size=2),
        "properties": st.dictionaries(NAMES, st.none() | st.text(max_size=2) | st.integers(0, 2)),
        "relations": st.dictionaries(NAMES, st.none() | st.just("x") | st.just(["x"])),
    },
)


@given(first=ENTITIES, second=ENTITIES, merge=st.booleans())
def test_the_sandbox_does_what_the_comparison_says(
    first: dict[str, Any], second: dict[str, Any], merge: bool
) -> None:
    catalog = Catalog(Stamps(ManualClock()))
    catalog.create_blueprint(BLUEPRINT)
    writing = Writing(upsert=True, merge=merge, create_missing=True)
    before = None
    for sent in (first, second):
        after = after_upsert(before, sent, merge=merge)
        try:
            held = catalog.write("thing", sent, writing, "me")[0].as_json()
        except ApiError:
            assert refusal(after, BLUEPRINT) is not None
            continue
        assert refusal(after, BLUEPRINT) is None
        assert compare(held, after) == ()
        if before is not None:
            changed = {change.name for change in compare(before, after)}
            assert changed == {change.name for change in compare(before, held)}
        before = held


@given(ENTITIES)
def test_sending_what_port_has_changes_nothing(sent: dict[str, Any]) -> None:
    after = after_upsert(None, sent, merge=True)
    assert compare(after, after_upsert(after, sent, merge=True)) == ()


@given(old=VALUES, new=VALUES)
def test_a_difference_shows_in_both_directions(old: Any, new: Any) -> None:
    one, other = ({"properties": {"a": value}} for value in (old, new))
    assert bool(compare(one, other)) == bool(compare(other, one))


def test_true_is_not_one_and_one_is_the_same_as_a_float() -> None:
    def of(value: Any) -> dict[str, Any]:
        return {"properties": {"a": [value]}}

    assert compare(of(True), of(1)) == (Change("properties.a", [True], [1]),)
    assert compare(of(1.0), of(1)) == ()


@pytest.mark.parametrize("nothing", [None, []])
def test_no_value_is_the_same_as_an_empty_one(nothing: Any) -> None:
    assert compare({}, {"team": nothing, "relations": {"owner": nothing}}) == ()


@given(name=st.text(max_size=200), old=VALUES, new=VALUES)
def test_a_difference_is_one_short_printable_line(name: str, old: Any, new: Any) -> None:
    line = shown_change(Change(f"properties.{name}", old, [new] * 100), frozenset())
    assert line.isprintable()
    assert len(line) < 250


@pytest.mark.parametrize("name", ["apiToken", "password", "client_secret", "ssn"])
def test_the_values_of_secrets_are_not_shown(name: str) -> None:
    blueprint = {"schema": {"properties": {"ssn": {"type": "string", "encryption": "aes256-gcm"}}}}
    secret = secret_fields(blueprint)
    change = Change(f"properties.{name}", "hidden-1", "hidden-2")
    assert shown_change(change, secret) == f"properties.{name}: *** -> ***"


def test_secrets_within_a_value_are_not_shown() -> None:
    new = {"user": "me", "password": "hidden-1", "more": [{"accessKey": {"a": "hidden-2"}}]}
    line = shown_change(Change("properties.login", {"password": "hidden-3"}, new))
    assert "hidden" not in line
    assert '"user": "me"' in line


def test_what_is_no_secret_is_shown_under_any_name() -> None:
    assert shown_change(Change("properties.private", old=False, new=True)).endswith("false -> true")
    assert shown_change(Change("properties.token", None, "hidden")).endswith(": null -> ***")


@pytest.mark.parametrize(
    ("old", "new"), [("a b", "a  b"), ("a", "a\u200b"), ("x" * 500, "x" * 499 + "y")]
)
def test_two_values_that_differ_look_different(old: str, new: str) -> None:
    line = shown_change(Change("properties.text", old, new))
    before, after = line.removeprefix("properties.text: ").split(" -> ")
    assert before != after
    assert line.isprintable()


def test_the_table_adds_up(run_info: RunInfo) -> None:
    result = DryRunResult(
        run_info,
        {"a": DryRunCounts(created=1, changed=6, repeated=2), "total": DryRunCounts(created=2)},
        (ChangedEntity("a", "x", ("title: null -> 1",)),),
        ("not complete: the run was aborted",),
    )
    lines = list(result.lines())
    assert lines[1].split()[-1] == "repeated"
    assert [line.split() for line in lines[2:5]] == [
        ["a", "1", "6", "0", "0", "0", "2"],
        ["total", "2", "0", "0", "0", "0", "0"],
        ["total", "3", "6", "0", "0", "0", "2"],
    ]
    assert lines[5:] == [
        "a x would change:",
        "  title: null -> 1",
        "and 5 more would change",
        "not complete: the run was aborted",
    ]


def test_a_run_that_sends_nothing_says_so(run_info: RunInfo) -> None:
    assert list(DryRunResult(run_info, {}).lines())[1:] == ["no entities were sent"]


def test_without_a_thread_for_the_users_function_one_line_says_so(
    client: PortClient,
    run_info: RunInfo,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    shown: list[DryRunResult] = []
    writer = DryRunWriter(client.clone(), run_info, (), show=shown.append)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        writer.close()
    assert shown == []
    (line,) = (each.getMessage() for each in caplog.records)
    assert line == (
        "the result of dry run run-1 could not be shown: RuntimeError: can't start new thread"
    )


@pytest.fixture
def run_info() -> RunInfo:
    now = datetime.now(timezone.utc)
    return RunInfo(
        id="run-1", number=1, trigger="t", reason="r", requested_at=now, started_at=now,
        config=freeze({}),
    )  # fmt: skip
