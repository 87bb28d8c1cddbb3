"""Fixtures that several folders use."""

from __future__ import annotations

import pytest
from scripted import Failing, Quick, Script, scripted_async_handler, scripted_handler

from ocean_actors import ResyncHandler


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def scripted(script: Script) -> type[ResyncHandler]:
    return scripted_handler(script)


@pytest.fixture
def scripted_async(script: Script) -> type[ResyncHandler]:
    return scripted_async_handler(script)


@pytest.fixture
def quick() -> type[ResyncHandler]:
    return Quick


@pytest.fixture
def failing() -> type[ResyncHandler]:
    return Failing
