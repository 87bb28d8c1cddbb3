"""For how long this process may be at work, while another instance can become the leader."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class ChildLease:
    """Calls `end` when the parent has not extended the lease in time, as it is frozen or cut off.

    Without a first call of `extend`, the lease lasts for ever. Times are seconds of
    `time.monotonic()`, which all processes of a machine share: so commands that waited in the pipe
    while this process was frozen extend nothing. Any thread may call `extend`.
    """

    def __init__(self, end: Callable[[], object]) -> None:
        self._end = end
        self._until = 0.0
        self._watching = False

    def extend(self, until: float) -> None:
        """Note that the lease lasts until then."""
        self._until = until
        if not self._watching:
            self._watching = True
            threading.Thread(target=self._watch, name="lease", daemon=True).start()

    def _watch(self) -> None:
        while (left := self._until - time.monotonic()) > 0:
            time.sleep(left)
        self._end()
