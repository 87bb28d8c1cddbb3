"""What the tests of the log share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def attach() -> Iterator[Callable[[logging.Handler, int], None]]:
    """Gives the root logger a handler and a level until the test ends."""
    root = logging.getLogger()
    before, added = root.level, list[logging.Handler]()

    def add(handler: logging.Handler, level: int) -> None:
        added.append(handler)
        root.addHandler(handler)
        root.setLevel(level)

    yield add
    root.setLevel(before)
    for handler in added:
        root.removeHandler(handler)
