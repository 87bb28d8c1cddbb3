"""Port's times are read alike on every supported Python."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.port_time import parse_time

EIGHT = datetime(2026, 10, 1, 8, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "text",
    [
        "2026-10-01T08:00:00.000Z",
        "2026-10-01T08:00:00z",
        "2026-10-01T08:00Z",
        "2026-10-01T10:00:00+02:00",
        "2026-10-01T10:00:00+0200",
        "2026-10-01T03:00:00-05",
        "2026-10-01 08:00:00",
        "2026-10-01T08:00:00.0000000",
    ],
)
def test_one_moment_may_be_written_in_several_ways(text: str) -> None:
    assert parse_time(text) == EIGHT


def test_fractions_are_kept_to_the_microsecond() -> None:
    moment = parse_time("2026-10-01T08:00:00.1234567Z")
    assert moment == EIGHT.replace(microsecond=123456)


@pytest.mark.parametrize(
    "value",
    [
        None, 1760000000, "", "Thu, 01 Oct 2026 08:00:00 GMT", "2026-13-01T00:00:00Z",
        "2026-10-01", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00",
        "2026-10-01T08:00:00Zjunk",
    ],
)  # fmt: skip
def test_what_is_not_a_time_is_none(value: Any) -> None:
    assert parse_time(value) is None


@given(st.datetimes(timezones=st.just(timezone.utc)))
def test_every_time_that_is_written_is_read_back(moment: Any) -> None:
    assert parse_time(moment.isoformat()) == moment
    assert parse_time(moment.isoformat().replace("+00:00", "Z")) == moment


@given(st.text(max_size=40))
def test_no_text_raises(text: str) -> None:
    moment = parse_time(text)
    assert moment is None or moment.tzinfo is timezone.utc
