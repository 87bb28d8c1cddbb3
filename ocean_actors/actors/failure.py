"""What an exception says, in one line: for logs, `status()` and reports."""

from __future__ import annotations

MOST_CHARACTERS = 300  # of an exception; the log of its failure has it all


def in_one_line(error: BaseException) -> str:
    """The type of an exception and what it says, even if it cannot say it."""
    name = type(error).__name__
    try:
        said = " ".join(str(error).split())
    except BaseException as worse:  # noqa: BLE001  (an exception of somebody else's making)
        said = f"(its __str__ raised {type(worse).__name__})"
    line = f"{name}: {said}" if said else name
    return line if len(line) <= MOST_CHARACTERS else line[: MOST_CHARACTERS - 1] + "…"
