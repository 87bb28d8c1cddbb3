"""Parts that are chosen by name in the settings: those that ship with us, then those of packages.

A package adds one through an entry point, whose name is what the settings say:

    [options.entry_points]
    ocean_actors.listeners =
        QUEUE = my_package.queue_listener:SPEC

Nothing is imported before it is asked for, so this module depends on no other part.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

from ocean_actors.errors import OceanError
from ocean_actors.text import one_line

LISTENERS = "ocean_actors.listeners"
"""The group of the event listeners: each entry is a `listeners.spec.ListenerSpec`."""

LEADERS = "ocean_actors.leaders"
"""The group of the engines of leader election: each entry is a `leader.spec.LeaderSpec`."""

EXECUTORS = "ocean_actors.executors"
"""The group of what runs shards: each entry is a `shards.executor.ExecutorSpec`."""

OURS: Mapping[str, Mapping[str, str]] = {
    LISTENERS: {
        "POLLING": "ocean_actors.listeners.polling:SPEC",
        "KAFKA": "ocean_actors.listeners.kafka.spec:SPEC",
        "WEBHOOK": "ocean_actors.listeners.webhook.spec:SPEC",
        "ONCE": "ocean_actors.listeners.once:SPEC",
    },
    LEADERS: {
        "NONE": "ocean_actors.leader.spec:NONE",
        "POSTGRES": "ocean_actors.leader.postgres:SPEC",
        "KUBERNETES": "ocean_actors.leader.kubernetes:SPEC",
    },
    EXECUTORS: {
        "threads": "ocean_actors.shards.threads:SPEC",
        "processes": "ocean_actors.shards.processes:SPEC",
        "ray": "ocean_actors.shards.ray.executor:SPEC",
    },
}
"""By group and name, where our own parts are: the one place where they are registered."""


class UnknownPluginError(OceanError, LookupError):
    """No part of that name is known, or it cannot be loaded; one readable line."""


def known(group: str) -> tuple[str, ...]:
    """Returns the names in a group: ours, then those of installed packages, sorted."""
    ours = OURS.get(group, {})
    others = sorted({each.name for each in entry_points(group=group)} - set(ours))
    return (*ours, *others)


def is_known(group: str, name: str) -> bool:
    """Returns whether a group has a part of that name."""
    return _find(group, name) is not None


def load(group: str, name: str) -> object:
    """Import and return the part called `name`.

    A package cannot replace one of ours. Raises UnknownPluginError if no part has that name, or
    if importing it fails.
    """
    entry = _find(group, name)
    if entry is None:
        raise UnknownPluginError(f"expected one of {', '.join(known(group))}, got {name!r}")
    try:
        return entry.load()
    except Exception as error:  # importing runs the package's code
        message = f"{name} ({entry.value}) cannot be imported: {one_line(error)}"
        raise UnknownPluginError(message) from error


def _find(group: str, name: str) -> EntryPoint | None:
    ours = OURS.get(group, {})
    if name in ours:
        return EntryPoint(name, ours[name], group)
    return next(iter(entry_points(group=group, name=name)), None)
