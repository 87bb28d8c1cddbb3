"""How long servers have asked their callers to wait."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ocean_actors.actors import CancelToken, Clock


class SharedPauses:
    """Until when servers asked to be left alone. Safe to use from any thread."""

    def __init__(self) -> None:
        self._ends: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()  # the threads that share a session

    def begin(self, server: str, end: float, spread: float) -> None:
        """Ask all callers to wait until `end` (monotonic), spread over some seconds more."""
        with self._lock:
            known, _ = self._ends.get(server, (end, 0.0))
            self._ends[server] = max(known, end), spread

    def wait(
        self, server: str, token: CancelToken, clock: Clock, jitter: Callable[[], float]
    ) -> None:
        """Wait as the server asked; `jitter` gives a share in [0, 1). Raises the token's error."""
        seconds = self.remaining(server, clock.monotonic(), jitter)
        if seconds > 0:
            token.sleep(seconds, clock)

    def remaining(self, server: str, now: float, jitter: Callable[[], float]) -> float:
        """Returns the seconds that a caller is to wait; `jitter` gives a share in [0, 1)."""
        end, spread = self._ends.get(server, (now, 0.0))
        return end - now + spread * jitter() if end > now else 0.0
