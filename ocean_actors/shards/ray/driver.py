"""The process that is connected to Ray: brings tasks to actors, and their events back.

It ends, with an embedded cluster, when the run's process ends or closes the socket.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import pickle
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import ray
from ray.exceptions import RayActorError, RayError

from ocean_actors.shards.outcome import Failed
from ocean_actors.shards.ray import session
from ocean_actors.shards.ray.messages import (
    CREDIT,
    Begin,
    CancelJob,
    Delivered,
    Events,
    FromDriver,
    JobEnded,
    KillJob,
    Ready,
    Setup,
    ToDriver,
    ToTask,
    Unusable,
    WorkerLost,
)
from ocean_actors.shards.ray.worker import RayWorker
from ocean_actors.text import one_line

OBJECT_STORE = 100 * 1024 * 1024  # bytes; large events pass through it
STARTS = 6
"""How many times a node is started at most: Ray gives up after 15 to 30 s on a busy machine."""

AHEAD = 1  # batches of events that a worker makes ahead
WAIT_SECONDS = 0.5
IDLE_SECONDS = 300.0
"""Workers without work end when nothing was to be done for so long."""

REACH_SECONDS = 30.0
JOIN_SECONDS = 120.0
END_SECONDS = 5.0


def main(connection: Connection) -> NoReturn:
    """Serve the run's process until it ends or closes the connection."""
    setup: Setup = pickle.loads(connection.recv_bytes())  # noqa: S301  (of our parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    inbox: queue.SimpleQueue[ToDriver] = queue.SimpleQueue()
    driver = Driver(connection, setup)
    listen = functools.partial(watch, connection, inbox, driver.end)
    threading.Thread(target=listen, name="watch", daemon=True).start()
    driver.serve(inbox)


class Driver:
    """Has actors do the jobs. One thread listens to the run's process; each job has another."""

    def __init__(self, connection: Connection, setup: Setup) -> None:
        self._connection = connection
        self._setup = setup
        self._lock = threading.Lock()
        self._send_lock = threading.Lock()  # jobs send at the same time
        self._jobs: dict[int, DriverJob] = {}
        self._idle: list[Worker] = []

    def serve(self, inbox: queue.SimpleQueue[ToDriver]) -> NoReturn:
        """Connect to Ray, then do what the run's process says."""
        began = time.monotonic()
        try:
            connect(self._setup)
        except BaseException as error:  # noqa: BLE001  (Ray raises anything)
            self.send(Unusable(reason_of(error)))
            self.end()
        self.send(Ready(time.monotonic() - began))
        while True:
            try:
                message = inbox.get(timeout=IDLE_SECONDS)  # `watch` ends the process
            except queue.Empty:
                self._end_idle()
                continue
            job = self._jobs.get(message.number)
            match message:
                case Begin():
                    job = DriverJob(self, message)
                    self._jobs[message.number] = job
                    threading.Thread(target=job.do, name=f"job-{job.number}", daemon=True).start()
                case Delivered() if job is not None:
                    job.credit.release()
                case ToTask() if job is not None:
                    job.tell(message.message)
                case CancelJob() if job is not None:
                    job.cancel(message.reason)
                case KillJob() if job is not None:
                    job.kill()

    def end(self) -> NoReturn:
        """End this process and all that it has started."""
        if self._setup.address is not None:
            ending = threading.Thread(target=self._end_workers, daemon=True)
            ending.start()
            ending.join(END_SECONDS)
        end_session(self._setup.folder)

    def _end_workers(self) -> None:
        """Kill the actors. Their cluster notices only about 15 s later that our node has gone."""
        for job in list(self._jobs.values()):
            job.kill()
        self._end_idle()

    def send(self, message: FromDriver) -> None:
        """Send to the run's process."""
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        try:
            with self._send_lock:
                self._connection.send_bytes(data)
        except OSError:  # it has gone
            self.end()

    def forget(self, job: DriverJob) -> None:
        """Note that a job has ended."""
        self._jobs.pop(job.number, None)

    def take(self, run_id: str) -> Worker:
        """Returns a worker that nobody else uses; it may not have been started yet."""
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                worker.runs.add(run_id)
                if len(worker.runs) <= self._setup.worker_runs:
                    return worker
                worker.end()
        return Worker(self._setup, run_id)

    def give_back(self, worker: Worker) -> None:
        """Keep a worker for the next job."""
        with self._lock:
            self._idle.append(worker)

    def _end_idle(self) -> None:
        """End the workers without work, so that a cluster that scales can leave their nodes."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()


class Worker:
    """One actor, and the runs in which it has worked."""

    def __init__(self, setup: Setup, run_id: str) -> None:
        self.runs = {run_id}
        actor: Any = ray.remote(
            max_restarts=0, max_task_retries=0, concurrency_groups={"control": 1}, **setup.options
        )(RayWorker)
        self.actor: Any = actor.remote()
        self.opened: Any = self.actor.open.remote(setup.worker)

    def end(self) -> None:
        """Kill the actor."""
        with contextlib.suppress(RayError):
            ray.kill(self.actor, no_restart=True)


class DriverJob:
    """One task, by one worker."""

    def __init__(self, driver: Driver, begin: Begin) -> None:
        self.number = begin.number
        self.credit = threading.Semaphore(CREDIT)
        self._driver = driver
        self._begin = begin
        self._worker: Worker | None = None
        self._reason: str | None = None
        self._killed = False
        self._lock = threading.Lock()

    def do(self) -> None:
        """Do the task; sends its events and its outcome."""
        worker = self._driver.take(self._begin.run_id)
        with self._lock:
            self._worker = worker
        try:
            if self._is_ready(worker):
                self._stream(worker)
        except RayActorError as error:
            self._driver.send(WorkerLost(self.number, lost_reason(error)))
            worker.end()
        except BaseException as error:  # noqa: BLE001  (of Ray)
            failed = [Failed(reason_of(error))]
            self._driver.send(Events(self.number, pickle.dumps(failed)))
            self._driver.send(JobEnded(self.number))
            worker.end()
        else:
            with self._lock:
                self._worker = None  # it may be another job's soon, which `kill` must not end
                killed = self._killed
            if not killed:
                self._driver.give_back(worker)
            self._driver.send(JobEnded(self.number))
        self._driver.forget(self)

    def _is_ready(self, worker: Worker) -> bool:
        """Wait for a place in the cluster, and until the worker is ready."""
        while not ray.wait([worker.opened], timeout=WAIT_SECONDS)[0]:
            if self._reason is not None:
                self._killed = True
                worker.end()
                self._driver.send(WorkerLost(self.number, "it had not been started yet"))
                return False
        ray.get(worker.opened)
        return True

    def _stream(self, worker: Worker) -> None:
        if self._reason is not None:
            self.cancel(self._reason)
        work = worker.actor.work.options(
            num_returns="streaming", _generator_backpressure_num_objects=AHEAD
        )
        for each in work.remote(self.number, self._begin.task):
            data: bytes = ray.get(each)
            del each
            self.credit.acquire()
            self._driver.send(Events(self.number, data))

    def tell(self, message: bytes) -> None:
        """Pass a message on to the worker."""
        worker = self._worker
        if worker is not None:
            worker.actor.tell.options(concurrency_group="control").remote(self.number, message)

    def cancel(self, reason: str) -> None:
        """Cancel the task's token, now or when it begins."""
        with self._lock:
            self._reason = reason
            worker = self._worker
        if worker is not None:
            worker.actor.cancel.options(concurrency_group="control").remote(self.number, reason)

    def kill(self) -> None:
        """Kill the worker."""
        with self._lock:
            self._killed = True
            self._reason = self._reason or "killed"
            worker = self._worker
        self.credit.release()
        if worker is not None:
            worker.end()


