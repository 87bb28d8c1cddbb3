"""What Port's page is told of each kind, beside what upstream's client sends for the same work.

The expectations were recorded from upstream's port-ocean 0.56.2, which ran two kinds, `widget`
with three entities and `gadget` with one, against the sandbox.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ocean_actors.frozen import FrozenDict
from ocean_actors.messages import HandlerEnded, RunEnded, RunInfo, Status, Written
from ocean_actors.port.kind_metrics import (
    KindMetrics,
    RunMetrics,
    Source,
    run_ends,
    runtime_begins,
)

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
RUN = RunInfo("abc-1", 1, "test", "test", BEGAN, BEGAN, FrozenDict())
SOURCE = Source("demo", "toy", "0.0.1", "OnPrem")
KINDS = {"Widgets": ("widget",), "Gadgets": ("gadget",)}

UPSTREAM_WIDGET: dict[str, Any] = {  # at its end; figures of its process are left out
    "integrationType": "toy",
    "installationType": "OnPrem",
    "executionMode": "single_process",
    "integrationIdentifier": "demo",
    "integrationVersion": "0.0.1",
    "oceanVersion": "0.56.2",
    "kindIdentifier": "widget-0",
    "kind": "widget",
    "kindIndex": 0,
    "eventId": "abc-1",
    "syncState": "completed",
    "blueprint": '"bw"',  # the expression in the mapping
    "metrics": {
        "phase": {
            "resync": {"duration_seconds": 0.27, "success": 1.0},
            "extract": {"object_count_type": {"raw_extracted": {"object_count": 3.0}}},
            "transform": {
                "object_count_type": {
                    "transformed": {"object_count": 3.0},
                    "filtered_out": {"object_count": 0.0},
                    "failed": {"object_count": 0.0},
                }
            },
            "load": {
                "object_count_type": {
                    "loaded": {"object_count": 3.0},
                    "failed": {"object_count": 0.0},
                    "skipped": {"object_count": 0.0},
                }
            },
        }
    },
}
UPSTREAM_PSEUDO_KINDS: list[tuple[str, str, dict[str, Any]]] = [
    ("__runtime__", "syncing", {"resync": {"success": 0.0}}),
    (
        "__reconciliation__",
        "completed",
        {
            "resync": {"duration_seconds": 0.13, "success": 1.0},
            "delete": {"object_count_type": {"deleted": {"object_count": 0.0}}},
        },
    ),
    ("__runtime__", "completed", {"resync": {"duration_seconds": 13.7, "success": 1.0}}),
]


def ended(
    handler: str, *written: tuple[str, Written], status: Status = "completed", seconds: float = 0.27
) -> HandlerEnded:
    return HandlerEnded(RUN, handler, status, BEGAN + timedelta(seconds=seconds), written)


def run_ended(status: Status, written: Written) -> RunEnded:
    return RunEnded(RUN, status, BEGAN + timedelta(seconds=13.7), (), written)


def states(metrics: RunMetrics) -> list[tuple[str, str]]:
    return [(row.identifier, row.state) for row in metrics.all()]


def assert_part_of(ours: Any, upstreams: Any) -> None:
    """Ours has no key that upstream's has not, and the same values, but for versions and names."""
    if isinstance(ours, dict):
        assert ours.keys() <= upstreams.keys()
        for key, value in ours.items():
            if key not in ("oceanVersion", "blueprint"):
                assert_part_of(value, upstreams[key])
    else:
        assert ours == upstreams


def test_a_kind_is_described_as_upstream_describes_it() -> None:
    run = RunMetrics.pending(RUN.id, KINDS)
    run = run.with_handler_ended(ended("Widgets", ("bw", Written(upserted=3))))
    body = run.rows["Widgets"][0].body(SOURCE, RUN.id)
    assert_part_of(body, UPSTREAM_WIDGET)
    assert body.keys() == UPSTREAM_WIDGET.keys()
    assert body["blueprint"] == "bw"
    assert body["metrics"]["phase"].keys() == {"resync", "load"}  # of the others we know nothing


def test_the_phases_of_the_whole_run_are_described_as_upstream_describes_them() -> None:
    rows = [runtime_begins(), *run_ends(run_ended("completed", Written(4, reconciled=True)))]
    assert [(row.identifier, row.state) for row in rows] == [
        (name, state) for name, state, _ in UPSTREAM_PSEUDO_KINDS
    ]
    for row, (name, _, phases) in zip(rows, UPSTREAM_PSEUDO_KINDS, strict=True):
        body = row.body(SOURCE, RUN.id)
        assert body.keys() == UPSTREAM_WIDGET.keys()
        assert (body["kind"], body["kindIndex"], body["blueprint"]) == (name, 0, "")
        assert_part_of(body["metrics"]["phase"], phases)


