"""The values of all metrics of one system at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypedDict

from ocean_actors.counts import Counts
from ocean_actors.port.tally import Calls
from ocean_actors.resync.totals import ResyncMetrics


@dataclass(frozen=True, kw_only=True)
class SystemMetrics:
    """What one system counts and sees. `resync` is None if the coordinator did not answer.

    `lags` are the messages to read, by topic and partition; `commits` counts by result. Both are
    empty without Kafka. `live` has the counts of each live handler by path, as in `status()`.
    `mailboxes` has an entry for each actor that runs, the oldest first.
    """

    identifier: str
    type: str
    listener: str
    version: str
    resync: ResyncMetrics | None = None
    calls: Calls = field(default_factory=Calls)
    restarts: Counts = field(default_factory=Counts)
    dead_letters: int = 0
    left_behind: int = 0
    live: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    mailboxes: tuple[tuple[str, int], ...] = ()
    lags: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    commits: Mapping[str, int] = field(default_factory=dict)


class Measured(Protocol):
    """What has metrics: an `OceanSystem`."""

    def measure(self) -> SystemMetrics:
        """Returns the values of all metrics now."""


class ActorMetrics(TypedDict):
    """The part of `SystemMetrics` that the actors show."""

    mailboxes: tuple[tuple[str, int], ...]
    lags: Mapping[tuple[str, ...], int]
    commits: Mapping[str, int]


def actor_metrics(actors: Iterable[Mapping[str, Any]], *, listener: str) -> ActorMetrics:
    """Returns what the snapshots of the actors say; `listener` is the name of the listener's."""
    actors = list(actors)
    shown = (actor["details"] for actor in actors if actor["name"] == listener)
    details: Mapping[str, Any] = next(shown, {})
    lags: dict[tuple[str, ...], int] = {}
    for place, lag in _numbers(details.get("lag")).items():
        topic, _, partition = place.rpartition("/")
        lags[topic, partition] = lag
    return {
        "mailboxes": tuple((actor["name"], actor["mailbox"]) for actor in actors),
        "lags": lags,
        "commits": _numbers(details.get("commits")),
    }


def _numbers(shown: object) -> dict[str, int]:
    """Returns counts by name; {} if an actor that is not ours shows something else."""
    if not isinstance(shown, Mapping):
        return {}
    return {str(name): value for name, value in shown.items() if isinstance(value, int)}
