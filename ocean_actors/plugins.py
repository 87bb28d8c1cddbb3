"""Parts that are chosen by name in the settings: those that ship with us, then those of packages.

A package adds one through an entry point, whose name is what the settings say:

    [options.entry_points]
    ocean_actors.listeners =
        QUEUE = my_package.queue_listener:SPEC

Nothing is imported before it is asked for, so this module can be imported by every part. What is
wrong with a package, or raised by its code, becomes one line that names its entry point.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ocean_actors.errors import UsageError
from ocean_actors.text import one_line
from ocean_actors.user_code import raised


@dataclass(frozen=True, eq=False)
class Group:
    """Parts of one kind. A part is a spec: an object of the class `spec`, with its `name`.

    `name` is the group of entry points; `ours` says where our own parts are, by their names.
    """

    name: str
    spec: str
    ours: Mapping[str, str]


LISTENERS = Group(
    "ocean_actors.listeners",
    "ocean_actors.listeners.spec:ListenerSpec",
    {
        "POLLING": "ocean_actors.listeners.polling:SPEC",
        "KAFKA": "ocean_actors.listeners.kafka.spec:SPEC",
        "WEBHOOK": "ocean_actors.listeners.webhook.spec:SPEC",
        "ONCE": "ocean_actors.listeners.once:SPEC",
    },
)
"""The event listeners."""

LEADERS = Group(
    "ocean_actors.leaders",
    "ocean_actors.leader.spec:LeaderSpec",
    {
        "NONE": "ocean_actors.leader.spec:NONE",
        "POSTGRES": "ocean_actors.leader.postgres:SPEC",
        "KUBERNETES": "ocean_actors.leader.kubernetes:SPEC",
    },
)
"""The engines of leader election."""

EXECUTORS = Group(
    "ocean_actors.executors",
    "ocean_actors.shards.executor:ExecutorSpec",
    {
        "threads": "ocean_actors.shards.threads:SPEC",
        "processes": "ocean_actors.shards.processes:SPEC",
        "ray": "ocean_actors.shards.ray.executor:SPEC",
    },
)
"""What runs shards."""


class PluginError(UsageError):
    """No part of that name is known, or a package's part cannot be used; one readable line."""


def known(group: Group) -> tuple[str, ...]:
    """Returns the names in a group: ours, then those of installed packages, sorted."""
    taken = {name.upper() for name in group.ours}
    others = {each.name.upper(): each.name for each in entry_points(group=group.name)}
    return (*group.ours, *sorted(name for same, name in others.items() if same not in taken))


def is_known(group: Group, name: str) -> bool:
    """Returns whether a group has a part of that name."""
    return bool(_find(group, name))


def load(group: Group, name: str) -> Any:
    """Import and return the part called `name`, an object of the group's class. Case is ignored.

    A package cannot replace one of ours. Raises PluginError if no part has that name, if several
    packages have one, or if what is imported cannot be used.
    """
    found = _find(group, name)
    if not found:
        raise PluginError(f"expected one of {', '.join(known(group))}, got {name!r}")
    if len(found) > 1:
        places = " and ".join(sorted(_place(each) for each in found))
        raise PluginError(f"{name} is registered by {places}: uninstall all packages but one")
    (entry,) = found
    expected: type = EntryPoint("", group.spec, "").load()
    if entry.pattern.match(entry.value) is None:
        raise wrong(group, name, "expected module:NAME as the value of the entry point")
    with calling(group, name, "cannot be imported"):
        part = entry.load()
    if not isinstance(part, expected):
        raise wrong(
            group, name, f"expected an instance of {expected.__name__}, got {type(part).__name__}"
        )
    with calling(group, name, "name"):
        named = part.name  # type: ignore[attr-defined]  # every spec has it
    if not (isinstance(named, str) and named.upper() == entry.name.upper()):
        text = f"its spec is named {named!r}; give the entry point and the spec the same name"
        raise wrong(group, name, one_line(text))
    return part


@contextlib.contextmanager
def calling(group: Group, name: str, what: str, *, with_text: bool = True) -> Iterator[None]:
    """Run a package's code: what it raises becomes a PluginError that begins with `what`.

    A UsageError with a text passes, as it is a line for the user already. `with_text`: see
    `raised`.
    """
    try:
        yield
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # `exit()` is one, too
        if isinstance(error, UsageError) and str(error).strip():
            raise
        raise wrong(group, name, f"{what}: {raised(error, with_text=with_text)}") from error


def wrong(group: Group, name: str, text: str) -> PluginError:
    """Returns the error that says what is wrong with the part called `name`, and where it is."""
    places = " and ".join(_place(each) for each in _find(group, name))
    return PluginError(f"{name} ({places}): {text}")


def require_methods(group: Group, name: str, made: object, methods: tuple[str, ...]) -> None:
    """Raises PluginError if what a part's `build` returned lacks one of these methods."""
    lacking = [each for each in methods if not callable(getattr(made, each, None))]
    if lacking:
        text = f"build returned {one_line(made, 80)}, which has no method {', '.join(lacking)}"
        raise wrong(group, name, text)


def _find(group: Group, name: str) -> list[EntryPoint]:
    """Returns the places that are registered under a name: one, unless packages disagree."""
    same = name.upper()
    for own, place in group.ours.items():
        if own.upper() == same:
            return [EntryPoint(own, place, group.name)]
    entries = entry_points(group=group.name)
    return list({each.value: each for each in entries if each.name.upper() == same}.values())


def _place(entry: EntryPoint) -> str:
    package = "" if entry.dist is None else f" of {entry.dist.name}"
    return one_line(f"{entry.value}{package}", 200)
