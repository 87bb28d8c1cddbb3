"""Which entities a run has written so far, in 8 bytes of memory for each."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import replace
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
        self._parts: dict[tuple[str, str], Written] = {}  # by handler and blueprint
        self._incomplete: str | None = None
        self._blueprints: dict[str, set[str]] = {}
        self._lock = threading.Lock()  # handlers write at the same time, and the coordinator reads

    def add(
        self, handler: str, blueprint: str, sent: Iterable[str], failed: int, superseded: int = 0
    ) -> None:
        """Add the result of a batch: the identifiers of what exists in Port, and counts.

        `superseded` of the identifiers were left out, as a live event has written them.
        """
        prints = array("Q", (fingerprint(blueprint, identifier) for identifier in sent))
        self.add_prints(handler, blueprint, prints, failed, superseded)

    def add_prints(
        self, handler: str, blueprint: str, prints: array[int], failed: int, superseded: int = 0
    ) -> None:
        """Like `add`, but with the fingerprints of blueprint and identifier (`array("Q")`)."""
        with self._lock:
            self._sent.extend(prints)
            counts = (len(prints) - superseded, failed, superseded)
            self._written = _more(self._written, *counts)
            part = self._parts.get((handler, blueprint), Written())
            self._parts[handler, blueprint] = _more(part, *counts)

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
            self._written = replace(self._written, deleted=self._written.deleted + count)

    def mark_reconciled(self, *, ok: bool) -> None:
        """Say that the delete phase has begun (not `ok` so far), or that it succeeded."""
        with self._lock:
            self._written = replace(self._written, reconciled=ok)

    def mark_incomplete(self, reason: str) -> None:
        """Say why entities that exist may not have been sent: nothing may be deleted then."""
        with self._lock:
            self._incomplete = self._incomplete or reason

    @property
    def written(self) -> Written:
        """The counts so far."""
        return self._written

    def written_by(self, handler: str) -> tuple[tuple[str, Written], ...]:
        """Returns the counts of one handler so far, by blueprint."""
        with self._lock:
            parts = tuple(self._parts.items())
        return tuple((blueprint, part) for (name, blueprint), part in parts if name == handler)

    @property
    def incomplete(self) -> str | None:
        """Why entities that exist may not have been sent; None if all were."""
        if self._incomplete is None and self._written.failed:
            return f"{self._written.failed} entities failed"
        return self._incomplete

    @property
    def position(self) -> int:
        """How many entities were written so far; see `written_since`."""
        return len(self._sent)

    def written_since(self, position: int, blueprint: str, names: Iterable[str]) -> frozenset[str]:
        """Returns which of the identifiers were written after a `position`."""
        prints = {fingerprint(blueprint, name): name for name in names}
        with self._lock:
            sent = self._sent[position:]
        return frozenset(prints[each] for each in prints.keys() & sent)

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


def _more(before: Written, upserted: int, failed: int, superseded: int) -> Written:
    return replace(
        before,
        upserted=before.upserted + upserted,
        failed=before.failed + failed,
        superseded=before.superseded + superseded,
    )
