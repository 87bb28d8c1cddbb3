"""JSON that cannot be changed, so that actors and handlers may share it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from types import NoneType
from typing import Any, NoReturn

from ocean_actors.errors import OceanError

MAX_DEPTH = 100
"""Levels of nesting. Far below Python's recursion limit, so that comparing, hashing, copying,
pickling and printing frozen data never reach that limit."""


class NestedTooDeeply(OceanError, ValueError):
    """Raised for data that is nested more than `MAX_DEPTH` levels deep, or contains itself."""


def _refuse(self: object, *_args: object, **_kwargs: object) -> NoReturn:
    raise TypeError(f"{type(self).__name__} cannot be changed; copy.deepcopy gives a plain copy")


class _Frozen:
    """How frozen data is copied and pickled."""

    def __deepcopy__(self, _memo: object) -> Any:
        return thaw(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return freeze, (thaw(self),)


class FrozenDict(_Frozen, dict[str, Any]):
    """A dict that cannot be changed. It compares, prints and serializes like a dict."""

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has no hash
        return hash(frozenset(self.items()))


EMPTY = FrozenDict()


class FrozenList(_Frozen, list[Any]):
    """A list that cannot be changed."""

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = _refuse
    remove = reverse = sort = _refuse

    def __hash__(self) -> int:  # type: ignore[override]  # a list has no hash
        return hash(tuple(self))


def freeze(value: Any) -> Any:
    """Returns a deeply immutable copy of JSON-like data: dicts and lists become frozen ones.

    Texts become plain ones, as a subclass of `str` may compare and hash as it likes. The time zone
    of a datetime becomes its offset from UTC at that time, unless it is one of Python's.

    Raises NestedTooDeeply if collections are nested more than `MAX_DEPTH` levels deep, and what a
    time zone raises.
    """
    return _freeze(value, MAX_DEPTH)


def _freeze(value: Any, levels: int) -> Any:
    if not isinstance(value, Mapping | list | tuple):
        return _plain(value)
    if not levels:
        raise NestedTooDeeply(f"the data is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, Mapping):
        items = value.items()
        return FrozenDict({_plain(key): _freeze(item, levels - 1) for key, item in items})
    return FrozenList([_freeze(item, levels - 1) for item in value])


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str.__str__(value)
    if type(value) is datetime and type(value.tzinfo) not in (NoneType, timezone):
        from zoneinfo import ZoneInfo

        if type(value.tzinfo) is not ZoneInfo:
            offset = value.utcoffset()
            return value.replace(tzinfo=None if offset is None else timezone(offset))
    return value


def leaves(value: Any) -> Iterator[Any]:
    """Yields the keys and values in what `freeze` made, except dicts and lists."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def thaw(value: Any) -> Any:
    """Returns a plain, changeable copy of what `freeze` made."""
    if isinstance(value, dict):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list):
        return [thaw(item) for item in value]
    return value
