"""Checks of the values that users' code gives, before a message carries them to other threads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta

from ocean_actors.frozen import EMPTY, FrozenDict, freeze, leaves
from ocean_actors.text import one_line


def check_types(value: object, **types: type) -> None:
    """Raise TypeError for a field of another type, as others could not read it."""
    for name, wanted in types.items():
        found: object = getattr(value, name)
        if not isinstance(found, wanted):
            raise TypeError(
                f"{type(value).__name__}.{name} is {type(found).__name__}, not {wanted.__name__}"
            )


def check_word(value: object, name: str, words: tuple[str, ...]) -> None:
    """Raise TypeError for a field that is none of `words`, as others could not read it."""
    found: object = getattr(value, name)
    if type(found) is not str or found not in words:
        expected = ", ".join(words)
        raise TypeError(
            f"{type(value).__name__}.{name} is {one_line(found, 40)}, not one of {expected}"
        )


def make_lines(message: object, *names: str) -> None:
    """Make these fields one line of text each, in the thread of whoever makes the message."""
    for name in names:
        object.__setattr__(message, name, one_line(getattr(message, name)))


def checked_policy(given: object, known: tuple[str, ...]) -> str | None:
    """Returns the policy of a request as a plain text: a subclass of `str` may define anything.

    Raises ValueError unless it is one of `known`.
    """
    if given is None:
        return None
    policy = str.__str__(given) if isinstance(given, str) else ""
    if policy not in known:
        shown = one_line(given, 40)
        raise ValueError(f"policy: expected one of {', '.join(known)}, or None, got {shown!r}")
    return policy


def checked_kinds(given: object) -> tuple[str, ...] | None:
    """Returns the kinds of a request as plain texts, each once. One text is one kind.

    Raises TypeError unless they are texts, ValueError if there are none.
    """
    if given is None:
        return None
    listed = (given,) if isinstance(given, str) else given
    if not isinstance(listed, Iterable):
        raise TypeError(f"kinds: expected a tuple of texts, got {one_line(given, 80)}")
    kinds = tuple(listed)
    if not all(isinstance(kind, str) for kind in kinds):
        raise TypeError(f"kinds: expected a tuple of texts, got {one_line(given, 80)}")
    if not kinds:
        raise ValueError("kinds: expected at least one; leave it out to resync all")
    return tuple(dict.fromkeys(map(str.__str__, kinds)))  # a subclass may define anything


_PLAIN = frozenset({str, int, float, bool, type(None), date, datetime, timedelta})
"""Types in parameters. The coordinator compares them, and no user code may run there."""


def checked_parameters(given: object) -> FrozenDict:
    """Returns the parameters of a request, frozen.

    Raises TypeError unless they are JSON-like data, with dates and times, and ValueError if they
    are nested too deeply.
    """
    if given is None:
        return EMPTY
    if not isinstance(given, Mapping):
        raise TypeError(f"parameters: expected a mapping, got {one_line(given, 80)}")
    frozen: FrozenDict = freeze(given)
    for value in leaves(frozen):
        if type(value) not in _PLAIN:  # a subclass may define anything
            kind = one_line(type(value).__name__, 40)
            raise TypeError(
                "parameters: expected JSON-like data, dates and times, "
                f"got {one_line(value, 80)} ({kind})"
            )
    return frozen
