"""Fixtures that several folders use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hypothesis
import pytest
from scripted import Failing, Quick, Script, scripted_async_handler, scripted_handler

from ocean_actors import ResyncHandler

# For benchmarks/. At the end, so that tests get ocean_actors as it is installed.
sys.path.append(str(Path(__file__).parents[1]))

# A busy machine may take any time.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    """Keep bytecode out of the source tree instead of not at all, where the environment says so.

    A hundred processes, started by tests, would compile what they import, which doubles their
    start.
    """
    cache: pytest.Cache | None = getattr(config, "cache", None)
    if cache is not None and os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        sys.dont_write_bytecode = False
        sys.pycache_prefix = str(cache.mkdir("bytecode"))
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def scripted(script: Script) -> type[ResyncHandler]:
    return scripted_handler(script)


@pytest.fixture(params=[scripted_handler, scripted_async_handler], ids=["sync", "async"])
def handler(request: pytest.FixtureRequest, script: Script) -> type[ResyncHandler]:
    """Returns one that obeys an abort: once a plain method, once a coroutine."""
    handler: type[ResyncHandler] = request.param(script)
    return handler


@pytest.fixture
def quick() -> type[ResyncHandler]:
    return Quick


@pytest.fixture
def failing() -> type[ResyncHandler]:
    return Failing
