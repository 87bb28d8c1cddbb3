"""What an actor of Ray does: one task after another, as a worker process does."""

from __future__ import annotations

import contextvars
import pickle
import queue
import sys
import threading
from collections.abc import Iterator

from ocean_actors import shards
from ocean_actors.actors import CancelToken, SystemClock
from ocean_actors.resync.run import ResyncAborted
from ocean_actors.shards.executor import Entities, Event, Logged, Task
from ocean_actors.shards.outcome import Failed, ShardOutcome
from ocean_actors.shards.process_main import Sessions, forward_logs
from ocean_actors.shards.setup import WorkerSetup
from ocean_actors.shards.writer import ShardWriter

WAITING = 64  # events that wait for Ray; of chunks of entities, only one
MOST_EVENTS = 32
"""Of one batch of events; a chunk of entities is the last of its batch."""


class RayWorker:
    """The class of the actors. `work` is for one task at a time; the others come beside it."""

    def __init__(self) -> None:
        """Arguments of actors are kept by the cluster, so there are none: see `open`."""
        self._clock = SystemClock()
        self._current: tuple[int, CancelToken] | None = None
        self._latest = 0  # the number of the last task that was begun
        self._writer: ShardWriter | None = None
        self._cancelled: dict[int, str] = {}  # before the task has begun
        self._lock = threading.Lock()  # `tell` and `cancel` come in a thread of their own
        self._events: queue.Queue[Event | ShardOutcome] = queue.Queue(WAITING)
        self._room = threading.Semaphore()

    def open(self, setup_data: bytes) -> None:
        """Take the setup, which holds secrets."""
        shards.in_worker = True
        setup: WorkerSetup = pickle.loads(setup_data)  # noqa: S301  (of the run's process)
        path = list(sys.path)  # on another machine, its packages are elsewhere
        self._workplace = setup.workplace(self._clock)
        sys.path[:] = [*path, *(each for each in setup.path if each not in path)]
        self._sessions = Sessions(setup, self._clock)
        forward_logs(setup.log_levels, self._log)

    def work(self, number: int, task_data: bytes) -> Iterator[bytes]:
        """Do a task; yields batches of pickled events, in the end with its outcome."""
        task: Task = pickle.loads(task_data)  # noqa: S301  (of the run's process)
        token = CancelToken(ResyncAborted)
        self._events, self._room = queue.Queue(WAITING), threading.Semaphore()
        with self._lock:
            self._current = (number, token)
            self._latest = number
            reason = self._cancelled.pop(number, None)
        if reason is not None:
            token.cancel(reason)
        thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._do, task, token), name="shard",
            daemon=True,
        )  # fmt: skip
        thread.start()
        over = False
        while not over:
            batch, over = self._batch()
            yield pickle.dumps(batch, protocol=pickle.HIGHEST_PROTOCOL)
        thread.join()

    def tell(self, number: int, message: bytes) -> None:
        """Take what concerns the entities of a task."""
        with self._lock:
            current, writer = self._current, self._writer
        if writer is not None and current is not None and current[0] == number:
            writer.hear(pickle.loads(message))  # noqa: S301  (of the run's process)

    def cancel(self, number: int, reason: str) -> None:
        """Cancel a task, also one that has not begun yet."""
        with self._lock:
            current = self._current
            if number > self._latest:
                self._cancelled[number] = reason
        if current is not None and current[0] == number:
            current[1].cancel(reason)

    def _do(self, task: Task, token: CancelToken) -> None:
        outcome: ShardOutcome = Failed("the worker failed")
        try:
            outcome = self._workplace.work(
                task, token, self._emit, self._sessions.open, self._set_writer
            )
        finally:
            self._current = None  # lines that are logged later have no reader
            self._events.put(outcome)

    def _batch(self) -> tuple[list[Event | ShardOutcome], bool]:
        """Wait for events; returns them, and whether the last is the outcome."""
        batch: list[Event | ShardOutcome] = []
        while True:
            event = self._events.get()
            batch.append(event)
            if isinstance(event, ShardOutcome):
                return batch, True
            if isinstance(event, Entities):
                self._room.release()
                return batch, False
            if len(batch) >= MOST_EVENTS or self._events.empty():
                return batch, False

    def _emit(self, event: Event) -> None:
        """Take an event; blocks while a chunk of entities waits already."""
        if isinstance(event, Entities):
            self._room.acquire()
        self._events.put(event)

    def _set_writer(self, writer: ShardWriter | None) -> None:
        with self._lock:
            self._writer = writer

    def _log(self, line: Logged) -> None:
        if self._current is not None:
            self._events.put(line)
