"""The executor `ray`, in the run's process."""

from __future__ import annotations

import importlib.util
import pickle
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from ocean_actors.errors import UsageError
from ocean_actors.log import get_logger
from ocean_actors.port.remote import ToWorker
from ocean_actors.resync.run import ResyncRun
from ocean_actors.settings import Settings
from ocean_actors.shards.executor import Deliver, ExecutorContext, ExecutorSpec, Task
from ocean_actors.shards.outcome import Cancelled, Failed, Lost, ShardOutcome
from ocean_actors.shards.ray.link import Heard, RayDriver
from ocean_actors.shards.ray.messages import (
    Begin,
    CancelJob,
    Delivered,
    JobEnded,
    KillJob,
    Setup,
    ToTask,
    Unusable,
    WorkerLost,
)
from ocean_actors.shards.setup import require_picklable, worker_setup

logger = get_logger(__name__)

KILL_SECONDS = 5.0
"""How long the driver may take to say that a worker was killed."""

CPU, MEMORY, GPU = "CPU", "memory", "GPU"
"""The resources that Ray names itself; all others are the cluster's own."""


class RayExecutor:
    """Starts a driver when there is work for it, and another one if it ends."""

    writes = True

    def __init__(self, context: ExecutorContext) -> None:
        self._context = context
        self._driver: RayDriver | None = None
        self._closed = False
        self._lock = threading.Lock()  # the threads of the attempts

    def submit(self, task: Task, run: ResyncRun) -> RayJob:  # noqa: ARG002  (the protocol's)
        """See `Executor.submit`."""
        require_picklable(task.handler, self._context.factories[task.handler])
        return RayJob(self, task)

    def driver(self) -> RayDriver:
        """Returns a driver, which may not be connected yet. Raises OSError."""
        with self._lock:
            if self._closed:
                raise OSError("the system has stopped")
            if self._driver is not None and self._driver.ended:
                self._driver.close()
                self._driver = None
            if self._driver is None:
                self._driver = RayDriver(self._setup())
            return self._driver

    def later(self, seconds: float, callback: Callable[[], object]) -> None:
        """Call something when so many seconds have passed."""
        self._context.clock.call_later(seconds, callback)

    def close(self) -> list[str]:
        """See `Executor.close`."""
        with self._lock:
            self._closed = True
            driver = self._driver
        return [] if driver is None or driver.close() else [f"Ray's driver {driver.pid}"]

    def _setup(self) -> Setup:
        settings = self._context.settings
        ours = worker_setup(self._context)
        worker = pickle.dumps(replace(ours, settings=without_port_s_secrets(settings)))
        where = settings.ray.address or "an embedded cluster"
        logger.info("starting Ray's driver for %d workers: %s", settings.resync.workers, where)
        return Setup(
            worker,
            "",
            settings.ray.address,
            settings.resync.workers,
            settings.resync.worker_runs,
            settings.ray.runtime_env,
            options_of(settings.ray.resources),
        )


class RayJob:
    """One attempt at one shard, by one worker of the cluster."""

    def __init__(self, executor: RayExecutor, task: Task) -> None:
        self._executor = executor
        self._task = task
        self._driver: RayDriver | None = None
        self._number = 0
        self._heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self._reason: str | None = None  # why it was cancelled
        self._lock = threading.Lock()  # `cancel` and `kill` come from other threads

    def stream(self, deliver: Deliver) -> ShardOutcome:
        """See `Job.stream`."""
        if self._reason is not None:
            return Cancelled()
        try:
            driver = self._executor.driver()
        except OSError as error:
            return self._without(f"Ray cannot be used: {error}")
        number, heard = driver.open_job()
        driver.send(Begin(number, self._task.run.id, pickle.dumps(self._task)))
        with self._lock:
            self._driver, self._number, self._heard = driver, number, heard
            reason = self._reason
        if reason is not None:  # since a moment ago, when there was no job to cancel
            self.cancel(reason)
        try:
            return self._outcome(driver, number, heard, deliver)
        finally:
            with self._lock:
                self._driver = None
            driver.close_job(number)

    def _outcome(
        self,
        driver: RayDriver,
        number: int,
        heard: queue.SimpleQueue[Heard],
        deliver: Deliver,
    ) -> ShardOutcome:
        outcome: ShardOutcome | None = None
        while True:
            message = heard.get()  # ended by the worker, the driver, or the timer of `kill`
            if outcome is not None:
                return outcome
            if isinstance(message, JobEnded):
                return self._without("its worker of Ray has said nothing")
            if isinstance(message, Unusable):
                if driver.ready.is_set():
                    return self._without(message.reason)
                return self._failed(f"Ray cannot be used: {message.reason}")
            if isinstance(message, WorkerLost):
                return self._without(f"its worker of Ray has gone: {message.reason}")
            for event in pickle.loads(message.data):  # noqa: S301  (made by our worker)
                if isinstance(event, ShardOutcome):
                    outcome = event
                else:
                    deliver(event)
            driver.send(Delivered(number))

    def tell(self, message: ToWorker) -> None:
        """See `Job.tell`."""
        with self._lock:
            driver = self._driver
        if driver is not None:
            driver.send(ToTask(self._number, pickle.dumps(message)))

    def cancel(self, reason: str) -> None:
        """See `Job.cancel`."""
        with self._lock:
            self._reason = self._reason or reason
            driver = self._driver
        if driver is None:
            return
        driver.send(CancelJob(self._number, reason))
        if not driver.ready.is_set():  # it does not listen to us yet
            self._heard.put(WorkerLost(self._number, reason))

    def kill(self) -> None:
        """See `Job.kill`."""
        with self._lock:
            self._reason = self._reason or "killed"
            driver = self._driver
        if driver is None:
            return
        driver.send(KillJob(self._number))
        lost = WorkerLost(self._number, "the driver of Ray does not say what became of it")
        self._executor.later(KILL_SECONDS, lambda: self._heard.put(lost))

    def _without(self, reason: str) -> ShardOutcome:
        return Lost(reason) if self._reason is None else Cancelled()

    def _failed(self, reason: str) -> ShardOutcome:
        return Failed(reason) if self._reason is None else Cancelled()


def options_of(resources: Mapping[str, float]) -> dict[str, Any]:
    """Returns Ray's options for a worker that needs these resources; by default one CPU."""
    others = {name: amount for name, amount in resources.items() if name not in (CPU, MEMORY, GPU)}
    options: dict[str, Any] = {"num_cpus": resources.get(CPU, 1)}
    if MEMORY in resources:
        options["memory"] = int(resources[MEMORY])
    if GPU in resources:
        options["num_gpus"] = resources[GPU]
    if others:
        options["resources"] = others
    return options


def without_port_s_secrets(settings: Settings) -> Settings:
    """Returns the settings for workers on other machines, which need no credentials of Port."""
    port = settings.port.model_copy(update={"client_secret": SecretStr("")})
    return settings.model_copy(update={"port": port})


def require(_settings: Settings) -> None:
    """Raises UsageError if the package is missing."""
    if importlib.util.find_spec("ray") is None:
        raise UsageError(
            "resync.executor: ray needs the package ray: pip install 'ocean-actors[ray]'"
        )


SPEC = ExecutorSpec("ray", RayExecutor, require)
