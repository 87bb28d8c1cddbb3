"""What the handlers of a dry run would have written: counts, and the first differences."""

from __future__ import annotations

import threading
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence

from ocean_actors.messages import RunInfo
from ocean_actors.port.batches import targets_of
from ocean_actors.port.dry_run import (
    SHOWN,
    Blueprint,
    ChangedEntity,
    DryRunCounts,
    DryRunResult,
    Entity,
)
from ocean_actors.port.live_writes import Name
from ocean_actors.port.reconcile import Planned
from ocean_actors.port.sent_entities import fingerprint
from ocean_actors.text import one_line


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
        self.known: dict[str, Blueprint] = {}
        """The blueprints that were read, by name."""
        self.missing: set[str] = set()
        """The blueprints that Port does not know and that the run would create."""
        self.unknown: set[str] = set()
        """The blueprints that Port does not know."""

    def add(self, name: Name, after: Entity, changed: ChangedEntity | None, *, new: bool) -> bool:
        """Note an entity: it would be new, or `changed`, or stay as it is.

        Returns whether it would be created; one that is sent again would exist by then.
        """
        outcome = "created" if new else "unchanged" if changed is None else "changed"
        printed = fingerprint(*name)
        targets = array("Q", map(fingerprint, targets_of(after)))
        with self._lock:
            self._targets.extend(targets)
            if printed in self._seen:
                outcome, changed = "repeated", None
            self._seen.add(printed)
            self._counts[name[0], outcome] += 1
            if changed is not None and not self.has_enough:
                self._changed.append(changed)
        return outcome == "created"

    @property
    def has_enough(self) -> bool:
        """Whether no more differences will be kept."""
        return len(self._changed) >= SHOWN

    def planned(self) -> Planned:
        """Returns what a reconciliation has to know of the entities that were not written."""
        with self._lock:
            sent: Counter[str] = Counter()
            for (blueprint, outcome), count in self._counts.items():
                sent[blueprint] += count if outcome != "repeated" else 0
            return Planned(frozenset(self._targets), sent)

    def set_deleted(self, stale: Sequence[Name]) -> None:
        """Note all entities that would be deleted."""
        with self._lock:
            self._deleted = Counter(blueprint for blueprint, _ in stale)

    def result(self, run: RunInfo, refused: Mapping[str, int], problem: str | None) -> DryRunResult:
        """Returns the result, with the counts of what would be refused, by blueprint.

        `problem` says why it is not complete.
        """
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
            told += [] if problem is None else [f"not complete: {problem}"]
            return DryRunResult(
                run, counts, tuple(self._changed), tuple(told), complete=problem is None
            )


def _quoted(name: str) -> str:
    return repr(one_line(name, 80))
