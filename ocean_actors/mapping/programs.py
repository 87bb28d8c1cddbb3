"""JQ programs: how an expression of a mapping is compiled and evaluated.

An expression is somebody else's code. It sees no environment variable (`env` and `$ENV` are
empty) and imports no module, as `import` is valid only at the start of a program.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from ocean_actors.mapping.entry import double_quoted
from ocean_actors.text import one_line

GUARD = "def env: {}; {} as $ENV | "


class _WithInput(Protocol):
    def __iter__(self) -> Any: ...


class Program(Protocol):
    """A compiled program of the package `jq`."""

    def input_text(self, text: str) -> _WithInput:
        """Returns an iterable of the results for one JSON text."""


Compiler = Callable[[str], Program]
"""`jq.compile`: raises ValueError for a program that it cannot compile."""


class CannotParse(ValueError):
    """JQ cannot parse an expression; the message has the position that JQ reports."""


class JqFailed(ValueError):
    """An expression failed for an item; the message is JQ's."""


class Programs:
    """Compiles expressions, each once."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self.compiled = functools.lru_cache(maxsize=None)(self._compile)

    def _compile(self, expression: str) -> Program:
        """Returns the program of one expression. Raises CannotParse."""
        text = double_quoted(expression)
        if text.lstrip().startswith(("import", "include")):
            raise CannotParse("import and include cannot be used here")
        try:
            return self._compiler(GUARD + text)
        except ValueError as error:
            reason = _reason(error)
        try:  # without the guard, so that the position is the one in the expression
            self._compiler(text)
        except ValueError as error:
            reason = _reason(error)
        raise CannotParse(reason)

    def together(self, selector: str, expressions: Sequence[str]) -> Program | None:
        """Returns one program for a whole entry, which reads an item once.

        Its result is [selected], or [selected, [value, ...]] if the selector is true, each value
        as `attempt` puts it. Returns None if the expressions work only one by one: each of them
        compiles alone, but `$__loc__` would be another line, and others may use text that has a
        meaning only at the end of a program.
        """
        every = [selector, *expressions]
        if any("__loc__" in each for each in every):
            return None
        values = ", ".join(map(attempt, expressions))
        text = (
            f"{GUARD}{attempt(selector)} as $selected | "
            f"if $selected == [true] then [$selected, [{values}]] else [$selected] end"
        )
        try:
            return self._compiler(text)
        except ValueError:
            return None


def attempt(expression: str) -> str:
    """Returns JQ for [the first result], [] if there is none, or {"error": ...} if it fails."""
    return f"(try [first(\n{double_quoted(expression)}\n)] catch {{error: .}})"


def first(program: Program, text: str) -> Any:
    """Returns the first result for a JSON text; None if there is none. Raises JqFailed."""
    results: Iterable[Any] = program.input_text(text)
    try:
        return next(iter(results), None)
    except ValueError as error:
        raise JqFailed(one_line(str(error)) or "error without a message") from None


def _reason(error: ValueError) -> str:
    """Returns the first error of JQ's with its position, without the quoted program below it."""
    line = str(error).strip().partition("\n")[0]
    return one_line(line.removeprefix("jq: error: ").removesuffix(":"))
