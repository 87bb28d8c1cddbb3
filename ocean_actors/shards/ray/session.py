"""The processes of a session: all that a process which leads one has started."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def members(leader: int) -> list[int]:
    """Returns the processes of a session that have not ended, where /proc tells (Linux)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] not in "ZX":
                found.append(int(folder.name))
    return found


def kill(leader: int) -> None:
    """Kill all processes of a session but the caller."""
    for pid in members(leader):
        if pid != os.getpid():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
