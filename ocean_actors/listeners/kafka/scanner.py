"""What a batch of messages means to the integration; no Kafka in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ocean_actors.listeners.changelog import (
    MAX_BYTES,
    ConfigUpdate,
    Ignored,
    Needle,
    Request,
    Unreadable,
    judge,
    read,
)
from ocean_actors.messages import ConfigSnapshot


class Record(Protocol):
    """What is used of a Kafka record."""

    offset: int
    value: bytes | None


@dataclass(frozen=True)
class Finding:
    """What of a batch asks for a resync: all of it is answered by one.

    `offset` is that of the first such message. `snapshot` is the newest config that one of
    them carries.
    """

    offset: int
    requested: bool
    updated: bool
    snapshot: ConfigSnapshot | None

    @property
    def reason(self) -> str:
        """In the words of the other listeners."""
        if not self.updated:
            return "resync requested"
        return "configuration changed" + (", resync requested" if self.requested else "")

    def joined(self, later: Finding) -> Finding:
        """Both as one: a later one of the same batch joins."""
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
    """Finds in batches what concerns `identifier`, and counts the rest.

    `unreadable` counts the values that could have concerned us and were not JSON, by reason.
    """

    def __init__(self, identifier: str, *, requests_only: bool) -> None:
        self._identifier = identifier
        self._requests_only = requests_only
        self._needle = Needle.of(identifier)
        self.messages = 0
        self.requests = 0
        self.updates = 0
        self.ignored: Counter[str] = Counter()
        self.unreadable: Counter[str] = Counter()

    def scan(self, records: Sequence[Record]) -> Finding | None:
        """Judge a batch of one partition, in its order."""
        # This loop meets every change of the organisation, and nearly all is noise to us:
        # `may_concern` is written out, as a call would cost as much as the search. It searches
        # from the end, which CPython (3.10 to 3.13) does in a third of the time.
        raw, hint, escaped = self._needle.raw, self._needle.hint, self._needle.escapes.search
        finding: Finding | None = None
        self.messages += len(records)
        for record in records:
            value = record.value
            if value is None or len(value) > MAX_BYTES:
                self._judge(record)
            elif value.rfind(raw) >= 0 or (value.rfind(hint) >= 0 and escaped(value) is not None):
                found = self._judge(record)
                if found is not None:
                    finding = found if finding is None else finding.joined(found)
        return finding

    def _judge(self, record: Record) -> Finding | None:
        try:
            message = read(record.value)
        except Unreadable as error:
            self.unreadable[str(error)] += 1
            return None
        match judge(message, self._identifier, requests_only=self._requests_only):
            case Request():
                self.requests += 1
                return Finding(record.offset, requested=True, updated=False, snapshot=None)
            case ConfigUpdate(snapshot):
                self.updates += 1
                return Finding(record.offset, requested=False, updated=True, snapshot=snapshot)
            case Ignored(reason):
                self.ignored[reason] += 1
        return None
