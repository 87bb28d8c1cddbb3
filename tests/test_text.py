"""Text from anywhere becomes one line that is fit for a log and a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ocean_actors.text import MAX_CHARACTERS, one_line


@given(text=st.text() | st.binary().map(lambda raw: raw.decode(errors="replace")))
def test_any_text_becomes_one_short_printable_line(text: str) -> None:
    line = one_line(text)
    assert len(line) <= MAX_CHARACTERS
    assert line.isprintable()


def test_a_long_text_is_cut_and_says_so() -> None:
    assert one_line("x" * 1000) == "x" * (MAX_CHARACTERS - 1) + "…"


def test_an_escape_sequence_cannot_steer_a_terminal() -> None:
    assert one_line("ok\x1b[2J\r\nforged: line") == "ok [2J forged: line"


def test_an_exception_is_told_by_type_and_message() -> None:
    assert one_line(ValueError("no\nsuch thing")) == "ValueError: no such thing"
    assert one_line(KeyError()) == "KeyError"


def test_an_exception_that_cannot_be_printed_is_told_all_the_same() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert one_line(Mute()) == "Mute: (its __str__ raised RuntimeError)"


def test_a_value_that_does_not_tell_its_class_is_told_all_the_same() -> None:
    class Shy:
        @property  # type: ignore[misc]  # as some proxies have it
        def __class__(self) -> type:
            raise RuntimeError

        def __str__(self) -> str:
            return "shy"

    assert one_line(Shy()) == "shy"
