"""What Port's page shows of a run, kind by kind: pure; docs/port-wire.md, section 13."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ocean_actors.messages import HandlerEnded, RunEnded, Status, Written

SyncState = Literal["pending", "syncing", "completed", "failed", "aborted"]

RUNTIME = "__runtime__"
RECONCILIATION = "__reconciliation__"

UNKNOWN = "Unknown"  # upstream's word for an installation type that Port does not tell


@dataclass(frozen=True)
class Source:
    """Which integration, and which version of it, the metrics are about."""

    identifier: str
    type: str
    version: str
    installation_type: str = UNKNOWN


@dataclass(frozen=True)
class KindMetrics:
    """One row of Port's page: a kind of a handler, or a phase of the whole run.

    What is not known is None and is left out of the body.
    """

    identifier: str
    kind: str
    index: int = 0
    state: SyncState = "pending"
    blueprint: str = ""
    seconds: float | None = None
    loaded: int | None = None
    failed: int | None = None
    deleted: int | None = None

    def body(self, source: Source, event_id: str) -> dict[str, Any]:
        """Returns the row as Port expects it."""
        return {
            "integrationType": source.type,
            "installationType": source.installation_type,
            "executionMode": "single_process",
            "integrationIdentifier": source.identifier,
            "integrationVersion": source.version,
            "oceanVersion": source.version,
            "kindIdentifier": self.identifier,
            "kind": self.kind,
            "kindIndex": self.index,
            "eventId": event_id,
            "syncState": self.state,
            "blueprint": self.blueprint,
            "metrics": {"phase": dict(self._phases())},
        }

    def _phases(self) -> Iterator[tuple[str, dict[str, Any]]]:
        resync: dict[str, Any] = {"success": int(self.state == "completed")}
        if self.seconds is not None:
            resync["duration_seconds"] = self.seconds
        yield "resync", resync
        load = {"loaded": self.loaded, "failed": self.failed}
        for phase, counts in (("load", load), ("delete", {"deleted": self.deleted})):
            known = {name: {"object_count": n} for name, n in counts.items() if n is not None}
            if known:
                yield phase, {"object_count_type": known}


@dataclass(frozen=True)
class RunMetrics:
    """The rows of one run. `rows` has those of each handler, in the order of the handlers.

    `kinds` has those that each handler has rows for in a run for everything.
    """

    event_id: str
    rows: Mapping[str, tuple[KindMetrics, ...]]
    kinds: Mapping[str, frozenset[str]]

    @classmethod
    def pending(cls, event_id: str, kinds: Mapping[str, tuple[str, ...]]) -> RunMetrics:
        """Returns the rows of a run that is about to start, of the kinds of each handler.

        A handler that declares no kinds has one row, named after it.
        """
        rows: dict[str, tuple[KindMetrics, ...]] = {}
        index = 0
        for handler, declared in kinds.items():
            names = declared or (handler,)
            rows[handler] = tuple(
                KindMetrics(f"{kind}-{place}", kind, place, seconds=0.0, loaded=0, failed=0)
                for place, kind in enumerate(names, index)
            )
            index += len(names)
        named = {handler: frozenset(row.kind for row in own) for handler, own in rows.items()}
        return cls(event_id, rows, named)

    def of(self, handlers: Collection[str], kinds: Collection[str]) -> RunMetrics:
        """Returns the rows of a run for `kinds` in which only these handlers work; empty: all do.

        A handler that has a row for none of these kinds keeps its rows, as it works in every run.
        """
        rows = {
            name: tuple(row for row in rows if row.kind in kinds) or rows
            for name, rows in self.rows.items()
            if not handlers or name in handlers
        }
        return replace(self, rows=rows)

    def syncing(self) -> RunMetrics:
        """Returns the rows once the handlers have begun: all begin with the run."""
        began = {
            handler: tuple(replace(row, state="syncing") for row in rows)
            for handler, rows in self.rows.items()
        }
        return replace(self, rows=began)

    def with_handler_ended(self, event: HandlerEnded) -> RunMetrics:
        """Returns the rows once a handler has ended."""
        rows = self.rows.get(event.handler, ())
        seconds = (event.ended_at - event.run.started_at).total_seconds()
        kinds = self.kinds.get(event.handler, frozenset())
        ended = (replace(row, state=event.status, seconds=seconds) for row in rows)
        counted = tuple(_counted(row, event.written, kinds) for row in ended)
        return replace(self, rows={**self.rows, event.handler: counted})

    def all(self) -> tuple[KindMetrics, ...]:
        """Returns the rows of all handlers."""
        return tuple(row for rows in self.rows.values() for row in rows)


def runtime_begins() -> KindMetrics:
    """Returns the row of the whole run at its start."""
    return KindMetrics(RUNTIME, RUNTIME, state="syncing")


def run_ends(event: RunEnded) -> Iterator[KindMetrics]:
    """Yields the rows of the whole run and of its delete phase, if there was one, at the end."""
    reconciled, deleted = event.written.reconciled, event.written.deleted
    if reconciled is not None:
        failed: Status = "aborted" if event.status == "aborted" else "failed"
        state: Status = "completed" if reconciled else failed
        yield KindMetrics(RECONCILIATION, RECONCILIATION, state=state, deleted=deleted)
    seconds = (event.ended_at - event.run.started_at).total_seconds()
    yield KindMetrics(RUNTIME, RUNTIME, state=event.status, seconds=seconds)


def _counted(
    row: KindMetrics, written: tuple[tuple[str, Written], ...], kinds: frozenset[str]
) -> KindMetrics:
    """Returns the row of one of a handler's `kinds` with the counts that are its own.

    The only kind of a handler has all of the handler's counts. Of several kinds, each has those
    of the blueprint with its name. A kind without such a blueprint has written nothing, unless
    the handler wrote blueprints that are named after none of its kinds: then it is unknown.
    """
    alone = len(kinds) == 1
    own = [(name, counts) for name, counts in written if alone or name == row.kind]
    if not own and any(name not in kinds for name, _ in written):
        return replace(row, loaded=None, failed=None)
    return replace(
        row,
        blueprint=own[0][0] if len(own) == 1 else "",
        loaded=sum(counts.upserted for _, counts in own),
        failed=sum(counts.failed for _, counts in own),
    )
