"""Says what code that is not ours has raised, and where."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from ocean_actors.text import one_line

STANDARD_LIBRARY = sysconfig.get_path("stdlib")
INSTALLED = sysconfig.get_path("purelib")  # without a virtual environment, below the former
OURS = str(Path(__file__).parent)


def raised(error: BaseException) -> str:
    """Returns one line that says what was raised, and where in the user's code."""
    if isinstance(error, SyntaxError):
        return one_line(f"SyntaxError: {error.msg} ({error.filename}:{error.lineno})")
    place = ""
    frame = error.__traceback__
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if _is_user_code(file):
            place = f" ({one_line(file)}:{frame.tb_lineno})"
        frame = frame.tb_next
    return f"{one_line(error)}{place}"


def _is_user_code(file: str) -> bool:
    if file.startswith((OURS, "<frozen")):
        return False
    return file.startswith(INSTALLED) or not file.startswith(STANDARD_LIBRARY)
