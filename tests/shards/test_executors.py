"""What every executor has to do: see `ocean_actors.shards.executor`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from workshop import WITHIN, Attempted, Kind, Workshop

from ocean_actors.shards import chunks
from ocean_actors.shards.executor import Advanced, Entities, Incomplete, Logged
from ocean_actors.shards.outcome import Cancelled, Completed, Failed, Lost


def wait_for(path: Path) -> None:
    until = time.monotonic() + WITHIN
    while not path.exists():
        assert time.monotonic() < until, f"{path} was not made in time"
        time.sleep(0.01)


def test_entities_come_in_order_and_are_counted(workshop: Workshop) -> None:
    attempted = workshop.start("things", 2 * chunks.MOST_ITEMS + 1)
    assert attempted.outcome() == Completed(2 * chunks.MOST_ITEMS + 1)
    numbers = range(2 * chunks.MOST_ITEMS + 1)
    assert attempted.identifiers() == [f"thing-{number}" for number in numbers]
    sizes = [event.items for event in attempted.events if isinstance(event, Entities)]
    assert max(sizes) <= chunks.MOST_ITEMS


def test_an_async_generator_does_as_well(workshop: Workshop) -> None:
    attempted = workshop.start("things_async", 3)
    assert attempted.outcome() == Completed(3)
    assert attempted.identifiers() == ["thing-0", "thing-1", "thing-2"]


def test_a_worker_waits_while_there_is_no_room(workshop: Workshop, tmp_path: Path) -> None:
    file = tmp_path / "count"
    attempted = workshop.prepare("counted", 20_000, str(file))
    attempted.room.clear()
    attempted.start()
    attempted.next_event()
    settled = -1
    while (count := int(file.read_bytes())) != settled:
        settled = count
        time.sleep(0.2)  # it would yield thousands
    assert settled * 1000 <= 6 * chunks.MOST_BYTES
    attempted.room.set()
    assert attempted.outcome() == Completed(20_000)
