"""The soak in its short form; `python -m benchmarks.soak` is the whole."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "soak.py"


@pytest.fixture
def soak(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    caplog.set_level(logging.CRITICAL, "ocean_actors")  # hundreds of runs fail on purpose
    spec = importlib.util.spec_from_file_location("soak", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_after_a_short_soak_all_is_well(soak: Any) -> None:
    report = soak.soak(requests=240, seed=7)
    assert report.problems == []
    assert report.requests == 240
    assert report.runs["completed"] > 0
    assert report.calls.total() > report.calls["good"] > 0
    assert list(soak.lines(report))[-1] == "all is well"


def test_what_was_told_is_what_ran_with_some_left_out(soak: Any) -> None:
    ran = ["aborted", "failed", "completed"]
    assert soak.is_part(["aborted", "completed"], ran)
    assert soak.is_part([], ran)
    assert not soak.is_part(["completed", "aborted"], ran)
