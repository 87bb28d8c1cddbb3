"""A log on a terminal, with live lines below it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from rich.cells import cell_len
from rich.text import Text

from ocean_actors.log import get_logger
from ocean_actors.log_output.queued import write_all
from ocean_actors.text import one_line

logger = get_logger(__name__)

REFRESH_SECONDS = 0.25
LONGEST_PART = 8192  # characters of a line that user code prints piece by piece
FALLBACK_SIZE = os.terminal_size((80, 24))

Render = Callable[[int], Sequence[str]]
"""Returns the live lines for a terminal of so many columns, with their colours."""


class TerminalOutput:
    """Writes lines to a terminal, and keeps the live lines below the last one.

    rich's own `Live` draws and writes in the threads of whoever logs, under a lock that a stopped
    terminal (Ctrl-S) holds. Here all of it happens in the one thread that writes the log.
    """

    refresh_seconds = REFRESH_SECONDS

    def __init__(self, descriptor: int, render: Render) -> None:
        self.descriptor = descriptor
        self._render = render
        self._drawn: tuple[str, ...] = ()
        self._width = 0

    def write(self, text: str) -> None:
        """Write complete lines above the live lines."""
        self._draw(text)

    def refresh(self) -> None:
        """Draw the live lines anew if they have changed, or the terminal's size has."""
        self._draw("")

    def close(self) -> None:
        """Remove the live lines."""
        write_all(self.descriptor, self._erasure(self._columns()))
        self._drawn = ()

    def _draw(self, text: str) -> None:
        width = self._columns()
        try:
            lines = tuple(self._render(width))
        except Exception as error:  # noqa: BLE001  (the log goes on without them)
            lines, self._render = (), _nothing
            logger.warning("there are no live lines any more: %s", one_line(error))
        if text or lines != self._drawn or width != self._width:
            write_all(self.descriptor, self._erasure(width) + text + "\n".join(lines))
            self._drawn, self._width = lines, width

    def _erasure(self, width: int) -> str:
        """Returns what removes the live lines. A narrower terminal has wrapped them since."""
        if not self._drawn:
            return ""
        lengths = (cell_len(Text.from_ansi(line).plain) for line in self._drawn)
        rows = sum(max(1, -(-length // width)) for length in lengths)
        up = f"\x1b[{rows - 1}A" if rows > 1 else ""
        return f"\r{up}\x1b[J"

    def _columns(self) -> int:
        try:
            size = os.get_terminal_size(self.descriptor)
        except OSError:  # it was closed
            size = FALLBACK_SIZE
        return size.columns or FALLBACK_SIZE.columns


def _nothing(_width: int) -> Sequence[str]:
    return ()


class LineStream(io.TextIOBase):
    """Stands in for `sys.stdout` or `sys.stderr`, so that what is printed disturbs no live line.

    A line is written once it is complete.
    """

    def __init__(self, stream: TextIO, write_line: Callable[[str], None]) -> None:
        super().__init__()
        self.stream = stream
        self._write_line = write_line
        self._part = ""

    def write(self, text: str) -> int:
        """Write `text`; returns its length."""
        *lines, self._part = (self._part + text).split("\n")
        if len(self._part) > LONGEST_PART:
            lines.append(self._part)
            self._part = ""
        for line in lines:
            self._write_line(line.rpartition("\r")[2] or line)  # what a terminal would show of it
        return len(text)

    def finish(self) -> None:
        """Write an incomplete line."""
        if self._part:
            self.write("\n")

    def writable(self) -> bool:
        """Returns True."""
        return True

    def isatty(self) -> bool:
        """Returns True."""
        return True

    def fileno(self) -> int:
        """Returns the descriptor of the stream."""
        return self.stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # read-only here
        """The encoding of the stream."""
        return self.stream.encoding

    def __getattr__(self, name: str) -> Any:
        """Returns another attribute, as `buffer`, of the stream itself."""
        return getattr(self.stream, name)
