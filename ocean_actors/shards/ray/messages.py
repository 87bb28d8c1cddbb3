"""What the run's process and the driver tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

CREDIT = 1
"""How many batches of events of a job the driver sends ahead of what was delivered. A batch has up
to 256 KB of entities, so more would only take memory."""


@dataclass(frozen=True)
class Setup:
    """What the driver needs to know. It holds secrets, so it comes over the socket.

    `worker` is a pickled `WorkerSetup`. `folder` is for the files of an embedded cluster;
    `address` is that of an existing one. `options` are those of Ray for each worker.
    """

    worker: bytes = field(repr=False)
    folder: str
    address: str | None
    workers: int
    worker_runs: int
    runtime_env: Mapping[str, Any] = field(repr=False)
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Begin:
    """To the driver: have a worker do a task, a pickled `Task` of a run."""

    number: int
    run_id: str
    task: bytes = field(repr=False)


@dataclass(frozen=True)
class Delivered:
    """To the driver: one batch of events of a job was delivered."""

    number: int


@dataclass(frozen=True)
class ToTask:
    """To the driver: pass a pickled message on to the worker of a job."""

    number: int
    message: bytes = field(repr=False)


@dataclass(frozen=True)
class CancelJob:
    """To the driver: cancel the token of a job."""

    number: int
    reason: str


@dataclass(frozen=True)
class KillJob:
    """To the driver: kill the worker of a job."""

    number: int


ToDriver: TypeAlias = "Begin | Delivered | ToTask | CancelJob | KillJob"


@dataclass(frozen=True)
class Ready:
    """From the driver: it is connected to a cluster."""

    seconds: float


@dataclass(frozen=True)
class Unusable:
    """From the driver: it cannot be connected, for this reason (one line), and ends."""

    reason: str


@dataclass(frozen=True)
class Events:
    """From the driver: a pickled list of events of a job; the last one of all is its outcome."""

    number: int
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class JobEnded:
    """From the driver: a job has ended, and its worker is free for the next one."""

    number: int


@dataclass(frozen=True)
class WorkerLost:
    """From the driver: the worker of a job has gone, for this reason (one line)."""

    number: int
    reason: str


FromDriver: TypeAlias = "Ready | Unusable | Events | JobEnded | WorkerLost"
