"""The executors under test, and how they are given tasks."""

from __future__ import annotations

import json
import pickle
import queue
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from sharded import NotLoadable, Sharded
from waiting import WITH_RAY, WITHIN

from ocean_actors.actors import CancelToken, SystemClock
from ocean_actors.frozen import EMPTY, FrozenDict, freeze
from ocean_actors.messages import RunInfo
from ocean_actors.port.batches import Item
from ocean_actors.port.client import PortClient
from ocean_actors.port.entities import EntityWriter
from ocean_actors.resync.handlers import HandlerFactory
from ocean_actors.resync.run import ResyncAborted, ResyncRun
from ocean_actors.settings import Settings
from ocean_actors.shards.executor import (
    Entities,
    Event,
    Executor,
    ExecutorContext,
    Job,
    Limits,
    Task,
    executor_spec,
)
from ocean_actors.shards.outcome import ShardOutcome


@dataclass(frozen=True)
class Kind:
    """One type of executor. `isolated`: a worker can die without this process."""

    name: str
    isolated: bool
    settings: Mapping[str, Any] = field(default_factory=dict)


FOR_RAY = {"control": {"token": "a-secret-of-others"}}

THREADS = Kind("threads", isolated=False)
PROCESSES = Kind("processes", isolated=True)
RAY = Kind("ray", isolated=True, settings=FOR_RAY)
KINDS = [THREADS, PROCESSES, *([RAY] if WITH_RAY else [])]


def settings_of(kind: Kind, **resync: Any) -> Settings:
    values = {
        "port": {
            "clientId": "id",
            "clientSecret": "a-secret-of-port",
            "baseUrl": "http://127.0.0.1:9",
        },
        "integration": {"identifier": "under-test", "config": {"url": "https://example.com"}},
        "resync": {"executor": kind.name, "workers": 2, **resync},
        **kind.settings,
    }
    return Settings.from_dict(values, {})


class Attempted:
    """A job under way: its events so far, and its outcome in the end."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.events: list[Event] = []
        self.room = threading.Event()  # until it is set, the first event blocks
        self.room.set()
        self._arrived: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._outcome: queue.SimpleQueue[ShardOutcome] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._stream, daemon=True)

    def start(self) -> Attempted:
        self._thread.start()
        return self

    def _stream(self) -> None:
        self._outcome.put(self.job.stream(self._deliver))

    def _deliver(self, event: Event) -> None:
        self.events.append(event)
        self._arrived.put(event)
        self.room.wait(WITHIN)

    def next_event(self) -> Event:
        return self._arrived.get(timeout=WITHIN)

    def outcome(self) -> ShardOutcome:
        found = self._outcome.get(timeout=WITHIN)
        self._thread.join(WITHIN)
        return found

    def identifiers(self) -> list[str]:
        return [
            item.identifier
            for event in self.events
            if isinstance(event, Entities)
            for _, items in event.groups
            for item in items
        ]

    def entities(self) -> list[dict[str, Any]]:
        return [
            json.loads(item.data)
            for event in self.events
            if isinstance(event, Entities)
            for _, items in event.groups
            for item in items
            if isinstance(item, Item)
        ]


class Workshop:
    """An executor with a run, and how tasks are submitted to it."""

    def __init__(
        self, kind: Kind, handlers: Mapping[str, HandlerFactory] | None = None, **resync: Any
    ) -> None:
        self.kind = kind
        self.settings = settings_of(kind, **resync)
        self.clock = SystemClock()
        factories = handlers or {"Sharded": Sharded, "NotLoadable": NotLoadable}
        context = ExecutorContext(self.settings, self.clock, factories)
        self.executor: Executor = executor_spec(kind.name).build(context)
        self.run = self.new_run()

    def new_run(self) -> ResyncRun:
        now = datetime.now(timezone.utc)
        config: FrozenDict = freeze({"resources": [{"kind": "thing"}]})
        info = RunInfo(
            id=uuid.uuid4().hex, number=1, trigger="manual", reason="a test", requested_at=now,
            started_at=now, config=config, kinds=("thing",), parameters=EMPTY,
            handlers=("Sharded",),
        )  # fmt: skip
        token = CancelToken(ResyncAborted)
        client = PortClient(self.settings.port, self.settings.integration, clock=self.clock)
        port = EntityWriter(client.clone(token=token), info, info.handlers).for_handler("Sharded")
        return ResyncRun(
            info, "Sharded", token, self.clock, port, lambda _progress: None, self.settings
        )

    def prepare(
        self,
        *value: object,
        handler: str = "Sharded",
        attempt: int = 1,
        limits: Limits = Limits(),  # noqa: B008  (it is immutable)
    ) -> Attempted:
        name = str(value[0]) if value else "shard"
        task = Task(self.run.info, handler, name, pickle.dumps(value), attempt, limits)
        return Attempted(self.executor.submit(task, self.run))

    def start(
        self,
        *value: object,
        handler: str = "Sharded",
        attempt: int = 1,
        limits: Limits = Limits(),  # noqa: B008  (it is immutable)
    ) -> Attempted:
        return self.prepare(*value, handler=handler, attempt=attempt, limits=limits).start()

    def close(self) -> list[str]:
        left = self.executor.close()
        self.clock.close()
        return left
