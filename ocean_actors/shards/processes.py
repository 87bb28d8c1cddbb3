"""The executor `processes`: workers are processes of this machine."""

from __future__ import annotations

import pickle
import threading
import time

from ocean_actors.log import get_logger
from ocean_actors.port.remote import ToWorker
from ocean_actors.resync.run import ResyncRun
from ocean_actors.shards.executor import Deliver, ExecutorContext, ExecutorSpec, Task
from ocean_actors.shards.outcome import Cancelled, Lost, ShardOutcome
from ocean_actors.shards.process import Gone, WorkerProcess
from ocean_actors.shards.setup import require_picklable, worker_setup
from ocean_actors.text import one_line

logger = get_logger(__name__)

CLOSE_SECONDS = 1.0


class ProcessExecutor:
    """Starts processes when there is work for them, and keeps them from run to run."""

    writes = True

    def __init__(self, context: ExecutorContext) -> None:
        self._context = context
        self._setup: bytes | None = None
        self._sendable: set[str] = set()  # the handlers that can be pickled
        self._idle: list[WorkerProcess] = []
        self._all: set[WorkerProcess] = set()
        self._closed = False
        self._lock = threading.Lock()  # the threads of the attempts

    def submit(self, task: Task, run: ResyncRun) -> ProcessJob:  # noqa: ARG002  (the protocol's)
        """See `Executor.submit`."""
        if task.handler not in self._sendable:
            require_picklable(task.handler, self._context.factories[task.handler])
            self._sendable.add(task.handler)
        return ProcessJob(self, task)

    def close(self) -> list[str]:
        """See `Executor.close`."""
        with self._lock:
            self._closed = True
            workers = list(self._all)
            self._all.clear()
            self._idle.clear()
        for worker in workers:
            worker.kill()
        until = time.monotonic() + CLOSE_SECONDS
        left = [each for each in workers if not each.wait(max(0.0, until - time.monotonic()))]
        for worker in workers:
            if worker not in left:
                worker.end()
        return [str(worker) for worker in left]

    # -- for the jobs ------------------------------------------------------------------------

    def take(self, run_id: str) -> WorkerProcess:
        """Returns a worker that nobody else uses. Raises OSError if none can be started."""
        leaving = []
        found = None
        with self._lock:
            if self._closed:
                raise OSError("the system has stopped")
            while self._idle and found is None:
                worker = self._idle.pop()
                if worker.may_join(run_id, self._context.settings.resync.worker_runs):
                    found = worker
                else:
                    leaving.append(worker)
                    self._all.discard(worker)
            if self._setup is None:
                self._setup = pickle.dumps(worker_setup(self._context))
        for worker in leaving:
            worker.end()
        if found is None:
            found = WorkerProcess(self._setup)
            with self._lock:
                self._all.add(found)
                closed = self._closed
            if closed:
                found.kill()
        return found

    def give_back(self, worker: WorkerProcess) -> None:
        """Keep a worker for the next task."""
        with self._lock:
            if not self._closed:
                self._idle.append(worker)

    def drop(self, worker: WorkerProcess) -> str:
        """End a worker that is of no use any more; returns how it ended."""
        with self._lock:
            self._all.discard(worker)
        return worker.end()


class ProcessJob:
    """One attempt at one shard, by one process."""

    def __init__(self, executor: ProcessExecutor, task: Task) -> None:
        self._executor = executor
        self._task = task
        self._worker: WorkerProcess | None = None
        self._number = 0  # of the task, in that process
        self._reason: str | None = None  # why it was cancelled
        self._killed = False
        self._lock = threading.Lock()  # `cancel` and `kill` come from other threads

    def stream(self, deliver: Deliver) -> ShardOutcome:
        """See `Job.stream`."""
        if self._reason is not None:
            return Cancelled()
        try:
            worker = self._executor.take(self._task.run.id)
        except OSError as error:
            return self._without(f"no worker process can be started: {one_line(error)}")
        with self._lock:
            self._worker = worker
            cancelled = self._reason is not None
        outcome: ShardOutcome | None = Cancelled() if cancelled else None
        try:
            if outcome is None:
                self._number = worker.begin(self._task)
                if self._reason is not None:  # since a moment ago, when there was no task to cancel
                    worker.cancel(self._reason)
            while outcome is None:
                message = worker.receive()
                if isinstance(message, ShardOutcome):
                    outcome = message
                else:
                    deliver(message)
        except Gone:
            pass
        with self._lock:
            self._worker = None
            killed = self._killed
        if outcome is None or killed:
            ended = self._executor.drop(worker)
            return outcome or self._without(f"its process {worker.pid} {ended}")
        self._executor.give_back(worker)
        return outcome

    def tell(self, message: ToWorker) -> None:
        """See `Job.tell`."""
        with self._lock:
            worker, number = self._worker, self._number
        if worker is not None:
            worker.tell(number, message)

    def cancel(self, reason: str) -> None:
        """See `Job.cancel`."""
        with self._lock:
            self._reason = self._reason or reason
            if self._worker is not None:
                self._worker.cancel(self._reason)

    def kill(self) -> None:
        """See `Job.kill`."""
        with self._lock:
            self._reason = self._reason or "killed"
            self._killed = True
            if self._worker is not None:
                self._worker.kill()

    def _without(self, reason: str) -> ShardOutcome:
        return Lost(reason) if self._reason is None else Cancelled()


SPEC = ExecutorSpec("processes", ProcessExecutor)
