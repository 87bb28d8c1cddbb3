"""What a worker in another process and the run's own process tell each other about batches.

With `resync.shardWrites` a worker sends its entities to Port itself, and the parent decides about
each batch:

    worker ──BatchAnnounced──▶ parent: may it go? (port.concurrency, live events)
    worker ◀───SendBatch──── parent: with the access token, and for how long this holds
    worker ──BatchSent or BatchNotSent──▶ parent: records it, or orders it again
    worker ◀──ForgetBatch─── parent: it is written, or given up

So retries, the waits that Port asks for, the access token, the lease and the run's record stay in
one place, and a worker needs no credentials. All of them are values that can be pickled.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ocean_actors.messages import FailedEntity

ORDER_SECONDS = 5.0
"""How long an order holds at most. A worker that was frozen for longer sends nothing."""


def packed(prints: Iterable[int]) -> bytes:
    """Returns fingerprints as 8 bytes each, which are the same on all machines."""
    found = array("Q", prints)
    if sys.byteorder == "big":
        found.byteswap()
    return found.tobytes()


def unpacked(data: bytes) -> array[int]:
    """Returns the fingerprints of `packed`."""
    found = array("Q")
    found.frombytes(data)
    if sys.byteorder == "big":
        found.byteswap()
    return found


@dataclass(frozen=True)
class BatchAnnounced:
    """From a worker: a batch waits there, with so many entities of a blueprint.

    `prints` are the fingerprints of blueprint and identifier; those at the indexes `searching` are
    0, as only Port knows which entity a search query finds. `sent_at` is the worker's monotonic
    clock, here and below.
    """

    number: int
    blueprint: str
    prints: bytes
    searching: tuple[int, ...]
    sent_at: float

    @property
    def items(self) -> int:
        """How many entities there are."""
        return len(self.prints) // 8


@dataclass(frozen=True)
class SendBatch:
    """To a worker: send these entities of a batch now; None: all.

    The worker begins no request after `until` (its own monotonic clock). `order` comes back with
    the answer.
    """

    order: int
    number: int
    indexes: tuple[int, ...] | None
    query: Mapping[str, str]
    authorization: str = field(repr=False)
    until: float


@dataclass(frozen=True)
class ForgetBatch:
    """To a worker: this batch is written or given up, and the next may be announced."""

    number: int


@dataclass(frozen=True)
class StopWriting:
    """To a worker: nothing more of its shard is written, for this reason (one line).

    `lasting`: a retry cannot help.
    """

    error: str
    lasting: bool = True


@dataclass(frozen=True)
class BatchSent:
    """From a worker: Port has answered.

    `prints` are those of the entities that exist now, of which `created` are new. Entities that
    are in neither of the two are tried again after the rest of the shard.
    """

    order: int
    prints: bytes
    created: int
    failures: tuple[FailedEntity, ...]
    largest: int | None
    sent_at: float


@dataclass(frozen=True)
class BatchNotSent:
    """From a worker: a PortError. `text` is its one line."""

    order: int
    text: str
    status: int | None
    temporary: bool
    lasting: bool
    asked_wait: float | None
    sent_at: float


@dataclass(frozen=True)
class EntitiesRefused:
    """From a worker: entities that cannot be sent, as they are no entities."""

    blueprint: str
    failures: tuple[FailedEntity, ...]
    sent_at: float


FromWorker = BatchAnnounced | BatchSent | BatchNotSent | EntitiesRefused
ToWorker = SendBatch | ForgetBatch | StopWriting
