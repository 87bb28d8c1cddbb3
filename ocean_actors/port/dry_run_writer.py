"""`run.port` of a dry run: reads from Port what is there, compares, and writes nothing."""

from __future__ import annotations

import contextvars
import functools
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from ocean_actors.log import get_logger
from ocean_actors.messages import FailedEntity, RunInfo, Written
from ocean_actors.port.batches import Item, UpsertAnswer
from ocean_actors.port.blueprint_owners import BlueprintOwners
from ocean_actors.port.client import PortClient
from ocean_actors.port.dry_run import (
    SHOWN_CHANGES,
    Blueprint,
    ChangedEntity,
    DryRunResult,
    Entity,
    after_upsert,
    compare,
    mapping_of,
    refusal,
    secret_fields,
    shown_change,
)
from ocean_actors.port.dry_run_notes import DryRunNotes
from ocean_actors.port.dry_run_reader import PortReader, Refused
from ocean_actors.port.entities import EntityWriter
from ocean_actors.port.entity_calls import EntityCalls
from ocean_actors.port.in_flight import UNLIMITED
from ocean_actors.port.live_writes import Name, RunWrites
from ocean_actors.port.sent_entities import SentEntities
from ocean_actors.text import one_line

logger = get_logger(__name__)

SHOW_SECONDS = 10.0
"""How long `show_dry_run` may take."""

ShowDryRun = Callable[[DryRunResult], object]


