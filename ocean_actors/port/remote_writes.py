"""Lets a worker in another process write its batches, and records them as this run's."""

from __future__ import annotations

import contextvars
import functools
import itertools
import queue
import threading
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ocean_actors.errors import OceanError
from ocean_actors.port.client import PortClient
from ocean_actors.port.entity_calls import PATIENT
from ocean_actors.port.errors import PortError
from ocean_actors.port.in_flight import BatchGroup
from ocean_actors.port.live_writes import RunWrites
from ocean_actors.port.models import AccessToken
from ocean_actors.port.remote import (
    ORDER_SECONDS,
    BatchAnnounced,
    BatchNotSent,
    BatchSent,
    EntitiesRefused,
    ForgetBatch,
    FromWorker,
    SendBatch,
    StopWriting,
    ToWorker,
    unpacked,
)
from ocean_actors.port.sent_entities import SentEntities
from ocean_actors.port.upserts import UpsertCounts
from ocean_actors.port.window import Claim
from ocean_actors.text import one_line
from ocean_actors.throttle import Throttle

if TYPE_CHECKING:
    from typing_extensions import Self

ANSWER_SECONDS = 150.0
"""How long a worker may take to send a batch: longer than one attempt takes there."""


class WorkerGone(OceanError):
    """A worker ended before it said what became of a batch."""


SendOutcome = BatchSent | BatchNotSent | BaseException


