"""How an attempt at a shard ended: values that travel from a worker to the parent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Completed:
    """`resync_shard` yielded everything; `items` counts the entities of this attempt."""

    items: int = 0


@dataclass(frozen=True)
class Failed:
    """The handler's code raised, or could not be loaded, or yielded something unusable.

    `reason` is one line. `lasting`: trying again cannot help; `retry_after`: seconds after which
    the code asked to be run again (`RetryLater`).
    """

    reason: str
    lasting: bool = False
    retry_after: float | None = None


@dataclass(frozen=True)
class Lost:
    """The worker has gone: killed, out of memory, its machine away. `reason` is one line."""

    reason: str


@dataclass(frozen=True)
class Cancelled:
    """The attempt ended because it was cancelled or killed."""


ShardOutcome: TypeAlias = Completed | Failed | Lost | Cancelled
