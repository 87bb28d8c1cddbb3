"""Finds the messages of a batch that concern the integration. Knows nothing of Kafka."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ocean_actors.listeners.changelog import (
    MAX_BYTES,
    ConfigUpdate,
    Irrelevant,
    Needle,
    ResyncAsked,
    Unreadable,
    interpret,
    read,
)
from ocean_actors.messages import ConfigSnapshot


class Record(Protocol):
    """The part of a Kafka record that we read."""

    offset: int
    value: bytes | None


@dataclass(frozen=True)
class Finding:
    """The messages of a batch that ask for a resync; one resync answers all of them.

    `offset` is the offset of the first such message. `snapshot` is the newest config among them,
    None if none has a config.
    """

    offset: int
    requested: bool
    updated: bool
    snapshot: ConfigSnapshot | None

    @property
    def reason(self) -> str:
        """Returns the reason of the resync, in the same words as the other listeners."""
        if not self.updated:
            return "resync requested"
        return "configuration changed" + (", resync requested" if self.requested else "")

    def joined(self, later: Finding) -> Finding:
        """Returns both findings as one; `later` is from the same poll."""
        snapshot = self.snapshot
        if later.snapshot is not None:
            snapshot = later.snapshot.newer(snapshot)
        return Finding(
            self.offset,
            self.requested or later.requested,
            self.updated or later.updated,
            snapshot,
        )


class Scanner:
    """Finds the messages that concern `identifier`, and counts the others.

    `irrelevant` and `unreadable` count, by reason, the messages that may hold the identifier but
    ask nothing of us, or are not JSON. All other messages are counted in `messages` only.
    """

    def __init__(self, identifier: str, *, requests_only: bool) -> None:
        self._identifier = identifier
        self._requests_only = requests_only
        self._needle = Needle.of(identifier)
        self.messages = 0
        self.requests = 0
        self.updates = 0
        self.irrelevant: Counter[str] = Counter()
        self.unreadable: Counter[str] = Counter()
        self.damaged = 0  # batches that could not be read

    def scan(self, records: Sequence[Record]) -> Finding | None:
        """Returns what a batch of one partition, in its order, asks for; None if nothing."""
        # This loop sees every change of the organization, and nearly all of them are noise. The
        # test of `may_concern` is repeated here because a call would cost as much as the search.
        # `rfind` takes a third of the time that `find` takes in CPython 3.10 to 3.13.
        raw, hint, escaped = self._needle.raw, self._needle.hint, self._needle.escapes.search
        finding: Finding | None = None
        self.messages += len(records)
        for record in records:
            value = record.value
            if value is None or len(value) > MAX_BYTES:
                self._interpret(record)
            elif value.rfind(raw) >= 0 or (value.rfind(hint) >= 0 and escaped(value) is not None):
                found = self._interpret(record)
                if found is not None:
                    finding = found if finding is None else finding.joined(found)
        return finding

    def _interpret(self, record: Record) -> Finding | None:
        try:
            message = read(record.value)
        except Unreadable as error:
            self.unreadable[str(error)] += 1
            return None
        match interpret(message, self._identifier, requests_only=self._requests_only):
            case ResyncAsked():
                self.requests += 1
                return Finding(record.offset, requested=True, updated=False, snapshot=None)
            case ConfigUpdate(snapshot):
                self.updates += 1
                return Finding(record.offset, requested=False, updated=True, snapshot=snapshot)
            case Irrelevant(reason):
                self.irrelevant[reason] += 1
        return None
