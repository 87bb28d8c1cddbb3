"""What went wrong between two looks at the actors of a system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ocean_actors.control.events import EventLine
from ocean_actors.text import one_line


@dataclass(frozen=True)
class IncidentCounts:
    """How often each actor was restarted, which are hung, and the dead letters of each type."""

    restarts: Mapping[str, int] = field(default_factory=dict)
    hung: frozenset[str] = frozenset()
    dead_letters: Mapping[str, int] = field(default_factory=dict)


def incident_counts(
    actors: Sequence[Mapping[str, Any]], dead_letters: Mapping[str, int]
) -> IncidentCounts:
    """Returns what matters in the `actors` and `deadLetters` of `OceanSystem.status()`."""
    return IncidentCounts(
        {actor["name"]: actor["restarts"] for actor in actors},
        frozenset(actor["name"] for actor in actors if actor["hung"]),
        dict(dead_letters),
    )


def incidents(
    before: IncidentCounts, now: IncidentCounts, failures: Mapping[str, str | None]
) -> Iterator[EventLine]:
    """Yields a line for each actor that was restarted or hangs and each type of dead letters.

    `failures` has the last failure of each actor.
    """
    for name, count in now.restarts.items():
        more = count - before.restarts.get(name, 0)
        if more > 0:
            times = "" if more == 1 else f" {more} times"
            why = failures.get(name) or "an unknown failure"
            text = one_line(f"actor {name} was restarted{times}: {why}")
            yield EventLine("ActorRestarted", "warning", text)
    for name in sorted(now.hung - before.hung):
        yield EventLine(
            "ActorHung", "bad", one_line(f"actor {name} has been in one message for too long")
        )
    for name, count in now.dead_letters.items():
        more = count - before.dead_letters.get(name, 0)
        if more > 0:
            yield EventLine("DeadLetters", "warning", f"{more} of {name} were not handled")
