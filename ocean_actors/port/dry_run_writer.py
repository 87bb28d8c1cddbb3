"""`run.port` of a dry run: reads from Port what is there, compares, and writes nothing."""

from __future__ import annotations

import json
import threading
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from ocean_actors.log import get_logger
from ocean_actors.messages import FailedEntity, RunInfo, Written
from ocean_actors.port.batches import Item, UpsertAnswer, targets_of
from ocean_actors.port.blueprint_owners import BlueprintOwners
from ocean_actors.port.client import PortClient
from ocean_actors.port.dry_run import (
    SHOWN,
    SHOWN_CHANGES,
    Blueprint,
    ChangedEntity,
    DryRunCounts,
    DryRunResult,
    Entity,
    after_upsert,
    compare,
    mapping_of,
    refusal,
    secret_fields,
    shown_change,
)
from ocean_actors.port.entities import PATIENT, EntityWriter, HandlerPort
from ocean_actors.port.errors import PortError, UnexpectedAnswer
from ocean_actors.port.live_writes import Name
from ocean_actors.port.reconcile import Planned, Reconciliation
from ocean_actors.port.sent_entities import fingerprint
from ocean_actors.port.transport import segment
from ocean_actors.text import one_line

logger = get_logger(__name__)

ANSWER_BYTES = 16 * 1024 * 1024  # of the entities of one batch, as Port holds them

ShowDryRun = Callable[[DryRunResult], object]


class Refused(Exception):
    """Port would refuse an entity; `status` is the one that it would answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class DryRunNotes:
    """What the handlers of a dry run would have written. Safe to use from any thread.

    It keeps counts, and a fingerprint of each entity, which takes less than 100 bytes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # handlers write at the same time
        self._counts: Counter[tuple[str, str]] = Counter()  # by blueprint and outcome
        self._deleted: Counter[str] = Counter()
        self._changed: list[ChangedEntity] = []
        self._seen: set[int] = set()
        self._targets = array("Q")
        self.missing: set[str] = set()
        """The blueprints that Port does not know and that the run would create."""
        self.unknown: set[str] = set()
        """The blueprints that Port does not know."""

    def add(self, name: Name, after: Entity, changed: ChangedEntity | None, *, new: bool) -> None:
        """Note an entity: it would be new, or `changed`, or stay as it is."""
        outcome = "created" if new else "unchanged" if changed is None else "changed"
        printed = fingerprint(*name)
        targets = array("Q", map(fingerprint, targets_of(after)))
        with self._lock:
            self._targets.extend(targets)
            if printed in self._seen:
                outcome, changed = "repeated", None
            self._seen.add(printed)
            self._counts[name[0], outcome] += 1
            if changed is not None and len(self._changed) < SHOWN:
                self._changed.append(changed)

    def planned(self) -> Planned:
        """Returns what a reconciliation has to know of the entities that were not written."""
        with self._lock:
            sent: Counter[str] = Counter()
            for (blueprint, outcome), count in self._counts.items():
                sent[blueprint] += count if outcome != "repeated" else 0
            return Planned(frozenset(self._targets), sent)

    def set_deleted(self, stale: Sequence[Name]) -> None:
        """Note what would be deleted, in all."""
        with self._lock:
            self._deleted = Counter(blueprint for blueprint, _ in stale)

    def result(
        self, run: RunInfo, refused: Mapping[str, int], notes: Sequence[str]
    ) -> DryRunResult:
        """Returns the result, with the counts of what would be refused, by blueprint."""
        with self._lock:
            names = {name for name, _ in self._counts} | set(refused) | set(self._deleted)
            outcomes = ("created", "changed", "unchanged", "repeated")
            counts = {
                name: DryRunCounts(
                    deleted=self._deleted[name],
                    refused=refused.get(name, 0),
                    **{outcome: self._counts[name, outcome] for outcome in outcomes},
                )
                for name in sorted(names)
            }
            told = [f"blueprint {_quoted(name)} would be created" for name in sorted(self.missing)]
            told += [
                f"Port does not know the blueprint {_quoted(each)}" for each in sorted(self.unknown)
            ]
            return DryRunResult(run, counts, tuple(self._changed), (*told, *notes))


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
        super().__init__(client, run, handlers, narrowed=narrowed, owners=owners)
        self._show = show
        self._mask = mask
        self._notes = DryRunNotes()
        self._declared = declared or {}
        self._finished: dict[str, bool] = {}
        self._shown = False

    def _make_port(self, *parts: Any) -> HandlerPort:
        port = DryRunPort(*parts)
        port.prepare(self._declared, self._notes, self._mask)
        return port

    def handler_finished(self, name: str, *, ok: bool) -> None:
        """Say that a handler sends nothing more, and whether it succeeded."""
        self._finished[name] = ok
        super().handler_finished(name, ok=ok)

    def written(self) -> Written:
        """Returns no counts, as nothing is written."""
        return Written()

    def written_by(self, handler: str) -> tuple[tuple[str, Written], ...]:  # noqa: ARG002
        """Returns no counts, as nothing is written."""
        return ()

    def close(self) -> None:
        """Close the connections, and show the result."""
        aborted = self._client.token.cancelled
        super().close()
        if self._shown:
            return
        self._shown = True
        try:
            self._show(self._result(aborted=aborted))
        except BaseException:  # the user's function must not end the coordinator
            logger.exception("the result of dry run %s could not be shown", self._run.id)

    def _result(self, *, aborted: bool) -> DryRunResult:
        refused: Counter[str] = Counter()
        for handler in self._run.handlers:
            for blueprint, written in self._sent.written_by(handler):
                refused[blueprint] += written.failed
        failed = [name for name in self._run.handlers if not self._finished.get(name)]
        notes = []
        if aborted:
            notes.append("not complete: the run was aborted")
        elif failed:
            names = one_line(", ".join(failed), 200)
            notes.append(f"not complete: these handlers failed: {names}")
        return self._notes.result(self._run, refused, notes)


