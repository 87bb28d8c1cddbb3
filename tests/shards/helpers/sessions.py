"""The processes of a session: all that a process which leads one has started."""

from __future__ import annotations

import os

import psutil
from waiting import wait_until


def session(leader: int) -> list[psutil.Process]:
    """Returns the processes of a session that have not ended."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def wait_until_gone(leader: int) -> None:
    wait_until(lambda: session(leader) == [], "the end of all that the driver has started")
