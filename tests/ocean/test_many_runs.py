"""A child serves run after run, and needs no more than for the first ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest
from shop import Rig, Shop

RUNS = 150
FIRST = 20  # in which caches fill
MIB = 2**20

pytestmark = [pytest.mark.xdist_group("ocean-0.56.2"), pytest.mark.timeout(900)]


def test_neither_memory_nor_descriptors_grow_with_the_number_of_runs(
    newest: Path, shop: Shop
) -> None:
    nothing: dict[str, Any] = {"products": 0, "makers": 0}  # so that a run takes little
    shop.order(**nothing)
    with Rig(shop, newest, eventListener={"interval": 3600}) as rig:
        rig.ended("completed")
        child, ours = psutil.Process(rig.child["pid"]), psutil.Process()
        for _ in range(FIRST):
            rig.run(**nothing)
        memory, descriptors = child.memory_info().rss, child.num_fds()
        our_descriptors, our_threads = ours.num_fds(), ours.num_threads()
        for number in range(RUNS - FIRST):
            if number == FIRST:  # from now on a run asks Port for the mapping and does nothing
                rig.sandbox.set_config("shop", {"resources": []}, skip_resync=True)
            rig.run(**nothing)
        assert child.memory_info().rss - memory < 6 * MIB
        assert child.num_fds() - descriptors < 8
        assert ours.num_fds() - our_descriptors < 8
        assert ours.num_threads() - our_threads < 4
