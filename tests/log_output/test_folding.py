"""Repeated lines are counted instead of written."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.log_output.folding import Folding, key_of
from ocean_actors.log_output.queued import QueuedHandler


def record_of(message: str, level: int = logging.INFO, run: str = "r") -> logging.LogRecord:
    record = logging.LogRecord("x", level, "", 0, message, None, None)
    record.run = run
    return record


def folded(messages: Sequence[tuple[str, float]], seconds: float = 60.0) -> list[str]:
    """The lines that messages at these times make, each timer called when it is due."""
    folding, lines = Folding(seconds), []

    def take(now: float) -> None:
        said = folding.take(now, created=now)
        if said is not None:
            lines.append(said.getMessage())

    for message, now in messages:
        while (due := folding.due()) is not None and due <= now:
            take(due)
        record = record_of(message)
        if not folding.repeats(key_of(record), now):
            take(now)
            folding.begin(record, key_of(record), now)
            lines.append(message)
    while (due := folding.due()) is not None:
        take(due)
    return lines


def test_the_count_follows_when_another_line_comes() -> None:
    messages = [("a", float(second)) for second in range(38)]
    assert folded([*messages, ("b", 40.0)]) == ["a", "a (repeated 37 times in 40 s)", "b"]


def test_the_count_follows_after_a_minute_although_nothing_else_comes() -> None:
    assert folded([("a", 0.0), ("a", 50.0)]) == ["a", "a (repeated once in 60 s)"]


def test_a_flood_that_lasts_makes_a_line_a_minute() -> None:
    lines = folded([("a", float(second)) for second in range(181)])
    assert lines[:3] == ["a", "a (repeated 59 times in 60 s)", "a (repeated 60 times in 60 s)"]
    assert len(lines) == 5


def test_a_line_that_comes_again_after_a_quiet_minute_is_written() -> None:
    assert folded([("a", 0.0), ("a", 60.0)]) == ["a", "a"]


def test_lines_that_differ_in_level_run_or_error_are_not_the_same() -> None:
    base = record_of("a")
    failed = record_of("a")
    failed.exc_info = (ValueError, ValueError("x"), None)
    others = [record_of("a", logging.ERROR), record_of("a", run="s"), record_of("b"), failed]
    assert key_of(base) == key_of(record_of("a"))
    assert all(key_of(other) != key_of(base) for other in others)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 100)), max_size=40))
def test_no_line_is_lost(steps: list[tuple[str, float]]) -> None:
    now, messages = 0.0, []
    for message, pause in steps:
        now += pause
        messages.append((message, now))
    counts = {"a": 0, "b": 0}
    for line in folded(messages):
        message, _, said = line.partition(" (repeated ")
        times = said.split()[0] if said else "once"
        counts[message] += 1 if times == "once" else int(times)
    assert counts == {name: sum(message == name for message, _ in messages) for name in "ab"}


def test_the_writer_writes_the_count_by_itself_and_at_the_end() -> None:
    reader, descriptor = os.pipe()
    handler = QueuedHandler(descriptor)
    handler._folding._seconds = 0.5
    for _ in range(3):
        handler.handle(record_of("again"))
    handled, told, folds = 3, 0, 0
    while told < handled:  # in two lines, or in more if this process had to wait meanwhile
        for line in os.read(reader, 10_000).decode().splitlines():
            found = re.fullmatch(r"again(?: \(repeated (?:once|(\d+) times) in \d+ s\))?", line)
            assert found is not None, line
            told += int(found[1] or 1)
            folds += "repeated" in line
        if told == handled and not folds and handled < 30:  # it had to wait each time
            handled += 3
            for _ in range(3):
                handler.handle(record_of("again"))
    assert told == handled
    assert folds
    handler.handle(record_of("again"))
    handler.close()
    os.close(descriptor)
    with open(reader) as rest:
        assert "again" in rest.read()
