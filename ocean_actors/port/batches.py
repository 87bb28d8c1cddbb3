"""Batches of entities, and Port's answers about them (docs/port-wire.md, section 2)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ocean_actors.messages import FailedEntity
from ocean_actors.port.errors import UnexpectedAnswer
from ocean_actors.text import one_line

LARGEST_UPSERT = 20  # entities in one call
LARGEST_BODY = 1024 * 1024  # bytes; Port answers 413 above
ENVELOPE = (b'{"entities":[', b"]}")
KEPT_FAILURES = 1000


@dataclass(frozen=True)
class Item:
    """An entity ready to be sent: its identifier, to show to people, and its JSON.

    `exact` is the identifier as it is sent; None for a search query, whose entity only Port knows.
    """

    identifier: str
    data: bytes = field(repr=False)
    exact: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class UpsertAnswer:
    """What Port did with a batch, by the index of each entity.

    `written` holds its identifier and whether it is new. `largest` is how many entities Port
    accepts in one call, if it says so.
    """

    written: Mapping[int, tuple[str | None, bool]]
    errors: Mapping[int, FailedEntity]
    largest: int | None = None


def encode(entity: object) -> Item | FailedEntity:
    """Returns an entity ready to be sent, or why it cannot be sent."""
    if not isinstance(entity, Mapping):
        kind = type(entity).__name__
        return FailedEntity("unknown", None, "invalid", f"expected a mapping, got {kind}")
    given = entity.get("identifier")
    identifier = as_stored(given)
    if identifier is not given:
        entity = {**entity, "identifier": identifier}
    name = one_line(identifier) if isinstance(identifier, str) else "unknown"
    if not identifier or not isinstance(identifier, str | Mapping):
        message = "expected an 'identifier': a string that is not empty, a number or a search query"
        return FailedEntity(name, None, "invalid", message)
    try:
        text = ENCODER.encode(entity)
    except (TypeError, ValueError, RecursionError) as error:
        return FailedEntity(name, None, "invalid", one_line(f"cannot be written as JSON: {error}"))
    exact = str.__str__(identifier) if isinstance(identifier, str) else None  # of a subclass too
    return Item(name, text.encode(), exact)


def as_stored(identifier: object) -> object:
    """Returns a number as the text that Port stores, anything else as it is."""
    if isinstance(identifier, int | float) and not isinstance(identifier, bool):
        return str(identifier)
    return identifier


def targets_of(entity: Mapping[str, Any]) -> Iterator[str]:
    """Yields the identifiers to which an entity relates; search queries are left out."""
    relations = entity.get("relations")
    for value in relations.values() if isinstance(relations, Mapping) else ():
        for target in value if isinstance(value, list | tuple) else (value,):
            if isinstance(target, str):
                yield target


def batches(items: Iterable[Item | None], largest: Callable[[], int]) -> Iterator[list[Item]]:
    """Yields batches of at most `largest()` items and `LARGEST_BODY` bytes of JSON.

    None among the items ends a batch, as the next item may take long. An item that is larger makes
    a batch of its own, for Port to decide about. No more of `items` is consumed than the next batch
    needs.
    """
    batch: list[Item] = []
    size = 0
    for item in items:
        if item is None:
            if batch:
                yield batch
            batch = []
            continue
        if batch and (len(batch) >= largest() or size + len(item.data) > LARGEST_BODY):
            yield batch
            batch, size = [], 0
        if not batch:
            size = sum(map(len, ENVELOPE))
        batch.append(item)
        size += len(item.data) + 1
    if batch:
        yield batch


def body_of(batch: Sequence[Item]) -> bytes:
    """Returns the body of the call for a batch."""
    return b",".join(item.data for item in batch).join(ENVELOPE)


def parse_upsert(answer: Mapping[str, Any]) -> UpsertAnswer:
    """Returns the answer to a bulk upsert. Raises UnexpectedAnswer without any list in it."""
    written, errors = answer.get("entities"), answer.get("errors")
    if not isinstance(written, list) and not isinstance(errors, list):
        raise UnexpectedAnswer("expected a list 'entities' or 'errors'")
    return UpsertAnswer(
        written={
            index: (_name(item), item.get("created") is True) for index, item in _by_index(written)
        },
        errors={
            index: FailedEntity(
                one_line(_name(item) or "unknown"),
                status if isinstance(status := item.get("statusCode"), int) else None,
                _line(item.get("error"), "unknown"),
                _line(item.get("message"), "Port gives no reason"),
            )
            for index, item in _by_index(errors)
        },
        largest=parse_largest(answer),
    )


def parse_largest(answer: Mapping[str, Any]) -> int | None:
    """Returns how many entities Port accepts in one call, if it says so."""
    largest = answer.get("maxBulkSize")
    return largest if type(largest) is int and largest > 0 else None


def failure_of(item: Item, index: int, answer: UpsertAnswer) -> FailedEntity | None:
    """Returns why Port did not write the item at `index` of the batch; None if it did.

    An item that the answer does not mention has failed (docs/port-wire.md, section 2).
    """
    error = answer.errors.get(index)
    if error is not None:
        return FailedEntity(item.identifier, error.status, error.error, error.message)
    if index in answer.written:
        return None
    return FailedEntity(item.identifier, None, "unknown", "Port's answer does not mention it")


def _by_index(items: object) -> Iterator[tuple[int, dict[str, Any]]]:
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and type(item.get("index")) is int:
            yield item["index"], item


def _line(value: object, default: str) -> str:
    """Returns a text of Port's as one line."""
    return one_line(value) if value and isinstance(value, str) else default


def _name(item: Mapping[str, Any]) -> str | None:
    name = item.get("identifier")
    return name if isinstance(name, str) else None


def _plain(value: object) -> Any:
    """Returns a dict for a mapping that json does not know."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON type")


ENCODER = json.JSONEncoder(default=_plain, allow_nan=False, separators=(",", ":"))
