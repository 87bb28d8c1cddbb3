"""What probes are told, derived from the snapshots of the actors. Nothing here waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

COORDINATOR = "coordinator"
ENDED = frozenset({"stopping", "stopped", "abandoned"})

Snapshot = Mapping[str, Any]
"""One actor, as `ActorSystem.snapshot` describes it."""


@dataclass(frozen=True)
class Health:
    """`problems` says why the process should be started again; it is empty while it works.

    `listening`: the listener is up. `port`: Port was reached. `standby`: another instance runs
    the resyncs. `ended`: the system has stopped as asked, as ONCE does after its run.
    """

    problems: tuple[str, ...] = ()
    listening: bool = False
    port: bool = False
    standby: bool = False
    ended: bool = False

    @property
    def live(self) -> bool:
        """Returns whether the process works; Port being away is no reason that it does not."""
        return not self.problems

    @property
    def ready(self) -> bool:
        """Returns whether this instance hears events, and runs what they ask for."""
        return self.listening and self.port and not self.standby

    def live_data(self) -> dict[str, Any]:
        """Returns what `GET /health/live` tells."""
        if self.live:
            return {"ok": True}
        return {"ok": False, "reason": "; ".join(self.problems)}

    def ready_data(self) -> dict[str, Any]:
        """Returns what `GET /health/ready` tells."""
        conditions = {"listening": self.listening, "port": self.port, "standby": self.standby}
        return {"ok": self.ready, **conditions}


def health_of(
    actors: Sequence[Snapshot],
    *,
    listener: str,
    custom: AbstractSet[str],
    working: bool,
    failed: bool,
    ended: bool = False,
    port: bool,
    standby: bool,
) -> Health:
    """Returns the health of a system whose `actors` were just looked at.

    `listener` is the name of the listener's actor, and `custom` names the user's own actors: they
    and their children do not count. `working` is False before the start and once the system
    was asked to stop: then nothing has to be there. `failed`: it has ended, and not as asked.
    `ended`: it has ended as asked. `standby` holds until the coordinator shows its role.
    """
    named = {actor["name"]: actor for actor in actors}
    coordinator = named.get(COORDINATOR)
    gone = coordinator is None or coordinator["state"] in ENDED
    hung = [actor for actor in actors if actor["hung"] and actor["state"] != "abandoned"]
    problems = [
        f"{actor['name']} has been in {actor['message']} for {actor['message_seconds']:.0f} s"
        for actor in hung
        if custom.isdisjoint(_line(actor, named))
    ]
    if gone and working:
        problems.append("the coordinator is gone")
    if failed:
        problems.append("the system has ended because of a failure")
    found = named.get(listener)
    return Health(
        problems=tuple(problems),
        listening=working and found is not None and found["state"] == "running",
        port=port,
        standby=standby if coordinator is None else coordinator["details"].get("standby", standby),
        ended=ended,
    )


def _line(actor: Snapshot, named: Mapping[str, Snapshot]) -> Iterator[str]:
    """Yields the name of an actor, then those of its parent, its parent's parent, …"""
    current: Snapshot | None = actor
    while current is not None:
        yield current["name"]
        current = named.get(current["parent"])
