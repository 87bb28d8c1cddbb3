"""The formats of the log: what a line holds, and what it cannot do."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.log_output.json_format import JsonLineFormatter
from ocean_actors.log_output.setup import LogSetup
from ocean_actors.log_output.text_format import TextFormatter


def record_of(message: object, *args: object, **fields: object) -> logging.LogRecord:
    record = logging.LogRecord("my.logger", logging.WARNING, "", 0, message, args, None)
    record.__dict__.update(fields)
    return record


def error() -> Any:
    try:
        raise ValueError("\x1b[31mred\nsecond line")
    except ValueError:
        return sys.exc_info()


def test_text_ends_with_what_the_line_is_about() -> None:
    line = TextFormatter().format(record_of("said %d", 1, run="r-1", trigger="once", handler="H"))
    assert line.endswith(" WARNING my.logger: said 1 [run=r-1 trigger=once handler=H]")


def test_text_shows_only_what_is_known() -> None:
    assert TextFormatter().format(record_of("said", run=None)).endswith("my.logger: said")
    assert TextFormatter().format(record_of("said", run="r")).endswith("said [run=r]")


@pytest.mark.parametrize(("only", "named"), [("shop", False), (None, True)])
def test_text_names_the_integration_where_the_process_has_several(
    only: str | None, named: bool
) -> None:
    handler = LogSetup("INFO", "text", only)._handler
    assert handler is not None
    try:
        line = handler.format(record_of("said", integration="blog", run="r"))
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
    assert line.endswith("said [integration=blog run=r]" if named else "said [run=r]")


def test_colours_are_the_only_difference_on_a_terminal() -> None:
    record = record_of("said", run="r")
    coloured = TextFormatter(coloured=True).format(record)
    assert "\x1b[33mWARNING\x1b[0m" in coloured
    for code in ("\x1b[33m", "\x1b[2m", "\x1b[0m"):
        coloured = coloured.replace(code, "")
    assert coloured == TextFormatter().format(record)


def test_a_traceback_that_another_formatter_has_kept_is_escaped_all_the_same() -> None:
    record = record_of("said", exc_info=error())
    logging.Formatter().format(record)
    assert "\x1b" in (record.exc_text or "")
    assert r"ValueError: \x1b[31mred" in TextFormatter().format(record)
    assert "\x1b" not in TextFormatter().format(record)


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonLineFormatter()])
@given(st.text(), st.text(), st.text())
def test_a_record_is_one_line_of_printable_characters(
    formatter: logging.Formatter, message: str, value: str, name: str
) -> None:
    record = record_of("%s", message, run=value, handler=value, extra=value)
    record.name = name
    line = formatter.format(record)
    assert line.isprintable()
    assert len(line.splitlines()) == 1


def test_json_has_stable_names() -> None:
    about = {"integration": "mine", "run": "r-1", "trigger": "once", "handler": "H"}
    said = json.loads(JsonLineFormatter().format(record_of("said %d", 1, **about)))
    time = said.pop("time")
    assert said == {"level": "WARNING", "logger": "my.logger", "message": "said 1", **about}
    assert list(said)[:3] == ["level", "logger", "message"]
    offset = datetime.fromisoformat(time).utcoffset()
    assert offset is not None
    assert not offset


def test_json_has_the_traceback_as_exc_and_leaves_out_what_does_not_apply() -> None:
    said = json.loads(JsonLineFormatter().format(record_of("said", exc_info=error(), run=None)))
    assert set(said) == {"time", "level", "logger", "message", "exc"}
    assert said["exc"].startswith("Traceback")
    assert said["exc"].endswith("ValueError: \x1b[31mred\nsecond line")


def test_json_keeps_the_callers_fields_and_lets_them_replace_none_of_ours() -> None:
    record = record_of("said", page=3, odd=float("nan"), thing=object(), level="x", time="y")
    said = json.loads(JsonLineFormatter().format(record))
    assert said["page"] == 3
    assert said["odd"] == "nan"
    assert said["thing"].startswith("<object object")
    assert said["level"] == "WARNING"
    assert said["time"] != "y"


class Unreadable:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def test_json_survives_a_value_that_cannot_be_read() -> None:
    said = json.loads(JsonLineFormatter().format(record_of("x", page=3, bad=Unreadable())))
    assert said["page"] == 3
    assert "RuntimeError" in said["bad"]
