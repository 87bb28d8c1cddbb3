"""What the system knows of an executor, and what an executor has to do.

    ShardedHandler.resync ─▶ drive ─Task─▶ Executor.submit ─▶ Job.stream(deliver) ─▶ ShardOutcome
                               ▲                                  │ Entities, Advanced, Logged
                               └──────────────────────────────────┘

`plan.py` decides which shard is started, `drive.py` calls the executor from a thread for each
attempt, and `worker.py` is what every worker does with a task. So an executor only brings tasks to
workers, and events back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from ocean_actors import plugins
from ocean_actors.actors import Clock
from ocean_actors.errors import UsageError
from ocean_actors.log import get_logger
from ocean_actors.messages import FailedEntity, RunInfo
from ocean_actors.port.batches import Item
from ocean_actors.port.remote import FromWorker, ToWorker
from ocean_actors.resync.handlers import HandlerFactory
from ocean_actors.resync.run import ResyncRun
from ocean_actors.settings import Settings
from ocean_actors.shards.outcome import ShardOutcome

logger = get_logger(__name__)


@dataclass(frozen=True)
class Limits:
    """The rate limits of the run's `session.limit` when the attempt began; None: no limit."""

    per_second: float | None = None
    concurrency: int | None = None


@dataclass(frozen=True)
class Task:
    """One attempt at one shard. It can be pickled, and holds none of the settings' secrets.

    `handler` is the handler's name, a key of `ExecutorContext.factories`. `value` is what `shards`
    listed, pickled. `attempt` counts from 1. With `writes` the worker sends the entities to Port
    itself, and emits what `port.remote` describes instead of `Entities`.
    """

    run: RunInfo
    handler: str
    shard: str
    value: bytes = field(repr=False)
    attempt: int = 1
    limits: Limits = Limits()
    writes: bool = False


# -- what comes back from a worker, in this order ------------------------------------------------


@dataclass(frozen=True)
class Entities:
    """Entities that the shard yielded, by blueprint, in their order and encoded by the worker.

    A `FailedEntity` is one that cannot be sent. `items` counts them; `size` are the bytes of
    their JSON. A worker sends at most `chunks.MOST_ITEMS` and about `chunks.MOST_BYTES` at once;
    a larger entity comes alone.
    """

    groups: tuple[tuple[str, tuple[Item | FailedEntity, ...]], ...] = field(repr=False)
    items: int
    size: int


@dataclass(frozen=True)
class Advanced:
    """How far the shard is, as its `shard.progress` says; at most ten a second."""

    done: float
    total: float | None = None
    message: str | None = None


@dataclass(frozen=True)
class Logged:
    """A line of the worker's log, formatted. It carries the run and the shard."""

    record: logging.LogRecord


@dataclass(frozen=True)
class Incomplete:
    """Entities that exist may not be sent in this run: `reconcile` is to be refused."""

    reason: str


Event: TypeAlias = "Entities | Advanced | Logged | Incomplete | FromWorker"

Deliver: TypeAlias = "Callable[[Event], None]"
"""Takes one event. It blocks while the parent has no room for more entities, which is the
back-pressure. It never raises, and drops entities once the attempt was cancelled."""


class Job(Protocol):
    """One attempt at one shard, by one worker."""

    def stream(self, deliver: Deliver) -> ShardOutcome:
        """Have a worker do the task; returns how it ended. Called once, in a thread of its own.

        `deliver` is called with every event in order, in this thread or in another one, and for
        the last time before this method returns. At most a few events are read ahead of
        `deliver`. If the worker disappears, the outcome is `Lost`; after `cancel` or `kill` it is
        `Cancelled`, unless the task had ended before. Never raises.
        """

    def tell(self, message: ToWorker) -> None:
        """Pass a message to the worker of a task that `writes`; from any thread.

        Never raises. It is lost if the worker is not at work on the task any more.
        """

    def cancel(self, reason: str) -> None:
        """Cancel the worker's token, so that the shard's code raises ResyncAborted.

        From any thread, also before `stream` was called or after it has returned; returns at once.
        """

    def kill(self) -> None:
        """End the worker at once, with everything that it has started, and free its place.

        Called some time after `cancel`, from any thread; returns at once. `stream` returns soon
        after. A thread cannot be killed: its place is freed, and `stream` returns when it does.
        """


class Executor(Protocol):
    """The workers of one system. Safe to use from any thread.

    At most `resync.workers` jobs run at the same time. Workers are started when there is work for
    them, and are kept from run to run. Each is ended after it has worked in `resync.workerRuns`
    runs. A worker has one object of each handler class, which does one shard after another.
    """

    writes: bool
    """Whether workers can send entities to Port themselves (`resync.shardWrites`)."""

    def submit(self, task: Task, run: ResyncRun) -> Job:
        """Returns the job for a task; nothing is started before `Job.stream`.

        `run` is the run in this process, whose rate limits workers in this process can share.
        Raises ShardError if the handler cannot be sent to workers, which fails the run.
        """

    def close(self) -> list[str]:
        """End all workers within a second. Returns the names of those that have not ended."""


@dataclass(frozen=True)
class ExecutorContext:
    """What an executor is made of. `factories` are the system's handlers by name."""

    settings: Settings
    clock: Clock
    factories: Mapping[str, HandlerFactory]


@dataclass(frozen=True)
class ExecutorSpec:
    """One type of executor: the value of `resync.executor`, and what makes it.

    `build` starts nothing. `require` raises UsageError if the settings cannot be used or a package
    that the executor needs is missing; it is called when a system is made.
    """

    name: str
    build: Callable[[ExecutorContext], Executor]
    require: Callable[[Settings], object] = lambda _settings: None


def executor_spec(name: str) -> ExecutorSpec:
    """Returns the executor of that name: one of ours, or one of an installed package.

    Raises plugins.PluginError.
    """
    spec: ExecutorSpec = plugins.load(plugins.EXECUTORS, name)
    return spec


def require_executor(settings: Settings) -> None:
    """Raises UsageError if the executor that the settings name cannot be used here."""
    spec = executor_spec(settings.resync.executor)
    with plugins.calling(plugins.EXECUTORS, spec.name, "require"):
        spec.require(settings)


def build_executor(context: ExecutorContext) -> Executor:
    """Returns the executor that the settings name. Raises plugins.PluginError."""
    spec = executor_spec(context.settings.resync.executor)
    with plugins.calling(plugins.EXECUTORS, spec.name, "build"):
        executor = spec.build(context)
    plugins.require_methods(plugins.EXECUTORS, spec.name, executor, ("submit", "close"))
    return executor


def close_executor(executor: Executor, settings: Settings) -> list[str]:
    """Close the executor that the settings name; returns the workers that have not ended.

    What a package's executor raises is logged, as the system's stop goes on.
    """
    try:
        with plugins.calling(plugins.EXECUTORS, settings.resync.executor, "close"):
            return list(executor.close())
    except UsageError as error:
        logger.warning("workers may be left: %s", error)
        return []
