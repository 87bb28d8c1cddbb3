"""The handler that runs the resyncs of an Ocean integration through its child."""

from __future__ import annotations

from collections.abc import Callable

from ocean_actors.actors import Ref
from ocean_actors.errors import OceanError
from ocean_actors.ocean.job import AbortJob, AbortWanted, JobEnded, OceanJob, StartJob
from ocean_actors.ocean.protocol import KindProgress, RunCounts
from ocean_actors.ocean.writer import OceanPort
from ocean_actors.resync.handlers import ResyncHandler
from ocean_actors.resync.run import ResyncRun

NAME = "Ocean"
"""The handler's name in `status()`, metrics and the log."""


class OceanRunFailed(OceanError):
    """The integration's resync failed; `str()` is one readable line."""


class OceanHandler(ResyncHandler):
    """Has the child run a resync, and waits for it."""

    def __init__(self, child: Callable[[], Ref]) -> None:
        """`child` returns the address of the child's actor."""
        self._child = child

    def resync(self, run: ResyncRun) -> None:
        """Wait for the child.

        Raises OceanRunFailed if the resync fails. The child's actor always answers, even if the
        child dies; if the run is aborted, it kills a child that does not obey.
        """
        if run.info.partial:
            run.logger.info("an Ocean integration resyncs all of its kinds, whatever is asked for")
        child = self._child()
        job = OceanJob(run.info.number, run.id, run.trigger)
        forget = run.token.on_cancel(lambda: job.events.put(AbortWanted()))
        try:
            child.tell(StartJob(job))
            while True:
                event = job.events.get()
                if isinstance(event, JobEnded):
                    break
                if isinstance(event, AbortWanted):
                    if not child.is_alive():  # the system ends, as children died in a loop
                        run.check()
                    child.tell(AbortJob(job))
                else:
                    _note(run, event)
        finally:
            forget()
        if event.status == "aborted":
            run.check()
        if event.status != "completed":
            raise OceanRunFailed(event.failure or "the resync was aborted by the integration")


def _note(run: ResyncRun, counts: RunCounts) -> None:
    if isinstance(run.port, OceanPort):
        run.port.note(counts)
    ended = sum(each.state != "syncing" for each in counts.kinds)
    run.progress(ended, counts.total or None, _progress_text(counts))


def _progress_text(counts: RunCounts) -> str:
    """Returns how far the kinds are, those at work first."""
    order = sorted(counts.kinds, key=lambda each: each.state != "syncing")
    return ", ".join(map(_kind_text, order))


def _kind_text(kind: KindProgress) -> str:
    failed = f" ({kind.failed} failed)" if kind.failed else ""
    return f"{kind.kind} {kind.loaded + kind.skipped}{failed}"
