"""What a run does: which kinds, and with which parameters. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ocean_actors.errors import UnknownKind
from ocean_actors.frozen import EMPTY, FrozenDict
from ocean_actors.messages import ResyncRequested, RunInfo


@dataclass(frozen=True)
class Scope:
    """What requests ask for together. The default is everything."""

    kinds: frozenset[str] | None = None  # None: all
    parameters: FrozenDict = field(default_factory=FrozenDict)


def all_kinds(declared: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Returns the kinds that the handlers declare, each once, in their order."""
    return tuple(dict.fromkeys(kind for kinds in declared.values() for kind in kinds))


def require_known(kinds: Iterable[str] | None, known: tuple[str, ...]) -> None:
    """Raises UnknownKind if one of `kinds` is not in `known`."""
    for kind in kinds or ():
        if kind not in known:
            raise UnknownKind(kind, known)


def joined(older: ResyncRequested, newer: ResyncRequested) -> ResyncRequested:
    """Returns `newer`, asking for what `older` asks for as well.

    The kinds are united, and a request without kinds asks for all. Parameters narrow a run down,
    so different ones are dropped: the run then does everything.
    """
    if older.kinds is None or newer.kinds is None:
        kinds = None
    else:
        kinds = tuple(dict.fromkeys((*older.kinds, *newer.kinds)))
    parameters = newer.parameters if newer.parameters == older.parameters else EMPTY
    if (kinds, parameters) == (newer.kinds, newer.parameters):
        return newer
    return replace(newer, kinds=kinds, parameters=parameters)


def scope_of(requests: Iterable[ResyncRequested]) -> Scope:
    """Returns what one run for all `requests` has to do; see `joined`."""
    wanted: ResyncRequested | None = None
    for request in requests:
        wanted = request if wanted is None else joined(wanted, request)
    if wanted is None:
        return Scope()
    kinds = None if wanted.kinds is None else frozenset(wanted.kinds)
    return Scope(kinds, wanted.parameters)


def narrowed(run: RunInfo, declared: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """Returns the handlers that may do less than everything in `run`, or nothing.

    `declared` has the kinds of all handlers. Each handler may have been narrowed by parameters.
    """
    wanted = set(run.kinds)
    return frozenset(
        name for name, kinds in declared.items() if run.parameters or not wanted.issuperset(kinds)
    )
