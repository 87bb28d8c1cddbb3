"""How many shards of a system are worked on at a time, whichever handlers they belong to."""

from __future__ import annotations

import threading


class Places:
    """`count` places, of which each attempt at a shard takes one. Safe to use from any thread."""

    def __init__(self, count: int) -> None:
        self._changed = threading.Condition()
        self._free = count

    def take(self, place: Place) -> bool:
        """Wait for a place; returns False if it was given up meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._free > 0 or place.given_up)
            if place.given_up:
                return False
            self._free -= 1
            place.taken = True
            return True

    def give_up(self, place: Place) -> None:
        """Free the place, or end the wait for it. Calling it twice has no effect."""
        with self._changed:
            if place.taken:
                place.taken = False
                self._free += 1
            place.given_up = True
            self._changed.notify_all()


class Place:
    """One attempt's place."""

    def __init__(self) -> None:
        self.taken = False
        self.given_up = False
