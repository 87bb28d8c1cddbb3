"""Which handlers write which blueprints, so that a partial run deletes nothing of the others."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet


class BlueprintOwners:
    """What the handlers wrote in runs that did everything, since this process was started.

    Safe to use from any thread.
    """

    def __init__(self) -> None:
        self._written: dict[str, frozenset[str]] = {}
        self._lock = threading.Lock()

    def note(self, handler: str, blueprints: Iterable[str]) -> None:
        """A handler has done everything, and wrote these blueprints."""
        with self._lock:
            before = self._written.get(handler, frozenset())
            self._written[handler] = before.union(blueprints)

    def blueprints_of(self, handlers: Iterable[str]) -> frozenset[str] | None:
        """Returns all blueprints of `handlers`; None if one of them has not done everything yet."""
        with self._lock:
            written = [self._written.get(handler) for handler in handlers]
        known = [blueprints for blueprints in written if blueprints is not None]
        return None if len(known) < len(written) else frozenset().union(*known)


def reconcilable(
    written: Mapping[str, AbstractSet[str]], narrowed: AbstractSet[str], owners: BlueprintOwners
) -> frozenset[str]:
    """Returns the blueprints in which a partial run may delete.

    `written` has the blueprints that each handler wrote in this run, `narrowed` the handlers that
    do less than everything in it, or nothing. In a blueprint that one of those writes, entities
    that were not sent may exist all the same. While it is not known what they write, that may be
    any blueprint.
    """
    others = owners.blueprints_of(narrowed)
    if others is None:
        return frozenset()
    whole = frozenset().union(*(written[name] for name in written if name not in narrowed))
    touched = frozenset().union(*(written[name] for name in written if name in narrowed))
    return whole - others - touched
