"""What a run has written so far, in little memory: 8 bytes an entity."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable
from hashlib import blake2b

from ocean_actors.messages import Written


def fingerprint(*names: str) -> int:
    """64 bits for a name. Two names with the same ones only keep an entity too much."""
    joined = "\0".join(names).encode(errors="surrogatepass")
    return int.from_bytes(blake2b(joined, digest_size=8).digest(), "big")


class SentEntities:
    """What the handlers of one run wrote, together. Safe to use from any thread."""

    def __init__(self) -> None:
        self._sent = array("Q")
        self._written = Written()
        self._incomplete: str | None = None
        self._lock = threading.Lock()  # handlers write side by side, the coordinator reads

    def add(self, sent: Iterable[tuple[str, str]], failed: int) -> None:
        """A batch is done: the blueprint and the name of what Port took, and a count."""
        prints = array("Q", (fingerprint(*names) for names in sent))
        with self._lock:
            self._sent.extend(prints)
            before = self._written
            self._written = Written(
                before.upserted + len(prints), before.failed + failed, before.deleted
            )

    def add_deleted(self, count: int) -> None:
        """So many are gone."""
        with self._lock:
            before = self._written
            self._written = Written(before.upserted, before.failed, before.deleted + count)

    def mark_incomplete(self, reason: str) -> None:
        """What was sent is not all there is, so nothing may be deleted for want of it."""
        with self._lock:
            self._incomplete = self._incomplete or reason

    @property
    def written(self) -> Written:
        """The counts."""
        return self._written

    @property
    def incomplete(self) -> str | None:
        """Why what was sent may not be all there is; None if it is."""
        if self._incomplete is None and self._written.failed:
            return f"{self._written.failed} entities failed"
        return self._incomplete

    def lookup(self) -> Callable[[str, str], bool]:
        """Whether an entity (blueprint, name) was sent until now."""
        with self._lock:
            sent = array("Q", self._sent)
        ordered = array("Q", sorted(sent))

        def was_sent(blueprint: str, identifier: str) -> bool:
            wanted = fingerprint(blueprint, identifier)
            place = bisect_left(ordered, wanted)
            return place < len(ordered) and ordered[place] == wanted

        return was_sent
