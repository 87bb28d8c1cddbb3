"""Pythons with port-ocean for the tests of integrations inside, made once on a machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pythons import BOTH, NEWEST, python_with
from shop import Rig, Shop


@pytest.fixture(scope="session")
def newest() -> Path:
    """Returns a Python with the newest version of port-ocean that is supported."""
    return python_with(NEWEST)


@pytest.fixture(scope="session", params=BOTH)
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