def test_kinds_go_from_pending_to_their_end_one_by_one() -> None:
    run = RunMetrics.pending(RUN.id, KINDS)
    assert states(run) == [("widget-0", "pending"), ("gadget-1", "pending")]
    run = run.syncing()
    assert states(run) == [("widget-0", "syncing"), ("gadget-1", "syncing")]
    run = run.with_handler_ended(ended("Gadgets", status="failed"))
    assert states(run) == [("widget-0", "syncing"), ("gadget-1", "failed")]
    run = run.with_handler_ended(ended("Widgets", status="aborted"))
    assert states(run) == [("widget-0", "aborted"), ("gadget-1", "failed")]


def test_a_handler_without_kinds_has_a_row_of_its_own() -> None:
    run = RunMetrics.pending(RUN.id, {"Sync": (), "Other": ("a", "b")})
    assert [row.identifier for row in run.all()] == ["Sync-0", "a-1", "b-2"]
    assert [row.kind for row in run.all()] == ["Sync", "a", "b"]


def test_a_run_of_some_handlers_has_their_rows_under_the_usual_identifiers() -> None:
    run = RunMetrics.pending(RUN.id, KINDS)
    assert [row.identifier for row in run.of(("Gadgets",), ("gadget",)).all()] == ["gadget-1"]
    assert run.of((), ("widget", "gadget")) == run


def test_a_run_for_some_kinds_shows_no_other_kind_of_its_handlers() -> None:
    every = RunMetrics.pending(RUN.id, {"Both": ("a", "b"), "Any": (), "Other": ("c", "d")})
    run = every.of(("Both", "Any"), ("b",))
    assert states(run) == [("b-1", "pending"), ("Any-2", "pending")]
    run = run.with_handler_ended(ended("Both", ("a", Written(2)), ("b", Written(3))))
    assert [(row.identifier, row.loaded) for row in run.all()] == [("b-1", 3), ("Any-2", 0)]


def test_two_handlers_of_one_kind_are_told_apart() -> None:
    run = RunMetrics.pending(RUN.id, {"One": ("thing",), "Two": ("thing",)})
    assert [row.identifier for row in run.all()] == ["thing-0", "thing-1"]


@pytest.mark.parametrize(
    ("kinds", "written", "expected"),
    [
        ((), {}, [("", 0, 0)]),
        (("k",), {"x": (2, 1), "y": (3, 0)}, [("", 5, 1)]),
        (("a", "b"), {"a": (2, 1), "b": (3, 0)}, [("a", 2, 1), ("b", 3, 0)]),
        (("a", "b"), {"a": (2, 1)}, [("a", 2, 1), ("", 0, 0)]),
        (("a", "b"), {"a": (2, 1), "x": (9, 9)}, [("a", 2, 1), ("", None, None)]),
    ],
    ids=["none", "one kind has all", "by name", "nothing written", "cannot be told"],
)
def test_counts_are_those_of_the_kind_as_far_as_that_can_be_told(
    kinds: tuple[str, ...], written: dict[str, tuple[int, int]], expected: list[Any]
) -> None:
    parts = [(name, Written(upserted, failed)) for name, (upserted, failed) in written.items()]
    run = RunMetrics.pending(RUN.id, {"One": kinds}).with_handler_ended(ended("One", *parts))
    assert [(row.blueprint, row.loaded, row.failed) for row in run.all()] == expected


def test_unknown_counts_are_left_out() -> None:
    row = KindMetrics("a-0", "a", state="completed", seconds=1.0)
    assert row.body(SOURCE, RUN.id)["metrics"] == {
        "phase": {"resync": {"success": 1, "duration_seconds": 1.0}}
    }


@pytest.mark.parametrize(
    ("status", "reconciled", "expected"),
    [
        ("completed", None, [("__runtime__", "completed")]),
        ("failed", None, [("__runtime__", "failed")]),
        ("failed", False, [("__reconciliation__", "failed"), ("__runtime__", "failed")]),
        ("aborted", False, [("__reconciliation__", "aborted"), ("__runtime__", "aborted")]),
        ("failed", True, [("__reconciliation__", "completed"), ("__runtime__", "failed")]),
    ],
)
def test_the_delete_phase_is_shown_if_there_was_one(
    status: Status, reconciled: bool | None, expected: list[tuple[str, str]]
) -> None:
    rows = run_ends(run_ended(status, Written(reconciled=reconciled)))
    assert [(row.identifier, row.state) for row in rows] == expected