class RemoteWrites:
    """What one worker writes for one handler of a run; a context manager.

    `hear` takes what the worker says and never blocks. A thread waits for room for each batch, as
    a handler's thread does for its own. What fails is told to the worker, whose shard then fails.
    """

    def __init__(
        self,
        handler: str,
        client: PortClient,
        query: Mapping[str, str],
        sent: SentEntities,
        throttle: Throttle,
        writes: RunWrites,
        group: BatchGroup,
        tell: Callable[[ToWorker], None],
    ) -> None:
        """`tell` sends to the worker, from any thread, and raises nothing."""
        self._handler = handler
        self._client = client
        self._query = query
        self._sent = sent
        self._throttle = throttle
        self._writes = writes
        self._group = group
        self._tell = tell
        self._clock = client.clock
        self._announced: queue.SimpleQueue[BatchAnnounced | None] = queue.SimpleQueue()
        self._orders: dict[int, queue.SimpleQueue[SendOutcome]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()  # the worker's stream, and the threads that send batches
        self._gone: str | None = None
        self._heard: tuple[float, float] = (0.0, 0.0)  # by the worker's clock, and by ours
        self._thread: threading.Thread | None = None

    def hear(self, message: FromWorker) -> None:
        """Take what the worker says. Raises RuntimeError if no thread can be started."""
        self._heard = (message.sent_at, self._clock.monotonic())
        if isinstance(message, BatchAnnounced):
            self._sent.begin(self._handler, message.blueprint)
            self._start()
            self._announced.put(message)
        elif isinstance(message, EntitiesRefused):
            self._counts(message.blueprint).fail(message.failures)
        else:
            with self._lock:
                waiting = self._orders.pop(message.order, None)
            if waiting is not None:  # else nobody waits for it any more
                waiting.put(message)

    def gone(self, reason: str) -> None:
        """Say that the worker answers no more: it ended, or its shard has. Returns at once."""
        with self._lock:
            self._gone = self._gone or reason
            waiting, self._orders = list(self._orders.values()), {}
        for each in waiting:
            each.put(WorkerGone(reason))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.gone("its shard has ended")
        self._announced.put(None)
        if self._thread is not None:
            self._thread.join()  # it waits for nothing any more

    # -- in the thread that waits for room ---------------------------------------------------------

    def _start(self) -> None:
        if self._thread is None:
            run = functools.partial(contextvars.copy_context().run, self._serve)
            self._thread = threading.Thread(target=run, name="shard-writer", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        try:
            with self._group:
                while (batch := self._announced.get()) is not None and self._gone is None:
                    self._group.send(_claim(batch), functools.partial(self._write, batch))
        except BaseException as error:  # noqa: BLE001  (its shard fails with it)
            self._stop(error)

    def _stop(self, error: BaseException) -> None:
        """Have the worker's shard fail, and wait for no more batches of it."""
        if not self._client.token.cancelled:  # else it is cancelled, too
            lasting = isinstance(error, OceanError) and error.lasting is True
            text = one_line(str(error) if isinstance(error, OceanError) else error)
            self._tell(StopWriting(text, lasting))
        self._announced.put(None)

    # -- in the threads that send batches ----------------------------------------------------------

    def _write(self, batch: BatchAnnounced) -> None:
        try:
            self._write_batch(batch)
        except BaseException as error:
            self._stop(error)
            raise
        self._tell(ForgetBatch(batch.number))

    def _write_batch(self, batch: BatchAnnounced) -> None:
        """Have a batch sent, without what live events have written during this run."""
        prints = unpacked(batch.prints)
        searching = frozenset(batch.searching)
        groups = [() if at in searching else (print_,) for at, print_ in enumerate(prints)]
        with self._writes.sending(groups) as free:
            wanted = [at for at, is_free in enumerate(free) if is_free]
            if wanted:
                self._send(batch, wanted, whole=len(wanted) == len(prints))
        left_out = array("Q", (prints[at] for at, is_free in enumerate(free) if not is_free))
        if left_out:
            self._sent.add_prints(self._handler, batch.blueprint, left_out, 0, len(left_out))

    def _send(self, batch: BatchAnnounced, indexes: Sequence[int], *, whole: bool = False) -> None:
        """Have entities sent, in halves if they are too large for Port. Raises PortError."""

        def send(access: AccessToken, seconds: float) -> tuple[str, BatchSent]:
            sent = self._order(batch.number, None if whole else tuple(indexes), access, seconds)
            return "207" if sent.failures else "200", sent

        try:
            sent = self._client.delegate("POST", send, PATIENT)
        except PortError as error:
            if error.status == 404:
                name = one_line(batch.blueprint)
                message = f"{error}: is there a blueprint {name!r} in Port?"
                raise PortError(message, status=404) from None
            if error.status != 413 or len(indexes) == 1:
                raise
            half = len(indexes) // 2
            self._send(batch, indexes[:half])
            self._send(batch, indexes[half:])
            return
        self._sent.add_prints(self._handler, batch.blueprint, unpacked(sent.prints), 0)
        if sent.failures:
            self._counts(batch.blueprint).fail(sent.failures)

    def _order(
        self, number: int, indexes: tuple[int, ...] | None, access: AccessToken, seconds: float
    ) -> BatchSent:
        """Have the worker send once. Raises PortError, WorkerGone and the token's error."""
        waiting: queue.SimpleQueue[SendOutcome] = queue.SimpleQueue()  # the first outcome counts
        with self._lock:
            if self._gone is not None:
                raise WorkerGone(self._gone)
            order = next(self._numbers)
            self._orders[order] = waiting
        token = self._client.token
        forget = token.on_cancel(lambda: waiting.put(token.error(token.reason or "")))
        timer = self._clock.call_later(ANSWER_SECONDS, lambda: waiting.put(_silent()))
        try:
            until = self._until(min(seconds, ORDER_SECONDS))
            authorization = access.authorization
            self._tell(SendBatch(order, number, indexes, self._query, authorization, until))
            outcome = waiting.get()  # ended by the answer, the worker's end, the token or the timer
        finally:
            forget()
            timer.cancel()
            with self._lock:
                self._orders.pop(order, None)
        if isinstance(outcome, BatchSent):
            return outcome
        if isinstance(outcome, BatchNotSent):
            raise PortError(
                outcome.text,
                status=outcome.status,
                temporary=outcome.temporary,
                lasting=outcome.lasting,
                asked_wait=outcome.asked_wait,
            )
        raise outcome

    def _until(self, seconds: float) -> float:
        """Returns the end, by the worker's clock, of an order that holds for so many seconds.

        The worker had sent its last message before we heard it. So its clock will reach what is
        returned at the latest when ours has advanced by the seconds from now, however long
        messages take.
        """
        its, ours = self._heard
        return its + self._clock.monotonic() - ours + seconds

    def _counts(self, blueprint: str) -> UpsertCounts:
        note = functools.partial(self._sent.add, self._handler, blueprint)
        return UpsertCounts(blueprint, self._throttle, note)


def _silent() -> PortError:
    message = f"a worker has not said within {ANSWER_SECONDS:g} s what became of a batch"
    return PortError(message, temporary=True)


def _claim(batch: BatchAnnounced) -> Claim:
    names = frozenset(map(str, unpacked(batch.prints))) - {"0"}
    return Claim(batch.blueprint, names, whole=bool(batch.searching))
