"""Mappings that are closed after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
from mapped import Mapped

from ocean_actors.actors import CancelToken
from ocean_actors.mapping.process import JqProcess

OpenMapping: TypeAlias = Callable[..., Mapped]


@pytest.fixture
def open_mapping() -> Iterator[OpenMapping]:
    """Opens mappings with the given entries, and closes them after the test."""
    opened: list[Mapped] = []

    def open_one(*entries: Any, process: Callable[[CancelToken], JqProcess] = JqProcess) -> Mapped:
        opened.append(Mapped(list(entries), process))
        return opened[-1]

    yield open_one
    for each in opened:
        each.mapping.close()
        each.clock.close()
