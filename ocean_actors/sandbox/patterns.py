"""Regular expressions for paths, restricted so that a search always ends soon.

Python's `re` can take exponential time: for nested repeats as in `(a+)+$`, for many of them, and
for back references. Here a pattern has at most `MAX_REPEATS` repeats, none of a group, and a
pattern with repeats does not match a path longer than `MAX_PATH`; so a search takes at most time
that is cubic in that length.
"""

from __future__ import annotations

import functools
import re

from ocean_actors.sandbox.errors import invalid

MAX_PATTERN = 200  # characters
MAX_REPEATS = 2  # of `*`, `+`, `?` and `{m,n}`
MAX_ALTERNATIVES = 4  # `|`
MAX_PATH = 300  # characters of a path, for a pattern with repeats

_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?:|\(\?|[*+?]|\{\d*,?\d*\}|.", re.DOTALL)
_REPEAT = re.compile(r"[*+?]|\{\d*,?\d*\}")


def check(pattern: str) -> None:
    """Raises ApiError 422 unless the pattern is a regular expression of the restricted kind."""
    if len(pattern) > MAX_PATTERN:
        raise invalid(f"path: at most {MAX_PATTERN} characters, not {len(pattern)}")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise invalid(f"path: not a regular expression: {error}") from None
    tokens = _TOKEN.findall(pattern)
    if "(?" in tokens or any(re.fullmatch(r"\\\d", token) for token in tokens):
        raise invalid("path: look-arounds, flags and back references are not supported")
    repeats = [index for index, token in enumerate(tokens) if _REPEAT.fullmatch(token)]
    if any(index and tokens[index - 1] == ")" for index in repeats):
        raise invalid("path: a group must not be repeated")
    if len(repeats) > MAX_REPEATS:
        raise invalid(f"path: at most {MAX_REPEATS} repeats (* + ? {{}}), not {len(repeats)}")
    if tokens.count("|") > MAX_ALTERNATIVES:
        raise invalid(f"path: at most {MAX_ALTERNATIVES} alternatives")


def found(pattern: str, path: str) -> bool:
    """Returns whether a checked pattern is found in the path."""
    if len(path) > MAX_PATH and _has_repeats(pattern):
        return False
    return re.search(pattern, path) is not None


@functools.lru_cache(maxsize=100)
def _has_repeats(pattern: str) -> bool:
    return any(_REPEAT.fullmatch(token) for token in _TOKEN.findall(pattern))
