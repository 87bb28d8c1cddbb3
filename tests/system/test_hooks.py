"""The hooks of handlers in a system at work."""

from __future__ import annotations

import queue
import threading

from ocean_actors import ResyncHandler, ResyncRun, RunEnded
from ocean_actors.testing import SandboxedSystem

WITHIN = 30.0
CALM = {"type": "POLLING", "interval": 3600}


def test_a_stop_tells_the_handler_that_its_run_was_aborted() -> None:
    told: queue.Queue[str] = queue.Queue()

    class Waiting(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            told.put("at work")
            run.sleep(3600)

        def on_run_ended(self, status: str) -> None:
            told.put(status)

    with SandboxedSystem([Waiting], eventListener=CALM):
        assert told.get(timeout=WITHIN) == "at work"
    assert told.get(timeout=WITHIN) == "aborted"


def test_a_handler_that_a_run_does_not_start_is_not_told_of_it() -> None:
    told: queue.Queue[str] = queue.Queue()

    class Issues(ResyncHandler):
        kinds = ("issue",)

        def resync(self, run: ResyncRun) -> None:
            pass

        def on_run_started(self, run: ResyncRun) -> None:
            told.put(f"{type(self).__name__} started")

        def on_run_ended(self, status: str) -> None:
            told.put(f"{type(self).__name__} {status}")

    class Teams(Issues):
        kinds = ("team",)

    with SandboxedSystem([Issues, Teams], eventListener=CALM) as rig:
        rig.expect(RunEnded)
        assert sorted(told.get(timeout=WITHIN) for _ in range(4)) == [
            "Issues completed", "Issues started", "Teams completed", "Teams started",
        ]  # fmt: skip
        rig.system.request_resync("teams", kinds=("team",))
        assert rig.expect(RunEnded).run.handlers == ("Teams",)
        assert [told.get(timeout=WITHIN) for _ in range(2)] == ["Teams started", "Teams completed"]
    assert told.empty()


def test_a_hook_that_hangs_does_not_keep_the_system_from_stopping() -> None:
    told: queue.Queue[threading.Thread] = queue.Queue()
    release = threading.Event()

    class Hung(ResyncHandler):
        def resync(self, run: ResyncRun) -> None:
            pass

        def on_run_ended(self, status: str) -> None:
            told.put(threading.current_thread())
            release.wait(WITHIN)

    with SandboxedSystem([Hung], eventListener=CALM) as rig:
        thread = told.get(timeout=WITHIN)
        rig.sandbox.wait_for(lambda: len(rig.statuses()) == 2, WITHIN)
    assert "handler-Hung" in rig.system.status()["leftBehind"]
    assert rig.statuses() == ["running", "completed"]
    release.set()
    thread.join(WITHIN)
    assert not thread.is_alive()
