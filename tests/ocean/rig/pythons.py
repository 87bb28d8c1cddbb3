"""Pythons with port-ocean for the tests, each made once on a machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.peers import port_ocean_python
from ocean_actors.ocean.probe import TESTED

OLDEST, NEWEST = TESTED

BOTH = [
    pytest.param(version, id=version, marks=pytest.mark.xdist_group(f"ocean-{version}"))
    for version in TESTED
]
"""The versions that are tested, as parameters; the tests of one share a worker."""


def python_with(version: str) -> Path:
    """Returns a Python with a version of port-ocean; without one skips, and fails under CI."""
    try:
        return port_ocean_python.python(version)
    except port_ocean_python.NotInstalled as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
