"""An actor of the user's own that fails again and again ends the system, and says why."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from ocean_actors import Actor, ResyncHandler, Supervision
from ocean_actors.actors import Backoff
from ocean_actors.testing import SandboxedSystem

WITHIN = 30.0


class Mute(Exception):
    def __str__(self) -> str:
        raise OSError


class Looping(Actor):
    supervision = Supervision(backoff=Backoff(initial=0.001, maximum=0.001), limit=2)
    error: ClassVar[BaseException]

    def on_start(self) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("no such folder"), "ValueError: no such folder"),
        (ValueError("no such folder:\n  /nowhere"), "ValueError: no such folder: /nowhere"),
        (SystemExit(0), "SystemExit: 0"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (Mute(), "Mute: (its __str__ raised OSError)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_crash_loop_ends_the_system_with_the_cause_in_the_last_line(
    scripted: type[ResyncHandler], caplog: pytest.LogCaptureFixture, error: Any, said: str
) -> None:
    caplog.set_level("INFO")
    looping = type("Looping", (Looping,), {"error": error})
    with SandboxedSystem([scripted], [looping]) as rig:
        assert rig.system.wait(WITHIN)
        assert rig.system.exit_code == 1
        assert rig.system.cause == f"actor Looping failed: {said}"
        ours = [item.getMessage() for item in caplog.records if "sandbox" not in item.name]
        assert ours[-1] == f"integration under-test stopped: actor Looping failed: {said}"
