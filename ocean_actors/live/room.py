"""How many events a path has room for. The web server's threads ask, and wait for nobody."""

from __future__ import annotations

import threading


class Room:
    """Counts the events that were accepted and are not over, up to a number and a size.

    Safe to use from any thread. It has a lock, as a message to the router and back would cost
    more than everything else that is done for a call.
    """

    def __init__(self, capacity: int, capacity_bytes: int) -> None:
        self.count = 0
        self.accepted = 0
        self.refused = 0
        self._bytes = 0
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._lock = threading.Lock()  # held for a microsecond

    def add(self, size: int) -> bool:
        """Count one more event of `size` bytes; returns False if there is no room for it.

        An event that is larger than `capacity_bytes` is taken if there is no other.
        """
        with self._lock:
            full = self.count >= self._capacity
            if full or (self.count and self._bytes + size > self._capacity_bytes):
                self.refused += 1
                return False
            self.count += 1
            self.accepted += 1
            self._bytes += size
            return True

    def remove(self, size: int) -> None:
        """Stop counting an event of `size` bytes, as it is over."""
        with self._lock:
            self.count -= 1
            self._bytes -= size
