"""The resyncs that the integration runs for the parent, one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
from typing import Any

from .kinds import Kinds, described
from .pipe import Parent
from .upstream import Sync

PROGRESS_SECONDS = 0.5
METRICS_SECONDS = 10.0  # for the last metrics of a resync
ABORTED_SECONDS = 2.0  # the same for an aborted resync, for whose end another one may wait
CANCEL_SECONDS = 1.0  # between two attempts to cancel a resync


class Resyncs:
    """Runs `sync`, upstream's own resync, whenever the parent says so.

    For the thread of the event loop, except `run_id`.
    """

    def __init__(self, parent: Parent, app: Any, sync: Sync) -> None:
        self._parent = parent
        self._app = app
        self._sync = sync
        self._context = contextvars.copy_context()
        self._current: Resync | None = None
        watch_resources(app.integration, lambda: self._current)

    def keep_context(self) -> None:
        """Have all resyncs run in copies of the present context."""
        self._context = contextvars.copy_context()

    @property
    def run_id(self) -> str | None:
        """The id of the run in flight."""
        current = self._current
        return None if current is None else current.run_id

    def start(self, number: int, run_id: str) -> None:
        """Start a resync for a run."""
        resync = Resync(number, run_id, Kinds(self._app))
        self._current = resync
        resync.task = asyncio.get_running_loop().create_task(
            self._serve(resync), context=self._context.copy()
        )

    def abort(self, number: int) -> None:
        """Cancel the resync of a run, again and again, as it may ignore that."""
        resync = self._current
        if resync is None or resync.number != number or resync.task is None:
            return
        resync.aborted = True
        resync.task.cancel()
        asyncio.get_running_loop().call_later(CANCEL_SECONDS, self.abort, number)

    async def _serve(self, resync: Resync) -> None:
        progress = asyncio.create_task(self._tell_progress(resync))
        status, failure = "failed", None
        try:
            status, failure = await self._outcome(resync)
        except asyncio.CancelledError:
            if not resync.aborted:
                raise  # the process ends, which the parent will see
            status = "aborted"
        except Exception as error:  # noqa: BLE001  (the integration's code may raise anything)
            failure = described(error)
        finally:
            progress.cancel()
        self._current = None  # so it is not cancelled any more
        data = resync.kinds.as_data()
        with contextlib.suppress(Exception):  # only metrics, and upstream logs the failure
            seconds = ABORTED_SECONDS if status == "aborted" else METRICS_SECONDS
            await asyncio.wait_for(self._end_metrics(status), seconds)
        self._app.metrics.event_id = ""  # or upstream goes on with its heartbeats
        self._parent.send("finished", run=resync.number, status=status, failure=failure, **data)

    async def _outcome(self, resync: Resync) -> tuple[str, str | None]:
        await self._app.resync_state_updater.update_before_resync()
        done = await self._sync({})
        if done:
            return "completed", None
        return "failed", "Port aborted the resync" if done is None else resync.kinds.failure()

    async def _end_metrics(self, status: str) -> None:
        """Send upstream's last metrics of a resync."""
        from port_ocean.utils.misc import IntegrationStateStatus

        await self._app.resync_state_updater.update_after_resync(IntegrationStateStatus(status))

    async def _tell_progress(self, resync: Resync) -> None:
        told: dict[str, Any] = {}
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            data = resync.kinds.as_data()
            if data != told:
                told = data
                self._parent.send("progressed", run=resync.number, **data)


class Resync:
    """The resync in flight."""

    def __init__(self, number: int, run_id: str, kinds: Kinds) -> None:
        self.number = number
        self.run_id = run_id
        self.kinds = kinds
        self.task: asyncio.Task[None] | None = None
        self.aborted = False


def watch_resources(integration: Any, current: Any) -> None:
    """Have `Kinds` of the current resync told which resource upstream works on."""
    from port_ocean.context.event import event

    process = integration.process_resource

    @functools.wraps(process)
    async def watched(resource: Any, index: int, *more: Any, **named: Any) -> Any:
        resync: Resync | None = current()
        if resync is None:
            return await process(resource, index, *more, **named)
        kinds = resync.kinds
        kinds.begin(resource, index, len(event.port_app_config.resources))
        try:
            result = await process(resource, index, *more, **named)
        except asyncio.CancelledError:
            kinds.end(resource.kind, index, "aborted", ())
            raise
        except BaseException as error:
            kinds.end(resource.kind, index, "failed", (error,))
            raise
        errors = tuple(result[1])
        kinds.end(resource.kind, index, "failed" if errors else "completed", errors)
        return result

    integration.process_resource = watched
