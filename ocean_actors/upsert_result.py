"""What became of the entities that a handler sent to Port."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FailedEntity:
    """An entity that was not written. `status` is Port's; None if it was not even sent.

    `error` and `message` are one line each.
    """

    identifier: str
    status: int | None
    error: str
    message: str


@dataclass(frozen=True)
class UpsertResult:
    """The result of one `upsert`: how many entities were written, created, and failed.

    `created` are among the `upserted`. `failures` holds the first 1,000 of the `failed`, so that
    memory stays bounded.
    """

    upserted: int = 0
    created: int = 0
    failed: int = 0
    failures: tuple[FailedEntity, ...] = ()
