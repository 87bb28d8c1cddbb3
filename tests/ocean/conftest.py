"""A Python with port-ocean for the tests of integrations inside, installed once on a machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from shop import Shop

from benchmarks.peers import port_ocean_python

OLDEST, NEWEST = "0.48.13", "0.56.2"


@pytest.fixture(scope="session")
def newest() -> Path:
    """Returns a Python that has the newest version that is supported."""
    return python_with(NEWEST)


@pytest.fixture(scope="session")
def oldest() -> Path:
    """Returns a Python that has the oldest version that is supported."""
    return python_with(OLDEST)


def python_with(version: str) -> Path:
    """Returns a Python with a version of port-ocean; skips without one, and fails under CI."""
    try:
        return port_ocean_python.python(version)
    except port_ocean_python.NotInstalled as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Returns a shop of the test's own."""
    shop = Shop(tmp_path)
    for name, value in shop.environment().items():
        monkeypatch.setenv(name, value)
    return shop
