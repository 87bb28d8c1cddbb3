"""Entities cut into what Port takes in one call, and what it says about each (docs/port-wire.md, section 2)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ocean_actors.port.errors import UnexpectedAnswer
from ocean_actors.upsert_result import FailedEntity

LARGEST_UPSERT = 20  # entities in one call
LARGEST_BODY = 1024 * 1024  # bytes; Port answers 413 above
ENVELOPE = (b'{"entities":[', b"]}")
KEPT_FAILURES = 1000


@dataclass(frozen=True)
class Item:
    """An entity ready to be sent: its name, for people, and its JSON."""

    identifier: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class UpsertAnswer:
    """What Port did with a batch, by the entity's index. `created`: its name, and if it is new."""

    written: Mapping[int, tuple[str | None, bool]]
    errors: Mapping[int, FailedEntity]
    largest: int | None = None


def encode(entity: object) -> Item | FailedEntity:
    """Make an entity ready, or say why it cannot be sent."""
    if not isinstance(entity, Mapping):
        kind = type(entity).__name__
        return FailedEntity("unknown", None, "invalid", f"expected a mapping, got {kind}")
    identifier = entity.get("identifier")
    name = identifier if isinstance(identifier, str) else "unknown"
    if not identifier or not isinstance(identifier, str | Mapping):
        message = "expected an 'identifier': a string that is not empty, or a search query"
        return FailedEntity(name, None, "invalid", message)
    try:
        text = json.dumps(entity, default=_plain, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        return FailedEntity(name, None, "invalid", f"cannot be written as JSON: {error}")
    return Item(name, text.encode())


def batches(items: Iterable[Item], largest: Callable[[], int]) -> Iterator[list[Item]]:
    """Cut into batches of at most `largest()` items and `LARGEST_BODY` bytes of JSON.

    One item may be larger than that: it goes alone, and Port decides. Takes no more of `items`
    than the next batch needs.
    """
    batch: list[Item] = []
    size = 0
    for item in items:
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
    """The body of the call."""
    return b",".join(item.data for item in batch).join(ENVELOPE)


def parse_upsert(answer: Mapping[str, Any]) -> UpsertAnswer:
    """The answer to a bulk upsert. Raises UnexpectedAnswer if it names no entity at all."""
    written, errors = answer.get("entities"), answer.get("errors")
    if not isinstance(written, list) and not isinstance(errors, list):
        raise UnexpectedAnswer("expected a list 'entities' or 'errors'")
    return UpsertAnswer(
        written={
            index: (_name(item), item.get("created") is True) for index, item in _by_index(written)
        },
        errors={
            index: FailedEntity(
                _name(item) or "unknown",
                status if isinstance(status := item.get("statusCode"), int) else None,
                str(item.get("error") or "unknown"),
                str(item.get("message") or "Port gives no reason"),
            )
            for index, item in _by_index(errors)
        },
        largest=parse_largest(answer),
    )


def parse_largest(answer: Mapping[str, Any]) -> int | None:
    """How many entities Port takes in one call, if it says so."""
    largest = answer.get("maxBulkSize")
    return largest if type(largest) is int and largest > 0 else None


def failure_of(item: Item, index: int, answer: UpsertAnswer) -> FailedEntity | None:
    """Why Port did not take the item at `index` of the batch; None if it did.

    One that the answer does not speak of counts as failed (docs/port-wire.md, section 2).
    """
    error = answer.errors.get(index)
    if error is not None:
        return FailedEntity(item.identifier, error.status, error.error, error.message)
    if index in answer.written:
        return None
    return FailedEntity(item.identifier, None, "unknown", "Port's answer does not speak of it")


def _by_index(items: object) -> Iterator[tuple[int, dict[str, Any]]]:
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and type(item.get("index")) is int:
            yield item["index"], item


def _name(item: Mapping[str, Any]) -> str | None:
    name = item.get("identifier")
    return name if isinstance(name, str) else None


def _plain(value: object) -> Any:
    """What json does not know by itself: mappings that are no dicts."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON type")
