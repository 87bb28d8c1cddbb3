"""Decides which entities are tried again after the rest of an `upsert`, and in which order.

With several batches in flight, and from a source in any order, an entity may reach Port before
the one to which it relates. Unless Port may create the missing one, it refuses the entity.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from ocean_actors.messages import FailedEntity
from ocean_actors.port.batches import Item, targets_of

NOT_FOUND = 404
KEPT_BYTES = 16 * 1024 * 1024  # of JSON; beyond, an entity fails at once


@dataclass(frozen=True)
class Relations:
    """The identifiers to which an entity relates.

    `searching`: it also relates to what a search query finds.
    """

    targets: frozenset[str]
    searching: bool


@dataclass(frozen=True)
class Waiting:
    """An entity to be tried again. `failure` is None if it only keeps its place in the order."""

    item: Item
    relations: Relations
    failure: FailedEntity | None


class Deferred:
    """The entities of one call that wait for the rest. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # several batches are answered at the same time
        self._waiting: list[Waiting] = []
        self._names: set[str] = set()
        self._room = KEPT_BYTES
        self._open = True

    def takes(self, item: Item, failure: FailedEntity | None = None) -> bool:
        """Returns whether an entity is tried later.

        That is one that Port refused because something is missing, and one whose identifier is
        that of such an entity: the newer must be written last.
        """
        with self._lock:
            if not self._open or item.exact is None:
                return False
            follows = item.exact in self._names
            refused = failure is not None and failure.status == NOT_FOUND
            if not (follows or (refused and len(item.data) <= self._room)):
                return False
            relations = relations_of(item)
            if not (follows or relations.targets or relations.searching):
                return False
            self._room -= len(item.data)
            self._names.add(item.exact)
            self._waiting.append(Waiting(item, relations, failure))
            return True

    def close(self) -> list[Waiting]:
        """Returns the entities, and takes no more."""
        with self._lock:
            self._open = False
            waiting, self._waiting = self._waiting, []
        return waiting


def relations_of(item: Item) -> Relations:
    """Returns the relations of an entity; not that to itself, which Port accepts."""
    entity = json.loads(item.data)
    relations = entity.get("relations")
    values = relations.values() if isinstance(relations, Mapping) else ()
    return Relations(
        frozenset(targets_of(entity)) - {item.exact or ""},
        searching=any(isinstance(value, Mapping) for value in values),
    )


def targets(waiting: Sequence[Waiting]) -> frozenset[str]:
    """Returns all identifiers to which the entities relate."""
    return frozenset().union(*(each.relations.targets for each in waiting))


def split(
    waiting: Sequence[Waiting], written: AbstractSet[str]
) -> tuple[list[Waiting], list[FailedEntity]]:
    """Returns the entities that may succeed now, and the failures of the others.

    `written` are the identifiers that this call has written.
    """
    there = written | {each.item.exact for each in waiting}
    hopeful, failures = [], []
    for each in waiting:
        if (
            each.failure is None
            or each.relations.searching
            or not each.relations.targets.isdisjoint(there)
        ):
            hopeful.append(each)
        else:
            failures.append(each.failure)
    return hopeful, failures


def levels(waiting: Sequence[Waiting], written: AbstractSet[str]) -> Iterator[list[Item]]:
    """Yields groups of entities; each entity comes after those to which it relates.

    Entities with one identifier stay in order. A target that was `written` already is not waited
    for. What relates in a circle, or to a circle, comes at the end: first those that a newer one
    follows, one by one, as the circle often ends with them. If it does not, the newest come one by
    one. Both are sorted by identifier: the given order depends on which batches were in flight
    together. So an entity outside of the circle may come before one in it to which it relates.
    """
    newest: dict[str | None, int] = {each.item.exact: at for at, each in enumerate(waiting)}
    graph: dict[int, set[int]] = {}
    before: dict[str | None, int] = {}
    for at, each in enumerate(waiting):
        graph[at] = {newest[name] for name in each.relations.targets - written if name in newest}
        if each.item.exact in before:
            graph[at].add(before[each.item.exact])
        before[each.item.exact] = at
    sorter = TopologicalSorter(graph)
    with contextlib.suppress(CycleError):  # it still yields what does not wait for the circle
        sorter.prepare()
    while ready := sorted(sorter.get_ready()):
        yield [waiting[at].item for at in ready]
        sorter.done(*ready)
        for at in ready:
            del graph[at]
    left = sorted(graph, key=lambda at: (waiting[at].item.exact or "", at))
    older = [at for at in left if newest[waiting[at].item.exact] != at]
    yield from ([waiting[at].item] for at in older or left)
    if older:  # without them no identifier occurs twice
        rest = [waiting[at] for at in left if newest[waiting[at].item.exact] == at]
        yield from levels(rest, written)
