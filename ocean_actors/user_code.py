"""Says what code that is not ours has raised, and where."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

from ocean_actors.text import one_line

STANDARD_LIBRARY = f"{sysconfig.get_path('stdlib')}{os.sep}"
INSTALLED = tuple(f"{sysconfig.get_path(each)}{os.sep}" for each in ("purelib", "platlib"))
"""Folders of packages. Without a virtual environment they are in that of the standard library."""
OURS = f"{Path(__file__).parent}{os.sep}"


def raised(error: BaseException, *, with_text: bool = True) -> str:
    """Returns one line that says what was raised, and where in code that is not ours.

    Without its text, an error cannot tell a secret.
    """
    if isinstance(error, SyntaxError):
        return one_line(f"SyntaxError: {error.msg} ({error.filename}:{error.lineno})")
    place = ""
    frame = error.__traceback__
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if _is_user_code(file):
            place = f" ({one_line(file)}:{frame.tb_lineno})"
        frame = frame.tb_next
    return f"{one_line(error) if with_text else type(error).__name__}{place}"


def _is_user_code(file: str) -> bool:
    if file.startswith((OURS, "<frozen")):
        return False
    return file.startswith(INSTALLED) or not file.startswith(STANDARD_LIBRARY)
