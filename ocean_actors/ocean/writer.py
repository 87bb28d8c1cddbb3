"""What a run's handler of an Ocean integration has in place of `run.port`: upstream's counts."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import replace
from typing import NoReturn

from ocean_actors.errors import OceanError
from ocean_actors.messages import UpsertResult, Written
from ocean_actors.ocean.protocol import RunCounts


class OceanWriter:
    """Counts what the child wrote in one run; a `RunWriter`. Any thread may read it."""

    def __init__(self) -> None:
        self.counts = RunCounts()
        self.reconciled: bool | None = None

    def for_handler(self, _name: str) -> OceanPort:
        """Returns the `run.port` of the handler."""
        return OceanPort(self)

    def handler_finished(self, _name: str, *, ok: bool) -> None:
        """Note whether upstream has deleted what it did not send, as it does if all went well."""
        self.reconciled = True if ok else None

    def written(self) -> Written:
        """Returns the counts so far."""
        counts = self.counts
        return Written(
            sum(each.loaded for each in counts.kinds),
            sum(each.failed for each in counts.kinds),
            counts.deleted,
            self.reconciled,
        )

    def written_by(self, _handler: str) -> tuple[tuple[str, Written], ...]:
        """Returns the counts so far by blueprint."""
        found: dict[str, Written] = {}
        for each in self.counts.kinds:
            before = found.get(each.blueprint, Written())
            found[each.blueprint] = replace(
                before,
                upserted=before.upserted + each.loaded,
                failed=before.failed + each.failed,
            )
        return tuple(found.items())

    def close(self) -> None:
        """Do nothing: there are no connections."""


class OceanPort:
    """Stands for `run.port`: the child sends the entities, and only its counts are noted here."""

    def __init__(self, writer: OceanWriter) -> None:
        self._writer = writer

    def note(self, counts: RunCounts) -> None:
        """Note what the child has written so far."""
        self._writer.counts = counts

    def mark_incomplete(self, reason: str) -> None:
        """Do nothing: upstream decides by itself what it deletes."""

    def upsert(
        self,
        blueprint: str,
        entities: Iterable[Mapping[str, object]],
        *,
        merge: bool | None = None,
        create_missing_related_entities: bool | None = None,
    ) -> UpsertResult:
        """Raises OceanError."""
        _refuse(blueprint, entities, merge, create_missing_related_entities)

    def reconcile(self, max_share: float | None = None) -> int:
        """Raises OceanError."""
        _refuse(max_share)

    async def aupsert(
        self,
        blueprint: str,
        entities: Iterable[Mapping[str, object]] | AsyncIterable[Mapping[str, object]],
        *,
        merge: bool | None = None,
        create_missing_related_entities: bool | None = None,
    ) -> UpsertResult:
        """Raises OceanError."""
        _refuse(blueprint, entities, merge, create_missing_related_entities)

    async def areconcile(self, max_share: float | None = None) -> int:
        """Raises OceanError."""
        _refuse(max_share)


def _refuse(*_: object) -> NoReturn:
    raise OceanError("the entities of an Ocean integration are sent by its own process")
