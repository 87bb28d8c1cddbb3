"""Which records of reports count as legal."""

from __future__ import annotations

from typing import Any

import pytest

from ocean_actors.sandbox.legal import IllegalReports, runs_of


def record(*words: Any) -> Any:
    """Reports, from "running@1" or "completed@2": the number is the second."""
    reports = []
    for number, word in enumerate(words):
        status, _, second = word.partition("@")
        moment = f"2026-01-01T00:00:0{second}+00:00"
        report = {"status": status, "lastResyncEnd": moment, "updatedAt": str(number)}
        if status == "running":
            report.update(lastResyncStart=moment, lastResyncEnd=None)
        reports.append(report)
    return reports


@pytest.mark.parametrize(
    ("words", "runs"),
    [
        ([], []),
        (["running@1"], ["running"]),
        (["running@1", "completed@1"], ["completed"]),
        (["running@1", "aborted@2", "running@2", "failed@3"], ["aborted", "failed"]),
        (["running@1", "running@1", "aborted@2", "aborted@2"], ["aborted"]),
    ],
)
def test_a_legal_record_is_read_as_runs(words: Any, runs: Any) -> None:
    assert runs_of(record(*words)) == runs


@pytest.mark.parametrize(
    "words",
    [
        ["completed@1"],
        ["running@1", "running@2"],
        ["running@1", "completed@2", "aborted@3"],
        ["running@1", "completed@2", "completed@3"],
        ["running@2", "completed@1"],
        ["running@1", "completed@2", "running@1", "running@3"],
        ["running@1", "paused@2"],
    ],
)
def test_an_illegal_record_is_refused(words: Any) -> None:
    with pytest.raises(IllegalReports, match="does not fit"):
        runs_of(record(*words))
