"""The executor `threads`: a worker is a thread of the run's own process."""

from __future__ import annotations

import threading

from ocean_actors.actors import CancelToken
from ocean_actors.port.remote import ToWorker
from ocean_actors.resync.run import ResyncAborted, ResyncRun
from ocean_actors.session import CancellableSession
from ocean_actors.shards.executor import Deliver, ExecutorContext, ExecutorSpec, Task
from ocean_actors.shards.outcome import ShardOutcome
from ocean_actors.shards.worker import Workplace


class ThreadExecutor:
    """Does each task in the thread that streams its events, so it keeps no threads."""

    writes = False  # it would be the same process

    def __init__(self, context: ExecutorContext) -> None:
        self._workplace = Workplace(context.settings, context.clock, context.factories)
        self._working: set[ThreadJob] = set()
        self._lock = threading.Lock()

    def submit(self, task: Task, run: ResyncRun) -> ThreadJob:
        """See `Executor.submit`."""
        return ThreadJob(self, task, run)

    def work(self, job: ThreadJob, deliver: Deliver) -> ShardOutcome:
        """Do the task of a job in this thread."""
        with self._lock:
            self._working.add(job)
        try:
            return self._workplace.work(job.task, job.token, deliver, job.open_session)
        finally:
            with self._lock:
                self._working.discard(job)

    def close(self) -> list[str]:
        """See `Executor.close`. Threads cannot be ended: those still at work are named."""
        with self._lock:
            jobs = list(self._working)
        for job in jobs:
            job.cancel("the system has stopped")
        return [f"shard {job.task.shard} of {job.task.handler}" for job in jobs]


class ThreadJob:
    """One attempt at one shard, in the thread that calls `stream`."""

    def __init__(self, executor: ThreadExecutor, task: Task, run: ResyncRun) -> None:
        self.task = task
        self.token = CancelToken(ResyncAborted)
        self._executor = executor
        self._run = run

    def open_session(self, _task: Task, token: CancelToken) -> CancellableSession:
        """Returns a session that shares the run's rate limit."""
        return self._run.open_session(token)

    def stream(self, deliver: Deliver) -> ShardOutcome:
        """See `Job.stream`."""
        return self._executor.work(self, deliver)

    def tell(self, message: ToWorker) -> None:
        """See `Job.tell`; there is nothing to tell."""

    def cancel(self, reason: str) -> None:
        """See `Job.cancel`."""
        self.token.cancel(reason)

    def kill(self) -> None:
        """See `Job.kill`. The thread goes on, and is left behind."""
        self.token.cancel("the run did not end within its grace")


SPEC = ExecutorSpec("threads", ThreadExecutor)
