"""Keeps several batches of a run on their way to Port (`port.concurrency`).

    a handler's thread: reads entities ──▶ `BatchGroup.send` waits for room ──▶ a sender calls Port

`window.py` decides which batch may go. One `InFlight` serves all handlers of a run; each call of
`upsert` or `reconcile` has a `BatchGroup`. Senders are threads, started when there is work for one
more, and they run our code only: entities are read in the handler's thread.
"""

from __future__ import annotations

import contextvars
import functools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from ocean_actors.actors import CancelToken, Clock
from ocean_actors.port.errors import PortError
from ocean_actors.port.window import Claim, Window

if TYPE_CHECKING:
    from typing_extensions import Self

Given = TypeVar("Given")
Got = TypeVar("Got")

BUSY_STATUSES = frozenset({None, 408, 429, 503, 504})
"""The statuses that may be due to too many calls at a time; None: no answer."""

UNLIMITED = 1 << 30
ANYTHING = Claim("")  # conflicts with nothing


class InFlight:
    """The batches of one run that are on their way. Safe to use from any thread."""

    def __init__(self, clock: Clock, limit: int, *, senders: int | None = None) -> None:
        """Take how many batches may be in flight, and the most threads that send them.

        With 0 `senders`, and with a limit of 1, batches are sent in the threads of the callers.
        """
        self._clock = clock
        self._senders = (limit if limit > 1 else 0) if senders is None else senders
        self._changed = threading.Condition()  # callers wait for answers to other threads
        self._window = Window(limit)
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._started = 0
        self._idle = 0  # senders without work; below 0: work that waits for a sender
        self._closed = False

    @property
    def window(self) -> Window:
        """What is in flight now."""
        return self._window

    def group(self, token: CancelToken) -> BatchGroup:
        """Returns the batches of one call, which `token` ends."""
        return BatchGroup(self, token)

    def refused(self, error: PortError) -> None:
        """Keep fewer batches in flight if Port is busy, which the error of a call tells."""
        if error.temporary and error.status in BUSY_STATUSES:
            with self._changed:
                self._window = self._window.refused(self._clock.monotonic())

    def close(self) -> None:
        """End the senders, each after the batch that it sends. The token ends the batches."""
        with self._changed:
            self._closed = True
            for _ in range(self._started):
                self._work.put(None)

    # -- for the groups --------------------------------------------------------------------------

    def admit(self, claim: Claim, group: BatchGroup) -> int:
        """Wait until a batch may go; returns its number. Raises what ends the group."""
        with self._changed:
            self._window = self._window.asked(claim)
            number = self._window.last
            group.unanswered += 1
        try:
            self.wait(lambda: number in self._window.in_flight or group.error is not None, group)
            group.check()
        except BaseException:
            with self._changed:
                self._window = self._window.without(number)
                group.unanswered -= 1
                self._changed.notify_all()
            raise
        return number

    def wait_for_room(self, group: BatchGroup) -> None:
        """Wait until one more batch may be read."""
        self.wait(lambda: self._window.room > 0 or group.error is not None, group)

    def wait(self, so: Callable[[], bool], group: BatchGroup) -> None:
        """Wait until it is `so`. Raises the token's error as soon as that is cancelled."""
        token = group.token
        if so():  # most often: nothing to wait for
            token.check()
            return
        forget = token.on_cancel(self._wake)
        try:
            with self._changed:  # ended by the answer to a batch or by the token
                self._changed.wait_for(lambda: token.cancelled or so())
        finally:
            forget()
        token.check()

    def carry_out(self, number: int, group: BatchGroup, work: Callable[[], None]) -> None:
        """Do the work of a batch that was admitted, in this thread or in that of a sender."""
        began = self._clock.monotonic()
        error: BaseException | None = None
        try:
            work()
        except BaseException as raised:  # noqa: BLE001  (raised in the thread of the call)
            error = raised
        with self._changed:
            now = self._clock.monotonic()
            self._window = self._window.ended(number, began, now, answered=error is None)
            group.error = group.error or error
            group.unanswered -= 1
            self._changed.notify_all()

    def hand_over(self, number: int, group: BatchGroup, work: Callable[[], None]) -> None:
        """Have a sender do the work; this thread does it if there are no senders."""
        job = functools.partial(self.carry_out, number, group, work)
        context = contextvars.copy_context()  # with what the lines of the log carry
        if self._senders == 0 or not self._pass_on(functools.partial(context.run, job)):
            job()

    def _pass_on(self, job: Callable[[], None]) -> bool:
        """Returns whether a sender has taken the work."""
        with self._changed:
            if self._closed:
                return False
            if self._idle <= 0 and self._started < self._senders:
                name = f"port-sender-{self._started + 1}"
                thread = threading.Thread(target=self._serve, args=(job,), name=name, daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # there can be no more threads
                    return False
                self._started += 1
                return True
            self._idle -= 1
            self._work.put(job)
        return True

    def _serve(self, job: Callable[[], None] | None) -> None:
        """Work as a sender until `close`."""
        while job is not None:
            job()
            del job  # it holds a batch
            with self._changed:
                self._idle += 1
            job = self._work.get()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


class BatchGroup:
    """The batches of one call. For the thread of the call; it is a context manager.

    The end of the `with` block waits for the batches in flight, unless the token is cancelled.
    Its fields are changed under the lock of its `InFlight`.
    """

    def __init__(self, flight: InFlight, token: CancelToken) -> None:
        self.token = token
        self.error: BaseException | None = None
        """What the first batch that failed has raised."""
        self.unanswered = 0
        self._flight = flight

    def send(self, claim: Claim, work: Callable[[], None], *, here: bool = False) -> None:
        """Have `work` send a batch once it may go; return when the next batch may be read.

        `here`: in this thread, as nothing else is left to do. Raises what an earlier batch has
        raised, and the token's error.
        """
        number = self._flight.admit(claim, self)
        if here:
            self._flight.carry_out(number, self, work)
        else:
            self._flight.hand_over(number, self, work)
            self._flight.wait_for_room(self)
        self.check()

    def wait(self) -> None:
        """Wait until all batches are answered. Raises what the first that failed has raised."""
        self._flight.wait(lambda: self.unanswered == 0, self)
        self.check()

    def map(self, work: Callable[[Given], Got], items: Iterable[Given]) -> Iterator[Got]:
        """Call `work` with each item, several at a time; returns the results in order.

        These are batches of a group of their own.
        """
        results: dict[int, Got] = {}

        def do(index: int, item: Given) -> None:
            results[index] = work(item)

        with self._flight.group(self.token) as group:
            for index, item in enumerate(items):
                group.send(ANYTHING, functools.partial(do, index, item))
            group.wait()
        return iter([results[index] for index in sorted(results)])

    def check(self) -> None:
        """Raises the token's error, or what a batch has raised."""
        self.token.check()
        if self.error is not None:
            raise self.error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        if not self.token.cancelled:
            self._flight.wait(lambda: self.unanswered == 0, self)
