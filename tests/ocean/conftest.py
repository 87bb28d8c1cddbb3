"""Pythons with port-ocean for the tests of integrations inside, made once on a machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import Rig, Shop

from benchmarks.peers import port_ocean_python
from ocean_actors.ocean.probe import TESTED

OLDEST, NEWEST = TESTED


def python_with(version: str) -> Path:
    """Returns a Python with a version of port-ocean; without one skips, and fails under CI."""
    try:
        return port_ocean_python.python(version)
    except port_ocean_python.NotInstalled as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def newest() -> Path:
    """Returns a Python with the newest version of port-ocean that is supported."""
    return python_with(NEWEST)


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(version, id=version, marks=pytest.mark.xdist_group(f"ocean-{version}"))
        for version in TESTED
    ],
)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """Returns a system that the tests share; its first run has ended.

    A child takes seconds to start. A test that ends the child waits for the next one.
    """
    shop = Shop(tmp_path_factory.mktemp("shop"))
    python = python_with(request.param)
    resync = {"abortGrace": 4}
    with Rig(shop, python, resync=resync, eventListener={"interval": 3600}) as rig:
        rig.ended("completed")
        yield rig


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Returns a shop of the test's own."""
    return Shop(tmp_path)
