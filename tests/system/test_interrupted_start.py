"""A start that is cut short leaves nothing running."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

from ocean_actors import Actor, ResyncHandler
from ocean_actors.testing import SandboxedSystem


class Last(Actor):
    pass


def interrupt_the_start_of(name: str) -> None:
    """Have KeyboardInterrupt raised where this thread waits for that actor's thread to begin."""

    def watch(frame: Any, event: Any, _argument: Any) -> None:
        if event == "call" and frame.f_code.co_name == "wait":
            starter = frame.f_back.f_locals.get("self")
            if isinstance(starter, threading.Thread) and starter.name == name:
                raise KeyboardInterrupt

    sys.setprofile(watch)


@pytest.mark.parametrize("name", ["listener-supervisor", "coordinator", "Last"])
def test_an_interrupt_while_an_actor_starts_ends_them_all_in_silence(
    quick: type[ResyncHandler], name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = set(threading.enumerate())
    rig = SandboxedSystem([quick], [Last])
    interrupt_the_start_of(name)
    try:
        with pytest.raises(KeyboardInterrupt):
            rig.__enter__()
    finally:
        sys.setprofile(None)
    left = [thread for thread in threading.enumerate() if thread not in before]
    assert [thread.name for thread in left if thread.is_alive()] == []
    assert "Traceback" not in capfd.readouterr().err


def test_an_actor_that_cannot_be_built_ends_those_that_are(quick: type[ResyncHandler]) -> None:
    class Unready(Actor):
        def __init__(self) -> None:
            raise OSError("no such folder")

    before = set(threading.enumerate())
    with pytest.raises(OSError, match="no such folder"):
        SandboxedSystem([quick], [Last, Unready]).__enter__()
    assert set(threading.enumerate()) <= before
