"""A clock for code that waits."""

from __future__ import annotations

import threading

from ocean_actors.testing import ManualClock


class JumpingClock(ManualClock):
    """Ends each wait at once, and keeps its seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, seconds: float, wake: threading.Event) -> None:
        self.waits.append(round(seconds, 6))
        self.advance(seconds)
