"""Which entities a run has written so far, in 8 bytes of memory for each."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable
from hashlib import blake2b

from ocean_actors.messages import Written


def fingerprint(*names: str) -> int:
    """Returns 64 bits for a name.

    A hash collision keeps one stale entity; it never deletes a live one.
    """
    joined = "\0".join(names).encode(errors="surrogatepass")
    return int.from_bytes(blake2b(joined, digest_size=8).digest(), "big")


class SentEntities:
    """The entities that the handlers of one run wrote. Safe to use from any thread."""

    def __init__(self) -> None:
        self._sent = array("Q")
        self._written = Written()
        self._incomplete: str | None = None
        self._blueprints: dict[str, set[str]] = {}
        self._lock = threading.Lock()  # handlers write at the same time, and the coordinator reads

    def add(self, sent: Iterable[tuple[str, str]], failed: int) -> None:
        """Add the result of a batch: blueprint and identifier of what was written, and a count."""
        prints = array("Q", (fingerprint(*names) for names in sent))
        with self._lock:
            self._sent.extend(prints)
            before = self._written
            self._written = Written(
                before.upserted + len(prints), before.failed + failed, before.deleted
            )

    def begin(self, handler: str, blueprint: str) -> None:
        """Note that a handler sends entities of a blueprint."""
        with self._lock:
            self._blueprints.setdefault(handler, set()).add(blueprint)

    def blueprints(self) -> dict[str, frozenset[str]]:
        """Returns the blueprints of which each handler has sent entities."""
        with self._lock:
            return {name: frozenset(each) for name, each in self._blueprints.items()}

    def add_deleted(self, count: int) -> None:
        """Count deleted entities."""
        with self._lock:
            before = self._written
            self._written = Written(before.upserted, before.failed, before.deleted + count)

    def mark_incomplete(self, reason: str) -> None:
        """Say why entities that exist may not have been sent: nothing may be deleted then."""
        with self._lock:
            self._incomplete = self._incomplete or reason

    @property
    def written(self) -> Written:
        """The counts so far."""
        return self._written

    @property
    def incomplete(self) -> str | None:
        """Why entities that exist may not have been sent; None if all were."""
        if self._incomplete is None and self._written.failed:
            return f"{self._written.failed} entities failed"
        return self._incomplete

    def lookup(self) -> Callable[[str, str], bool]:
        """Returns a function that tells whether an entity (blueprint, identifier) was sent."""
        with self._lock:
            sent = array("Q", self._sent)
        ordered = array("Q", sorted(sent))

        def was_sent(blueprint: str, identifier: str) -> bool:
            wanted = fingerprint(blueprint, identifier)
            place = bisect_left(ordered, wanted)
            return place < len(ordered) and ordered[place] == wanted

        return was_sent