# -- the connection to Ray -------------------------------------------------------------------------


def connect(setup: Setup) -> None:
    """Connect to the cluster that the settings name, or start one. Raises what Ray raises."""
    common: dict[str, Any] = {
        "log_to_driver": False,
        "configure_logging": False,
        "logging_level": logging.ERROR,
        "runtime_env": dict(setup.runtime_env) or None,
    }
    if setup.address is not None:
        connect_to(setup.address, setup.folder, common)
        return
    for attempt in range(STARTS):
        try:
            ray.init(
                address="local",
                num_cpus=setup.workers,
                object_store_memory=OBJECT_STORE,
                include_dashboard=False,
                _temp_dir=setup.folder,
                **common,
            )
        except Exception:
            ray.shutdown()
            session.kill(os.getpid())
            if attempt == STARTS - 1:
                raise
        else:
            return


def connect_to(address: str, folder: str, options: Mapping[str, Any]) -> None:
    """Connect to an existing cluster as a node of its own: Ray lets only its nodes connect.

    The node offers no resources, so no worker is started on it. Its files are in `folder`, by
    which Ray tells it from other nodes of this machine. With `auto`, it is the machine's node.
    """
    if address == "auto":
        ray.init(address=address, **options)
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise Unreachable(f"{address} cannot be reached: {one_line(error)}") from None
    join(address, folder)
    ray.init(address=address, _temp_dir=folder, **options)


def join(address: str, folder: str) -> None:
    """Start a node of a cluster, which ends with this process. Raises Unreachable."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={address}"]
    options = [
        "--num-cpus=0",
        f"--object-store-memory={OBJECT_STORE}",
        f"--temp-dir={folder}",
        "--disable-usage-stats",
        # Other nodes of this machine have the usual ports.
        "--min-worker-port=0",
        "--max-worker-port=0",
        "--dashboard-agent-listen-port=0",
    ]
    text = ""
    for _ in range(STARTS):
        try:
            ended = subprocess.run(  # noqa: S603  (our own arguments)
                [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=JOIN_SECONDS, text=True, errors="replace", check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            text = f"not within {JOIN_SECONDS:g} s"
        else:
            if ended.returncode == 0:
                return
            text = ended.stdout.strip().rpartition("\n")[2]
        session.kill(os.getpid())
        if "timed out during startup" not in text:
            break
    raise Unreachable(f"{address} cannot be joined: {one_line(text, 300)}")


class Unreachable(Exception):
    """The cluster at an address cannot be used; the text is one line."""


def reason_of(error: BaseException) -> str:
    """Returns one line about an error of Ray."""
    if isinstance(error, Unreachable):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line(f"{type(error).__name__}: {lines[-1] if lines else ''}", 500)


def lost_reason(error: RayActorError) -> str:
    """Returns one line about an actor that has gone."""
    for line in str(error).splitlines():
        if line.startswith("The actor is dead because"):
            text = line.removeprefix("The actor is dead because ")
            return one_line(text.partition(" Some common causes")[0], 300)
    return reason_of(error)


# -- the end ---------------------------------------------------------------------------------------


def watch(
    connection: Connection, inbox: queue.SimpleQueue[ToDriver], end: Callable[[], NoReturn]
) -> None:
    """Read what the run's process says, even while Ray is being started; `end` with it."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            inbox.put(pickle.loads(connection.recv_bytes()))  # noqa: S301  (of our parent)
    end()


def end_session(folder: str) -> NoReturn:
    """End this process and all that it has started: an embedded cluster with its workers.

    They share our session. A worker of Ray that has lost its node would end by itself a second
    later. `folder` holds the cluster's files.
    """
    session.kill(os.getpid())
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)
