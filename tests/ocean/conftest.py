"""Integrations of Port Ocean inside, and impostors of them, for the tests of this folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pythons import BOTH, NEWEST, python_with
from shop import Rig, Shop

IMPOSTOR = Path(__file__).with_name("impostor.py")


@pytest.fixture(scope="session")
def newest() -> Path:
    """Returns a Python with the newest version of port-ocean that is supported."""
    return python_with(NEWEST)


@pytest.fixture(scope="module", params=BOTH)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """Returns a system that the tests of a module share; its first run has ended.

    A child takes seconds to start. A test that ends the child waits for the next one. Tests of
    other modules count threads and log lines of the process, so it may not outlive its module.
    """
    shop = Shop(tmp_path_factory.mktemp("shop"))
    python = python_with(request.param)
    resync = {"abortGrace": 8}  # a child is killed 2 s before its end
    with Rig(shop, python, resync=resync, eventListener={"interval": 3600}) as rig:
        rig.ended("completed")
        yield rig


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Returns a shop of the test's own."""
    return Shop(tmp_path)


@pytest.fixture
def impostor(newest: Path, shop: Shop, tmp_path: Path) -> Callable[..., Rig]:
    """Returns what makes a system whose child is an impostor."""

    def make(mode: str, **settings: Any) -> Rig:
        python = tmp_path / f"python-{mode}"
        python.write_text(
            "#!/bin/sh\n"
            'case "$2" in\n'
            f'*ocean_actors_child*) exec "{sys.executable}" "{IMPOSTOR}" {mode} "$4" "$5";;\n'
            f'*) exec "{newest}" "$@";;\n'
            "esac\n"
        )
        python.chmod(0o755)
        return Rig(shop, python, **settings)

    return make
