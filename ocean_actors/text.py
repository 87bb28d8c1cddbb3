"""Makes text from anywhere printable: for logs, errors, `status()`, reports and terminals."""

from __future__ import annotations

MAX_CHARACTERS = 300
"""Characters of one line. The log of a failure has the whole traceback."""


def one_line(value: object, limit: int = MAX_CHARACTERS) -> str:
    """Returns `value` as one line of at most `limit` printable characters; never raises.

    An exception becomes its type and message, even if its `__str__` raises. Control characters,
    line breaks and escape sequences become spaces, so that text from outside can neither forge
    a line of a log nor steer a terminal.
    """
    try:
        text = str.__str__(str(value))
    except BaseException as error:  # noqa: BLE001  (`__str__` of somebody else's class)
        text = f"(its __str__ raised {type(error).__name__})"
    if issubclass(type(value), BaseException):  # isinstance asks the value for its `__class__`
        name = type(value).__name__
        text = f"{name}: {text}" if text.strip() else name
    cut = text[: 4 * limit]  # the rest cannot be shown, and may be very long
    if not cut.isprintable():
        cut = "".join(char if char.isprintable() else " " for char in cut)
    line = " ".join(cut.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def escaped(text: str, keep: str = "") -> str:
    """Returns `text` with its control characters as escape sequences, except those in `keep`."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode()
        for char in text
    )