class PortReader:
    """Reads from Port what a dry run compares with."""

    def __init__(
        self, client: PortClient, declared: Mapping[str, Blueprint], notes: DryRunNotes
    ) -> None:
        self._client = client
        self._declared = declared
        self._notes = notes
        self._known: dict[str, Blueprint] = {}

    def blueprint(self, name: str) -> Blueprint:
        """Returns a blueprint. Raises PortError with status 404 if it would not exist."""
        known = self._known.get(name)
        if known is None:
            self._known[name] = known = self._fetch(name)
        return known

    def entities(self, blueprint: str, identifiers: Sequence[str]) -> dict[str, Entity]:
        """Returns those of the entities that exist, by identifier."""
        rule = {"property": "$identifier", "operator": "in", "value": list(identifiers)}
        if not identifiers:
            return {}
        found = self._search(blueprint, {"combinator": "and", "rules": [rule]}, len(identifiers))
        return {name: each for each in found if isinstance(name := each.get("identifier"), str)}

    def found(self, blueprint: str, query: Mapping[str, Any]) -> str:
        """Returns the identifier that a search query stands for. Raises Refused if none."""
        found = self._search(blueprint, query, 2)
        identifier = found[0].get("identifier") if len(found) == 1 else None
        if not isinstance(identifier, str):
            raise Refused(404, "the search does not find exactly one entity")
        return identifier

    def _fetch(self, name: str) -> Blueprint:
        try:
            return self._client.call(
                "GET", f"/blueprints/{segment(name)}", _parse_blueprint, retry=PATIENT
            )
        except PortError as error:
            if error.status != 404:
                raise
            if name in self._declared:
                self._notes.missing.add(name)
                return self._declared[name]
            self._notes.unknown.add(name)
            raise

    def _search(self, blueprint: str, query: Mapping[str, Any], limit: int) -> list[Entity]:
        if blueprint in self._notes.missing:
            return []
        return self._client.call(
            "POST",
            f"/blueprints/{segment(blueprint)}/entities/search",
            _parse_entities,
            query={"exclude_calculated_properties": "true"},
            body={"query": query, "limit": limit},
            retry=PATIENT,
            exporter=True,
            max_bytes=ANSWER_BYTES,
        )


class DryRunPort(HandlerPort):
    """`run.port` of one handler in a dry run."""

    def prepare(
        self,
        declared: Mapping[str, Blueprint],
        notes: DryRunNotes,
        mask: Callable[[str], str],
    ) -> None:
        """Take what the handlers of the run share."""
        self._reader = PortReader(self._client, declared, notes)
        self._notes = notes
        self._mask = mask

    def _write(
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
            self._notes.add((blueprint, name), after, changed, new=before is None)
            written[index] = (name, before is None)
        return UpsertAnswer(written, errors)

    def _reconcile(
        self, query: Mapping[str, str], blueprints: frozenset[str] | None, max_share: float
    ) -> int:
        """Returns how many entities would be deleted."""
        stale = Reconciliation(
            self._client,
            self._sent,
            query,
            PATIENT,
            self._writes,
            blueprints,
            planned=self._notes.planned(),
        ).stale(max_share)
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


def _quoted(name: str) -> str:
    return repr(one_line(name, 80))


def _parse_blueprint(answer: Mapping[str, Any]) -> Blueprint:
    blueprint = answer.get("blueprint")
    if not isinstance(blueprint, Mapping):
        raise UnexpectedAnswer("expected an object 'blueprint'")
    return blueprint


def _parse_entities(answer: Mapping[str, Any]) -> list[Entity]:
    found = answer.get("entities")
    if not isinstance(found, list):
        raise UnexpectedAnswer("expected a list 'entities'")
    return list(_objects(found))


def _objects(items: Sequence[object]) -> Iterator[Entity]:
    return (item for item in items if isinstance(item, Mapping))
