"""What a handler is given: one run of a resync."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar

from ocean_actors.actors import Cancelled, CancelToken, Clock, Timer
from ocean_actors.frozen import FrozenDict
from ocean_actors.messages import Progress, RunInfo, Written
from ocean_actors.session import CancellableSession

Item = TypeVar("Item")

PROGRESS_SECONDS = 0.1


class ResyncAborted(Cancelled):
    """Raised inside a handler whose run was aborted; let it pass. `reason` says why."""


class RunPort(Protocol):
    """How a handler writes to Port; see `ocean_actors.port.entities` for the contract."""

    def upsert(
        self,
        blueprint: str,
        entities: Iterable[Mapping[str, Any]],
        *,
        merge: bool | None = None,
        create_missing_related_entities: bool | None = None,
    ) -> Any:
        """Create or update entities; an UpsertResult."""

    def reconcile(self, max_share: float | None = None) -> int:
        """Delete what this integration owned and this run did not send."""


class RunWriter(Protocol):
    """The entities of one run, whichever handler sends them."""

    def for_handler(self, name: str) -> RunPort:
        """The door of one handler."""

    def handler_finished(self, name: str, *, ok: bool) -> None:
        """That handler sends nothing more."""

    def written(self) -> Written:
        """What was sent so far."""

    def close(self) -> None:
        """Close the connections."""


class ResyncRun:
    """One handler's view of the run it takes part in.

    For the handler's own thread, and for threads that it starts and joins itself.
    """

    def __init__(
        self,
        info: RunInfo,
        handler: str,
        token: CancelToken,
        clock: Clock,
        port: RunPort,
        report: Callable[[Progress], None],
        *,
        strict_tls: bool = True,
    ) -> None:
        self.info = info
        self.port = port
        self.token = token
        self._handler = handler
        self._clock = clock
        self._report = report
        self._strict_tls = strict_tls
        self._latest: Progress | None = None  # not sent on yet
        self._pause: Timer | None = None  # until the next may be sent on
        self._progress_lock = threading.Lock()  # the clock's thread sends on what was held back
        self._session: CancellableSession | None = None

    @property
    def id(self) -> str:
        """Unique for all time; Port sees it as `ocean_info_resync_id`."""
        return self.info.id

    @property
    def reason(self) -> str:
        """Why the newest of the requests that this run covers was made."""
        return self.info.reason

    @property
    def trigger(self) -> str:
        """The name of the listener that made it."""
        return self.info.trigger

    @property
    def config(self) -> FrozenDict:
        """The integration's config as Port holds it, deeply immutable."""
        return self.info.config

    @property
    def requested_at(self) -> datetime:
        """When it was requested (UTC)."""
        return self.info.requested_at

    @property
    def started_at(self) -> datetime:
        """When the handlers were started (UTC)."""
        return self.info.started_at

    @property
    def aborted(self) -> bool:
        """Whether the run was aborted: whatever the handler still does is in vain."""
        return self.token.cancelled

    @property
    def session(self) -> CancellableSession:
        """A `requests.Session` of this handler in this run, for the third system's API.

        Its calls have time-outs and retries, and raise ResyncAborted as soon as the run is
        aborted, also while they wait for an answer.
        """
        if self._session is None:
            self._session = CancellableSession(
                self.token, clock=self._clock, strict=self._strict_tls
            )
        return self._session

    def check(self) -> None:
        """Raise ResyncAborted if the run was aborted."""
        self.token.check()

    def sleep(self, seconds: float) -> None:
        """Wait; raises ResyncAborted at once when the run is aborted. Blocks: not for `async`."""
        self.token.sleep(seconds, self._clock)

    def guard(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, raising ResyncAborted before the next one once the run is aborted."""
        for item in items:
            self.check()
            yield item
        self.check()

    def progress(self, done: int, total: int | None = None, message: str | None = None) -> None:
        """Say how far this handler has come; call it as often as you like.

        Ten reports a second travel on: the newest each time, and the last in any case.
        """
        with self._progress_lock:
            self._latest = Progress(self._handler, done, total, message)
            if self._pause is None:
                self._send_progress()
                self._pause = self._clock.call_later(PROGRESS_SECONDS, self._pause_over)

    def _pause_over(self) -> None:
        with self._progress_lock:
            if self._pause is None:
                return  # closed meanwhile
            more = self._latest is not None
            self._send_progress()
            self._pause = (
                self._clock.call_later(PROGRESS_SECONDS, self._pause_over) if more else None
            )

    def _send_progress(self) -> None:
        latest, self._latest = self._latest, None
        if latest is not None:
            self._report(latest)

    def close(self) -> None:
        """For the handler's actor, once the handler has returned."""
        with self._progress_lock:
            if self._pause is not None:
                self._pause.cancel()
                self._pause = None
            self._send_progress()
        if self._session is not None:
            self._session.close()

    def __repr__(self) -> str:
        return f"<ResyncRun {self.id}: {self.reason}>"