class DryRunWriter(EntityWriter):
    """The entities that the handlers of a dry run send: compared with Port's, and not written.

    `show` is called with the result when the run is over. `declared` are the blueprints that a
    real run would create. `mask` hides the secrets of the settings in what is shown.
    """

    def __init__(
        self,
        client: PortClient,
        run: RunInfo,
        handlers: Sequence[str],
        *,
        narrowed: AbstractSet[str] = frozenset(),
        owners: BlueprintOwners | None = None,
        show: ShowDryRun,
        mask: Callable[[str], str] = str,
        declared: Mapping[str, Blueprint] | None = None,
    ) -> None:
        super().__init__(
            client, run, handlers, narrowed=narrowed, owners=owners,
            concurrency=UNLIMITED, senders=0,  # each thread reads by itself
        )  # fmt: skip
        self._show = show
        self._mask = mask
        self._notes = DryRunNotes()
        self._declared = declared or {}
        self._finished: dict[str, bool] = {}
        self._shown = False

    def _calls(self, client: PortClient) -> EntityCalls:
        reader = PortReader(client, self._declared, self._notes)
        return DryRunCalls(
            client, self._sent, self._writes, reader=reader, notes=self._notes, mask=self._mask
        )

    def handler_finished(self, name: str, *, ok: bool) -> None:
        """Say that a handler sends nothing more, and whether it succeeded."""
        self._finished[name] = ok
        super().handler_finished(name, ok=ok)

    def written(self) -> Written:
        """Returns no counts, as nothing is written."""
        return Written()

    def written_by(self, handler: str) -> tuple[tuple[str, Written], ...]:  # noqa: ARG002  (overridden)
        """Returns no counts, as nothing is written."""
        return ()

    def close(self) -> None:
        """Close the connections, and show the result."""
        aborted = self._client.token.cancelled
        super().close()
        if self._shown:
            return
        self._shown = True
        show = functools.partial(self._show_result, self._result(aborted=aborted))
        thread = threading.Thread(
            target=contextvars.copy_context().run, args=(show,), name="dry-run", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # too many threads, or the interpreter exits
            logger.error(  # noqa: TRY400  (the cause is the one line)
                "the result of dry run %s could not be shown: %s", self._run.id, one_line(error)
            )
            return
        thread.join(SHOW_SECONDS)  # the user's function must not stop the coordinator
        if thread.is_alive():
            logger.error(
                "show_dry_run did not return within %g s; run %s ends without it, and its thread "
                "is left behind", SHOW_SECONDS, self._run.id,
            )  # fmt: skip

    def _show_result(self, result: DryRunResult) -> None:
        try:
            self._show(result)
        except BaseException:  # the user's function
            logger.exception("the result of dry run %s could not be shown", result.run.id)

    def _result(self, *, aborted: bool) -> DryRunResult:
        refused: Counter[str] = Counter()
        for handler in self._run.handlers:
            for blueprint, written in self._sent.written_by(handler):
                refused[blueprint] += written.failed
        failed = [name for name in self._run.handlers if not self._finished.get(name)]
        problem = None
        if aborted:
            problem = "the run was aborted"
        elif failed:
            problem = f"these handlers failed: {one_line(', '.join(failed), 200)}"
        return self._notes.result(self._run, refused, problem)


class DryRunCalls(EntityCalls):
    """Compares what one handler sends with what Port has."""

    delegates = False

    def __init__(
        self,
        client: PortClient,
        sent: SentEntities,
        writes: RunWrites,
        *,
        reader: PortReader,
        notes: DryRunNotes,
        mask: Callable[[str], str],
    ) -> None:
        super().__init__(client, sent, writes)
        self._reader = reader
        self._notes = notes
        self._mask = mask

    def upsert(
        self, blueprint: str, batch: Sequence[Item], query: Mapping[str, str]
    ) -> UpsertAnswer:
        """Returns what Port would answer, as far as that can be told without writing."""
        model = self._reader.blueprint(blueprint)
        written: dict[int, tuple[str | None, bool]] = {}
        errors: dict[int, FailedEntity] = {}
        resolved: dict[int, Entity] = {}
        for index, item in enumerate(batch):
            try:
                resolved[index] = self._resolved(blueprint, model, json.loads(item.data))
            except Refused as error:
                errors[index] = _failed(item, error.status, str(error))
        names = list(dict.fromkeys(each["identifier"] for each in resolved.values()))
        existing = self._reader.entities(blueprint, names)
        for index, sent in resolved.items():
            name = sent["identifier"]
            before = existing.get(name)
            after = after_upsert(before, sent, merge=query.get("merge") == "true")
            why = refusal(after, model)
            if why is not None:
                errors[index] = _failed(batch[index], 422, why)
                continue
            changed = None
            if before is not None:
                changed = self._changed((blueprint, name), before, after, model)
            created = self._notes.add((blueprint, name), after, changed, new=before is None)
            written[index] = (name, created)
        return UpsertAnswer(written, errors)

    def reconcile(
        self, query: Mapping[str, str], blueprints: frozenset[str] | None, max_share: float
    ) -> int:
        """Returns how many entities would be deleted."""
        stale = self._reconciliation(query, blueprints, self._notes.planned()).stale(max_share)
        self._notes.set_deleted(stale)
        return len(stale)

    def _resolved(self, blueprint: str, model: Blueprint, sent: dict[str, Any]) -> Entity:
        """Returns an entity with what its search queries find. Raises Refused if one does not."""
        if isinstance(sent["identifier"], Mapping):
            sent["identifier"] = self._reader.found(blueprint, sent["identifier"])
        for name, value in mapping_of(sent, "relations").items():
            if isinstance(value, Mapping):
                target = mapping_of(mapping_of(model, "relations"), name).get("target")
                sent["relations"][name] = self._reader.found(str(target), value)
        return sent

    def _changed(
        self, name: Name, before: Entity, after: Entity, model: Blueprint
    ) -> ChangedEntity | None:
        changes = compare(before, after)
        if not changes:
            return None
        if self._notes.has_enough:
            return ChangedEntity(*name, ())  # counted only
        secret = secret_fields(model)
        lines = [shown_change(each, secret, self._mask) for each in changes[:SHOWN_CHANGES]]
        if len(changes) > SHOWN_CHANGES:
            lines.append(f"and {len(changes) - SHOWN_CHANGES} more fields")
        blueprint, identifier = (one_line(each, 80) for each in name)
        return ChangedEntity(blueprint, identifier, tuple(lines))


def log_result(result: DryRunResult) -> None:
    """Log the result of a dry run, line by line."""
    for line in result.lines():
        logger.info("%s", line)


def _failed(item: Item, status: int, message: str) -> FailedEntity:
    return FailedEntity(item.identifier, status, "refused", message)
