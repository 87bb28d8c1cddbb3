"""Chooses how the command line logs, by `--log-format` and by what standard error is."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from ocean_actors.log import FIELDS, ContextFilter
from ocean_actors.log_output.queued import QueuedHandler
from ocean_actors.log_output.text_format import TextFormatter

if TYPE_CHECKING:
    from ocean_actors.log_output.live_lines import LiveLines


class LogSetup:
    """The log of a process on its standard error.

    `auto` is text on a terminal, else JSON. On a terminal, text is coloured and has live lines
    below it, unless `NO_COLOR` is set or `TERM` is `dumb`.
    """

    def __init__(self, level: str, log_format: str, integration: str | None = None) -> None:
        """Have every record of `level` and above written.

        `integration` is the only one of the process. Without it, lines of text name theirs.
        """
        terminal = _is_terminal(sys.stderr)
        self._live: LiveLines | None = None
        self._handler: QueuedHandler | None = None
        if sys.stderr.closed:  # its number may be that of another file by now
            logging.basicConfig(level=level, handlers=[logging.NullHandler()])
            return
        text = log_format == "text" or (log_format == "auto" and terminal)
        coloured = text and terminal and _shows_colours(os.environ)
        self._handler = self._colour_handler() if coloured else QueuedHandler(sys.stderr.fileno())
        fields = FIELDS if integration is None else FIELDS[1:]
        self._handler.setFormatter(_formatter(fields, text=text, coloured=coloured))
        self._handler.addFilter(ContextFilter(integration))
        logging.basicConfig(level=level, handlers=[self._handler])

    @contextlib.contextmanager
    def showing(self, *statuses: Callable[[], Mapping[str, Any]]) -> Iterator[None]:
        """Show what each of `statuses` returns in the live lines, if any, in the `with` block."""
        if self._live is None or self._handler is None:
            yield
            return
        with self._live.following(*statuses), _printing_above(self._handler):
            yield

    def _colour_handler(self) -> QueuedHandler:
        from ocean_actors.log_output.live_lines import LiveLines
        from ocean_actors.log_output.terminal import TerminalOutput

        self._live = LiveLines(sys.stderr.encoding)
        return QueuedHandler(TerminalOutput(sys.stderr.fileno(), self._live.render))


def _formatter(fields: Sequence[str], *, text: bool, coloured: bool) -> logging.Formatter:
    if text:
        return TextFormatter(coloured=coloured, fields=fields)
    from ocean_actors.log_output.json_format import JsonLineFormatter

    return JsonLineFormatter()


@contextlib.contextmanager
def _printing_above(handler: QueuedHandler) -> Iterator[None]:
    """Have what is printed to the terminal written above the live lines."""
    from ocean_actors.log_output.terminal import LineStream

    before = sys.stdout, sys.stderr
    streams = [
        LineStream(stream, handler.write_line) if _is_terminal(stream) else stream
        for stream in before
    ]
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in streams:
            if isinstance(stream, LineStream):
                stream.finish()


def _is_terminal(stream: TextIO) -> bool:
    return not stream.closed and stream.isatty()


def _shows_colours(environ: Mapping[str, str]) -> bool:
    """See https://no-color.org."""
    return not environ.get("NO_COLOR") and environ.get("TERM", "dumb") != "dumb"
