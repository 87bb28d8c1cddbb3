"""`run.resources(kind)`: the entries of Port's mapping, and the entities that they make."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Any, Protocol, TypeAlias

from ocean_actors.actors import CancelToken, Clock
from ocean_actors.frozen import EMPTY, FrozenDict
from ocean_actors.log import RunLogger
from ocean_actors.mapping.entry import (
    PortConfig,
    Unusable,
    constant_blueprint,
    plan_of,
    port_config,
)
from ocean_actors.mapping.errors import MappingError
from ocean_actors.mapping.process import JqProcess
from ocean_actors.text import one_line
from ocean_actors.throttle import Throttle

BATCH_ITEMS = 50
BATCH_BYTES = 1024 * 1024
KEPT_FAILURES = 1000

Batch: TypeAlias = "list[tuple[int, list[list[Any]]]]"
"""The places of some items, and the outcomes of each as `worker` writes them."""


class _Entry(Protocol):
    def entities(self, resource: Resource, items: Iterable[Mapping[str, object]]) -> Entities: ...


@dataclass(frozen=True)
class Resource:
    """An entry of Port's mapping: how items of a kind become entities.

    `index` is its place in the config's `resources`, from 0. `selector` has `query` and any other
    key that the users may set. `port` has what Port Ocean's schema has, and `config` is the
    whole entry as Port holds it. `blueprint` is the blueprint of its entities, None if it is
    computed for each of them.
    """

    kind: str
    index: int
    config: FrozenDict = field(repr=False)
    selector: FrozenDict
    port: PortConfig
    blueprint: str | None
    _mapping: _Entry = field(repr=False, compare=False)

    def entities(self, items: Iterable[Mapping[str, object]]) -> Entities:
        """Returns an iterator of the entities that the mapping makes of raw items.

        The entities are dicts for `run.port.upsert`. The items are consumed as the entities are
        asked for, 50 at a time. An item whose entity cannot be computed is counted, logged and
        left out, and `run.port.reconcile` is then refused, as that entity may exist.

        Raises MappingError, now or while iterating, if the entry cannot be used: JQ cannot parse
        it, or it needs more than a minute for 50 items. Raises JqMissing without the package
        `jq`, and ResyncAborted as soon as the run is aborted.
        """
        return self._mapping.entities(self, items)


@dataclass(frozen=True)
class FailedItem:
    """An item of which an entity could not be computed: its place, from 0, and why."""

    index: int
    reason: str


class Entities(Iterator[dict[str, Any]]):
    """The entities of `resource.entities`, and the counts so far.

    `items` were consumed. Of the entities in them, `mapped` were computed, `skipped` were not
    selected, and `failed` could not be computed; `failures` has the first thousand of these.
    `field_errors` counts by field how often JQ failed for a part that is not required, which was
    set to null.
    """

    def __init__(
        self,
        batches: Iterator[Batch],
        note: Callable[[FailedItem], None],
        note_field: Callable[[int, str, str], None],
        ended: Callable[[Entities], None],
    ) -> None:
        self.items = self.mapped = self.skipped = self.failed = 0
        self.failures: tuple[FailedItem, ...] = ()
        self.field_errors: dict[str, int] = {}
        self._note = note
        self._note_field = note_field
        self._ended = ended
        self._entities = self._all(batches)

    def __next__(self) -> dict[str, Any]:
        return next(self._entities)

    def _all(self, batches: Iterator[Batch]) -> Iterator[dict[str, Any]]:
        for batch in batches:
            for index, outcomes in batch:
                self.items += 1
                for outcome in outcomes:
                    yield from self._count(index, outcome)
        self._ended(self)

    def _count(self, index: int, outcome: list[Any]) -> Iterator[dict[str, Any]]:
        if not outcome:
            self.skipped += 1
        elif len(outcome) == 1:
            failure = FailedItem(index, outcome[0])
            self.failed += 1
            if len(self.failures) < KEPT_FAILURES:
                self.failures += (failure,)
            self._note(failure)
        else:
            entity, failed = outcome
            self.mapped += 1
            for name, reason in failed.items():
                self.field_errors[name] = self.field_errors.get(name, 0) + 1
                self._note_field(index, name, reason)
            yield entity


class PortMapping:
    """The mapping of one run, for one handler. Close it to end the process that evaluates it.

    `incomplete` is told why entities that exist may not have been computed.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        token: CancelToken,
        clock: Clock,
        logger: RunLogger,
        incomplete: Callable[[str], None] = lambda _reason: None,
        *,
        process: JqProcess | None = None,
    ) -> None:
        given = config.get("resources")
        self._entries: list[Any] = given if isinstance(given, list) else []
        self._logger = logger
        self._incomplete = incomplete
        self._process = process or JqProcess(token)
        self._item_failures = Throttle(clock)
        self._field_failures = Throttle(clock)
        self._unknown: set[str] = set()
        self._prepared: dict[int, int] = {}  # the numbers of plans, by index

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that the mapping has, each once."""
        return tuple(dict.fromkeys(kind for _, kind, _ in self._known()))

    def resources(self, kind: str) -> tuple[Resource, ...]:
        """Returns the entries for a kind; logs a warning if there are none."""
        self.require_kinds((kind,))
        return tuple(
            self._resource(index, kind, entry)
            for index, name, entry in self._known()
            if name == kind
        )

    def require_kinds(self, kinds: Iterable[str]) -> None:
        """Log a warning, once, if the mapping does not have one of the kinds."""
        known = self.kinds
        unknown = [kind for kind in kinds if kind not in known and kind not in self._unknown]
        if unknown:
            self._unknown.update(unknown)
            self._logger.warning(
                "Port's mapping has no entry for kind %s; it has entries for %s",
                one_line(", ".join(map(repr, unknown))), one_line(", ".join(known)) or "no kind",
            )  # fmt: skip

    def entities(self, resource: Resource, items: Iterable[Mapping[str, object]]) -> Entities:
        """See `Resource.entities`."""
        where = f"Port's mapping, entry {resource.index} (kind {one_line(resource.kind, 80)})"
        if isinstance(items, Mapping | str | bytes):
            raise TypeError(f"entities takes many items, got one {type(items).__name__}")
        try:
            number = self._prepared.get(resource.index)
            if number is None:
                number = self._process.prepare(plan_of(resource.config))
                self._prepared[resource.index] = number
        except (Unusable, MappingError) as error:
            raise MappingError(one_line(f"{where}: {error}", 500)) from None

        def batches() -> Iterator[Batch]:
            for indexes, texts in _batches(items):
                ready = [text for text in texts if isinstance(text, bytes)]
                try:
                    evaluated = iter(self._process.evaluate(number, ready))
                except MappingError as error:
                    span = f"items {indexes[0]} to {indexes[-1]}"
                    raise MappingError(f"{where}: {error} ({span})") from None
                yield [
                    (index, next(evaluated) if isinstance(text, bytes) else [[text]])
                    for index, text in zip(indexes, texts, strict=True)
                ]

        def note(failure: FailedItem) -> None:
            self._incomplete(f"an item of kind {one_line(resource.kind, 80)} could not be mapped")
            admission = self._item_failures.admit()
            if admission.admitted:
                self._logger.warning(
                    "%s: item %d gives no entity: %s%s",
                    where, failure.index, failure.reason, admission.more,
                )  # fmt: skip

        def note_field(index: int, name: str, reason: str) -> None:
            admission = self._field_failures.admit()
            if admission.admitted:
                self._logger.warning(
                    "%s: %s is null for item %d: %s%s",
                    where, name, index, reason, admission.more,
                )  # fmt: skip

        def ended(entities: Entities) -> None:
            if entities.failed:
                self._logger.warning(
                    "%s: %d entities of %d items could not be computed, so reconcile will be "
                    "refused; exclude such items with selector.query",
                    where, entities.failed, entities.items,
                )  # fmt: skip

        return Entities(batches(), note, note_field, ended)

    def close(self) -> None:
        """End the process that evaluates JQ."""
        self._process.close()

    def _known(self) -> Iterator[tuple[int, str, FrozenDict]]:
        for index, entry in enumerate(self._entries):
            if isinstance(entry, FrozenDict) and isinstance(entry.get("kind"), str):
                yield index, entry["kind"], entry

    def _resource(self, index: int, kind: str, entry: FrozenDict) -> Resource:
        selector, port = entry.get("selector"), port_config(entry)
        return Resource(
            kind,
            index,
            entry,
            selector if isinstance(selector, FrozenDict) else EMPTY,
            port,
            constant_blueprint(port.entity.mappings),
            self,
        )


def _batches(
    items: Iterable[Mapping[str, object]],
) -> Iterator[tuple[list[int], list[bytes | str]]]:
    """Yields the places of some items, and their JSON, or why they have none."""
    numbered = enumerate(items)
    while True:
        indexes: list[int] = []
        texts: list[bytes | str] = []
        size = 0
        for index, item in islice(numbered, BATCH_ITEMS):
            text = _encoded(item)
            indexes.append(index)
            texts.append(text)
            size += len(text)
            if size > BATCH_BYTES:
                break
        if not indexes:
            return
        yield indexes, texts


def _encoded(item: object) -> bytes | str:
    if not isinstance(item, Mapping):
        return f"expected a mapping, got {type(item).__name__}"
    try:
        return json.dumps(item, default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        return one_line(f"cannot be written as JSON: {error}")


def _plain(value: object) -> Any:
    if isinstance(value, date):  # a datetime is one, too
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON type")
