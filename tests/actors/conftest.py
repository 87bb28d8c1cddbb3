from __future__ import annotations

from collections.abc import Iterator

import pytest

from ocean_actors.actors import ActorSystem
from ocean_actors.testing import ManualClock


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    clock = ManualClock()
    yield clock
    clock.close()


@pytest.fixture
def system(clock: ManualClock) -> Iterator[ActorSystem]:
    """A system on the manual clock whose actors all have to end in time."""
    system = ActorSystem(clock=clock, debug=True, seed=7)
    yield system
    assert system.stop() == []
    assert system.snapshot() == []
