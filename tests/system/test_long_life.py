"""A day of polling, by a clock that is turned by hand: nothing grows."""

from __future__ import annotations

import gc
import logging
import threading
from collections import Counter
from typing import Any

import psutil
import pytest
from scripted import Quick

from ocean_actors import RunReported
from ocean_actors.port import exchange
from ocean_actors.resync import history
from ocean_actors.sandbox.calls import CallLog
from ocean_actors.testing import ManualClock, SandboxedSystem, wait_idle

HOURS = 24
WARM = 3  # the hours after which connections, caches and buffers are what they stay
GROWN = 11  # objects of ours: one for every other run
POLLING: dict[str, Any] = {"type": "POLLING", "interval": 600, "resyncOnStart": False}


class Rig(SandboxedSystem):
    """A system that polls every ten minutes and runs a resync each hour.

    It does not ship its log: looking for lines every five seconds would take most of the test's
    time.
    """

    def __init__(self) -> None:
        self.clock = ManualClock()
        super().__init__(
            [Quick],
            clock=self.clock,
            eventListener=POLLING,
            scheduledResyncInterval=60,
            port={"shipLogs": False},
        )

    def hour(self) -> None:
        """Let an hour pass, with its six polls and its run."""
        for _ in range(6):
            self.clock.advance(POLLING["interval"])
            self.settle()
        polls = [call for call in self.sandbox.calls if call.path.endswith("/resync-request")]
        assert len(polls) >= 6
        self.expect(RunReported)
        self.settle()
        assert self.statuses()[-1] == "completed"
        with self.sandbox._core.changing() as state:  # what it records of us is not ours
            state.calls = CallLog()
            state._pages.clear()
            state.integrations._reports.clear()

    def settle(self) -> None:
        wait_idle(self.system._actors, 30.0)


def in_use() -> tuple[Counter[str], int, int]:
    """Returns our objects by type, the threads and the descriptors of this process."""
    exchange.target_of.cache_clear()  # it keeps up to 256 addresses; each run has one of its own
    gc.collect()
    ours = Counter(
        type(each).__name__
        for each in gc.get_objects()
        if str(type(each).__module__).startswith("ocean_actors.")
    )
    threads = [each for each in threading.enumerate() if each.name != "port-call"]
    return ours, len(threads), psutil.Process().num_fds()


def test_a_day_of_polling_leaves_nothing_behind(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "REMEMBERED_RUNS", WARM - 1)  # else it would take 200 hours
    caplog.set_level(logging.CRITICAL, "ocean_actors")  # pytest keeps what is logged
    with Rig() as rig:
        rig.settle()
        for _ in range(WARM):
            rig.hour()
        before = in_use()
        for _ in range(HOURS - WARM):
            rig.hour()
        after = in_use()
        assert after[0].total() - before[0].total() < GROWN, after[0] - before[0]
        # One of each that a run leaves behind would be 21; a pool may open one more.
        assert after[1] - before[1] < 5
        assert after[2] - before[2] < 5
