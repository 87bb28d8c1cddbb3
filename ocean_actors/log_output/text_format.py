"""The readable format of the log."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ocean_actors.text import escaped, one_line

FIELDS = ("run", "trigger", "handler", "shard")

DIM, RESET = "\x1b[2m", "\x1b[0m"
COLOURS = {
    logging.DEBUG: "\x1b[2m",
    logging.INFO: "\x1b[32m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}


class TextFormatter(logging.Formatter):
    """Formats a record as `time LEVEL logger: message [run=… trigger=… handler=… shard=…]`.

    Control characters are escaped, so that a message stays in its line and steers no terminal.
    Only tracebacks have more than one line.
    """

    def __init__(self, *, coloured: bool = False, fields: Sequence[str] = FIELDS) -> None:
        """`fields` are the attributes shown behind the message, of records that have them."""
        super().__init__()
        self._coloured = coloured
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line of a record, and its traceback in the lines below."""
        text = self._line(record)
        if record.exc_info:  # `exc_text` may hold what another formatter has not escaped
            text += "\n" + escaped(self.formatException(record.exc_info), keep="\n")
        elif record.exc_text:
            text += "\n" + escaped(record.exc_text, keep="\n")
        if record.stack_info:
            text += "\n" + escaped(record.stack_info, keep="\n")
        return text

    def _line(self, record: logging.LogRecord) -> str:
        time = self.formatTime(record)
        level = f"{escaped(record.levelname):7}"
        name = f"{escaped(record.name)}:"
        fields = self._fields_text(record)
        if self._coloured:
            time = f"{DIM}{time}{RESET}"
            level = f"{COLOURS.get(record.levelno, '')}{level}{RESET}"
            name = f"{DIM}{name}{RESET}"
            fields = fields and f"{DIM}{fields}{RESET}"
        return f"{time} {level} {name} {escaped(record.getMessage())}{fields}"

    def _fields_text(self, record: logging.LogRecord) -> str:
        values = ((name, getattr(record, name, None)) for name in self._fields)
        known = " ".join(f"{name}={one_line(value)}" for name, value in values if value is not None)
        return known and f" [{known}]"
