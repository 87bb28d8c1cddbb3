"""Plain data that JSON can hold, made from any value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any

from ocean_actors.text import one_line

MAX_DEPTH = 20
"""Levels of nesting; what lies deeper becomes text."""
MAX_ITEMS = 10_000
"""Items in all of one value's collections together; the others are left out."""
MAX_CHARACTERS = 10_000
"""Characters of one text."""
MAX_BITS = 1_024
"""Of an integer: Python refuses to print much longer ones."""


def jsonable(value: object) -> Any:
    """Returns a copy of `value` made of dicts, lists, texts, finite numbers, booleans and None.

    `json.dumps(..., allow_nan=False)` accepts the copy, whatever `value` is: this function never
    raises and its result is bounded. Keys of mappings and values of other types become text;
    so does what cannot be read, is nested too deeply or contains itself. Collections that are
    too long end with "…".
    """
    return _Copy().of(value, 0)


class _Copy:
    """One conversion, with what is left of its budget of items."""

    def __init__(self) -> None:
        self._items_left = MAX_ITEMS

    def of(self, value: object, depth: int) -> Any:
        try:
            return self._of(value, depth)
        except BaseException as error:  # noqa: BLE001  (somebody else's class may raise anything)
            return f"({_type_name(value)} cannot be shown: {one_line(error)})"

    def _of(self, value: object, depth: int) -> Any:
        if value is None or value is True or value is False:
            return value
        if isinstance(value, int):
            number = int.__index__(value)
            bits = number.bit_length()
            return number if bits <= MAX_BITS else f"(integer of {bits} bits)"
        if isinstance(value, float):
            real = float.__float__(value)
            return real if math.isfinite(real) else str(real)
        if isinstance(value, str):
            return _text(str.__str__(value))
        if isinstance(value, Mapping | list | tuple | AbstractSet):
            if depth >= MAX_DEPTH:
                return f"({_type_name(value)} nested more than {MAX_DEPTH} levels deep)"
            return self._collection(value, depth)
        return one_line(value)

    def _collection(self, value: Any, depth: int) -> Any:
        every = value.items() if isinstance(value, Mapping) else value
        items = list(islice(every, self._items_left + 1))
        taken = items[: self._items_left]
        self._items_left -= len(taken)
        cut = len(taken) < len(items)
        if isinstance(value, Mapping):
            copy = {_key(key): self.of(item, depth + 1) for key, item in taken}
            return {**copy, "…": "more"} if cut else copy
        elements = [self.of(item, depth + 1) for item in taken]
        return [*elements, "…"] if cut else elements


def _key(key: object) -> str:
    return _text(str.__str__(key)) if isinstance(key, str) else one_line(key)


def _text(text: str) -> str:
    cut = text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"
    return cut if cut.isascii() else cut.encode(errors="replace").decode()  # lone surrogates


def _type_name(value: object) -> str:
    return _text(type(value).__name__)
