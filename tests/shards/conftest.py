"""Fixtures for tests of executors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from workshop import KINDS, Kind, Workshop


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
def workshop(kind: Kind) -> Iterator[Workshop]:
    opened = Workshop(kind)
    yield opened
    opened.close()


@pytest.fixture
def open_workshop() -> Iterator[Callable[..., Workshop]]:
    opened: list[Workshop] = []

    def open_one(kind: Kind, **resync: Any) -> Workshop:
        opened.append(Workshop(kind, **resync))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()
