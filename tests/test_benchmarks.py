"""The parts of the benchmarks that measure nothing: pairs, targets, tables, JSON and the page."""

from __future__ import annotations

import importlib
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import __main__ as entry
from benchmarks import page, programs, report
from benchmarks.report import OURS, Row, Target

ROW = Row(
    "entities", "entities a second", "/s",
    {OURS: [60.0, 80.0, 70.0], "peer": [10.0, 10.0, 20.0], "other": [60.0, 60.0, 60.0]},
    (Target(6, "peer"), Target(0.9, "other"), Target(100)),
)  # fmt: skip


def test_candidates_take_turns_and_the_first_round_does_not_count() -> None:
    turns: list[str] = []

    def candidate(name: str) -> float:
        turns.append(name)
        return float(len(turns))

    values = report.alternate({"A": lambda: candidate("A"), "B": lambda: candidate("B")}, 2)
    assert turns == ["A", "B"] * 3
    assert values == {"A": [3.0, 5.0], "B": [4.0, 6.0]}


def test_ratios_are_made_pair_by_pair() -> None:
    """The ratio of the medians would be 7."""
    (_, peer, _) = report.lines_of(ROW)
    assert peer.beside == "peer: 10 [10..20] /s"
    assert peer.ratio == "6 [3.5..8]"


def test_each_target_and_each_peer_has_a_line() -> None:
    lines = report.lines_of(ROW, busy="the machine was busy")
    assert [line.target for line in lines] == [">= 100", ">= 6", ">= 0.9"]
    assert [line.held for line in lines] == [False, True, True]
    assert [line.reason for line in lines] == ["the machine was busy", "", ""]
    assert {line.ours for line in lines} == {"70 [60..80] /s"}


def test_a_row_alone_has_one_line() -> None:
    (line,) = report.lines_of(Row("status", "", "ms", {OURS: [0.5]}))
    assert line.cells() == ("status", "0.5 ms", "", "", "", "")


def test_the_reason_of_a_target_comes_before_the_state_of_the_machine() -> None:
    target = Target(1, at_most=True, reason="known since 1.0")
    (line,) = report.lines_of(Row("burst", "", "runs", {OURS: [3]}, (target,)), busy="busy")
    assert (line.target, line.reason) == ("<= 1", "known since 1.0")
    assert "<= 1 MISSED" in line.cells()


def test_a_busy_machine_is_no_reason_for_a_count() -> None:
    row = Row("memory", "", "MiB", {OURS: [41.0]}, (Target(40, at_most=True),))
    (line,) = report.lines_of(row, busy="the machine was busy")
    assert line.reason == "not known"


@pytest.mark.parametrize(
    ("target", "held"),
    [
        (Target(2), True),
        (Target(2, each=True), False),
        (Target(2, at_most=True), True),
        (Target(2, at_most=True, each=True), False),
    ],
)
def test_a_target_holds_for_the_median_or_for_each_round(target: Target, held: bool) -> None:
    assert target.held([1.0, 2.0, 3.0]) is held


@given(st.lists(st.floats(0.001, 1e9), min_size=1))
def test_the_smallest_and_the_largest_are_shown_around_the_median(values: list[float]) -> None:
    text = report.spread(values, "ms")
    assert text.endswith(" ms")
    assert (report.number(min(values)) in text) or len(values) == 1
    assert report.number(max(values)) in text


def test_the_table_has_a_line_for_each_comparison() -> None:
    lines = list(report.table(report.lines_of(ROW, "busy")))
    assert lines[0].split() == list(report.HEADERS)
    assert lines[1].endswith(">= 100 MISSED  busy")
    assert len(lines) == 4


def test_a_bar_in_a_cell_does_not_end_it_in_markdown() -> None:
    row = Row("a|b", "", "", {OURS: [1.0]})
    *_, last = report.markdown(report.lines_of(row))
    assert last == "| a\\|b | 1 |  |  |  |  |"


def test_json_has_samples_and_verdicts() -> None:
    found = json.loads(json.dumps(report.as_json(ROW, report.lines_of(ROW, "busy"))))
    assert found["samples"]["peer"] == [10.0, 10.0, 20.0]
    assert [line["held"] for line in found["lines"]] == [False, True, True]
    assert found["lines"][0]["reason"] == "busy"


def test_only_the_part_between_the_markers_of_a_benchmark_changes() -> None:
    begin, end = page.markers("upsert")
    other = "\n".join(page.markers("start"))
    text = f"# Title\n\n{begin}\nold\n{end}\n\n{other}\n"
    once = page.replaced(text, "upsert", "new\n")
    assert once == f"# Title\n\n{begin}\n\nnew\n\n{end}\n\n{other}\n"
    assert page.replaced(once, "upsert", "new") == once


@pytest.mark.parametrize("missing", [0, 1])
def test_a_page_without_a_marker_is_named(missing: int) -> None:
    begin, end = page.markers("upsert")
    text = (begin, end)[1 - missing]
    with pytest.raises(ValueError, match=r"docs/performance\.md: expected the lines .*upsert"):
        page.replaced(text, "upsert", "new")


def test_a_part_has_command_machine_table_meanings_and_notes() -> None:
    part = list(page.part("python -m x", "two cores", [ROW], report.lines_of(ROW), ["a note"]))
    assert part[0] == "`python -m x` on two cores."
    assert "- entities: entities a second" in part
    assert part[-1] == "- a note"


@pytest.mark.parametrize("name", entry.NAMES)
def test_each_benchmark_can_be_run_and_has_its_part_of_the_page(name: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.__doc__
    assert module.ROUNDS >= 1
    assert isinstance(module.PACKAGES, tuple)
    assert callable(module.measure)
    assert page.replaced(entry.PAGE.read_text(encoding="utf-8"), name, "new")


def test_a_round_that_takes_too_long_is_an_error_of_its_benchmark_alone() -> None:
    with pytest.raises(RuntimeError, match="timed out"):
        programs.result_of([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.1)


def test_a_round_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="no such peer"):
        programs.result_of([sys.executable, "-c", "raise SystemExit('no such peer')"])


def test_an_unknown_name_is_told_the_known_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "upsrt"])
    with pytest.raises(SystemExit):
        entry.main()
    assert "unknown: upsrt; expected all, actors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--rounds", "0"], "--rounds: expected 1 or more, got 0"),
        (["--json", "missing/out.json"], "--json: there is no folder missing"),
    ],
)
def test_an_option_that_cannot_be_used_is_named_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    error: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *options])
    with pytest.raises(SystemExit):
        entry.main()
    assert error in capsys.readouterr().err


def test_without_a_name_the_benchmarks_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    assert entry.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(entry.NAMES)
