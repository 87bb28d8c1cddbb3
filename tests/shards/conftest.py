"""Fixtures for tests of executors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from waiting import WITH_RAY
from workshop import KINDS, RAY, Kind, Workshop

collect_ignore = [] if WITH_RAY else ["test_ray.py", "test_ray_cluster.py"]


def _params() -> list[object]:
    """One worker of xdist tests one executor, whose workers are dear to start."""
    return [
        pytest.param(kind, id=kind.name, marks=pytest.mark.xdist_group(f"shards-{kind.name}"))
        for kind in KINDS
    ]


@pytest.fixture(scope="module", params=_params())
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture(scope="session")
def ray_workshop() -> Iterator[Workshop]:
    """An executor with an embedded cluster, which takes 10 s to start and 700 MB of memory."""
    opened = Workshop(RAY)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def workshop(kind: Kind, request: pytest.FixtureRequest) -> Iterator[Workshop]:
    """An executor that several tests use, one after the other."""
    if kind.name == "ray":
        yield request.getfixturevalue("ray_workshop")
        return
    opened = Workshop(kind)
    yield opened
    opened.close()


@pytest.fixture
def open_workshop(kind: Kind) -> Iterator[Callable[..., Workshop]]:
    opened: list[Workshop] = []

    def open_one(**resync: Any) -> Workshop:
        opened.append(Workshop(kind, **resync))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()
