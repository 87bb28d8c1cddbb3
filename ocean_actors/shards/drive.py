"""Has an executor do the shards of one handler in one run, as the plan says."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import logging
import pickle
import queue
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ocean_actors.actors import Clock, Timer
from ocean_actors.log import get_logger
from ocean_actors.messages import Progress, ShardProgress
from ocean_actors.port.entities import HandlerPort
from ocean_actors.port.remote import BatchAnnounced, BatchNotSent, BatchSent, EntitiesRefused
from ocean_actors.port.remote_writes import RemoteWrites
from ocean_actors.resync.awaiting import awaited
from ocean_actors.resync.handlers import RetryLater
from ocean_actors.resync.run import ResyncRun
from ocean_actors.settings import ResyncSettings
from ocean_actors.shards.errors import ShardError, ShardsFailed
from ocean_actors.shards.executor import (
    Advanced,
    Entities,
    Event,
    Executor,
    Incomplete,
    Job,
    Limits,
    Logged,
    Task,
)
from ocean_actors.shards.handler import ShardedHandler
from ocean_actors.shards.outcome import Cancelled, Failed, Lost, ShardOutcome
from ocean_actors.shards.places import Place, Places
from ocean_actors.shards.plan import Attempt, Plan, failure_text
from ocean_actors.shards.streams import EntityStreams
from ocean_actors.text import one_line
from ocean_actors.throttle import Throttle

logger = get_logger(__name__)

KILL_SHARE = 0.75
"""The share of `resync.abortGrace` after which workers that have not ended are killed."""


@dataclass(frozen=True)
class _Ended:
    attempt: Attempt
    outcome: ShardOutcome


@dataclass(frozen=True)
class _Stop:
    """The run was aborted, or nothing can be written any more."""

    reason: str


class _Kill:
    """The workers that have not ended by now are to be killed."""


@dataclass(eq=False)
class _Working:
    """One attempt under way."""

    attempt: Attempt
    name: str
    job: Job
    place: Place = field(default_factory=Place)
    items: int = 0
    said: Advanced | None = None
    writes: RemoteWrites | None = None


class Drive:
    """The shards of one handler in one run. `do` is called once, in the handler's thread."""

    def __init__(
        self,
        handler: ShardedHandler,
        run: ResyncRun,
        executor: Executor,
        places: Places,
        settings: ResyncSettings,
        clock: Clock,
    ) -> None:
        self._handler = handler
        self._run = run
        self._executor = executor
        self._places = places
        self._settings = settings
        self._clock = clock
        self._values: list[object] = []
        self._names: list[str] = []
        self._plan = Plan(0, settings.workers)
        self._inbox: queue.SimpleQueue[_Ended | _Stop | _Kill] = queue.SimpleQueue()
        self._working: dict[Attempt, _Working] = {}
        self._lock = threading.Lock()  # of `_working`: the attempts' threads use it, too
        self._streams = EntityStreams(run, self._writing_failed)
        self._lost_log = Throttle(clock)
        self._writes = (  # whether workers send entities themselves
            settings.shard_writes and executor.writes and not settings.dry_run
        )
        self._timer: Timer | None = None

    def do(self) -> None:
        """Do all shards, then call `finish`.

        Raises ResyncAborted, ShardsFailed, RetryLater, ShardError, what the user's code raises,
        and what `run.port.upsert` raises.
        """
        self._list_shards()
        forget = [
            self._run.token.on_cancel(lambda: self._inbox.put(_Stop(self._run.token.reason or ""))),
            self._run.fenced.on_cancel(lambda: self._inbox.put(_Kill())),
        ]
        try:
            self._work()
        except BaseException:
            self._end_workers()
            self._streams.stop()
            raise
        finally:
            for each in forget:
                each()
            if self._timer is not None:
                self._timer.cancel()
        self._conclude()
        awaited(self._handler.finish(self._run), self._run.token)

    def _list_shards(self) -> None:
        listed: object = awaited(self._handler.shards(self._run), self._run.token)
        if not isinstance(listed, Iterable) or isinstance(listed, str | bytes | Mapping):
            raise ShardError(
                f"{self._run.handler}.shards returned a {type(listed).__name__}: expected a list"
            )
        self._values = list(self._run.guard(listed))
        self._names = shard_names(self._values)
        self._plan = Plan(len(self._values), self._settings.workers, self._settings.shard_retries)
        logger.info(
            "handler %s has %d shards for %d workers (%s)",
            self._run.handler, len(self._values), self._settings.workers, self._settings.executor,
        )  # fmt: skip

    def _work(self) -> None:
        while True:
            self._plan, attempts = self._plan.start()
            for attempt in attempts:
                self._start(attempt)
            self._report()
            if self._plan.over:
                return
            match self._inbox.get():
                case _Ended(attempt, outcome):
                    self._note_end(attempt, outcome)
                case _Stop(reason):
                    self._stop(reason)
                case _Kill():
                    self._kill()

    def _conclude(self) -> None:
        """Wait until everything is written. Raises what has failed the run."""
        if self._run.aborted or self._streams.error is not None:
            self._streams.stop()
        self._streams.close()
        failures = self._plan.failures
        if not failures:
            return
        text = failure_text(self._names, failures, self._plan.total)
        outcomes = [each.outcome for each in failures]
        waits = [each.retry_after for each in outcomes if isinstance(each, Failed)]
        seconds = [wait for wait in waits if wait is not None]
        if len(seconds) == len(failures):
            raise RetryLater(max(seconds), text)
        lasting = all(isinstance(each, Failed) and each.lasting for each in outcomes)
        raise ShardsFailed(text, lasting=lasting)

    # -- attempts ----------------------------------------------------------------------------

    def _start(self, attempt: Attempt) -> None:
        name = self._names[attempt.shard]
        try:
            task = self._task(attempt, name)
        except ShardError as error:
            logger.error("shard %s of handler %s: %s", name, self._run.handler, error)  # noqa: TRY400  (the error explains itself)
            self._inbox.put(_Ended(attempt, Failed(str(error), lasting=True)))
            return
        job = self._executor.submit(task, self._run)
        working = _Working(attempt, name, job)
        thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._stream, working),
            name=f"shard-{name}", daemon=True,
        )  # fmt: skip
        with self._lock:
            self._working[attempt] = working
        try:
            thread.start()
        except RuntimeError as error:  # too many threads
            self._inbox.put(_Ended(attempt, Lost(one_line(error))))

    def _task(self, attempt: Attempt, name: str) -> Task:
        try:
            value = pickle.dumps(self._values[attempt.shard])
        except Exception as error:  # noqa: BLE001  (a class of the user's)
            raise ShardError(f"cannot be pickled: {one_line(error)}") from None
        limits = Limits(*self._run.limiter.limits)
        return Task(
            self._run.info, self._run.handler, name, value, attempt.number, limits, self._writes
        )

    def _stream(self, working: _Working) -> None:
        """The thread of one attempt."""
        outcome: ShardOutcome = Cancelled()
        try:
            if self._places.take(working.place):
                with self._writing(working):
                    outcome = working.job.stream(functools.partial(self._deliver, working))
        except BaseException as error:  # a bug of the executor
            logger.exception(
                "shard %s of handler %s failed in run %s, as its executor raised an error; the "
                "other shards go on",
                working.name, self._run.handler, self._run.info.id,
            )  # fmt: skip
            outcome = Failed(one_line(error))
        finally:
            self._places.give_up(working.place)
            self._inbox.put(_Ended(working.attempt, outcome))

    @contextlib.contextmanager
    def _writing(self, working: _Working) -> Iterator[None]:
        """Order and record the batches of a worker that writes itself."""
        port = self._run.port
        writes = port.remote_writes(working.job.tell) if isinstance(port, HandlerPort) else None
        if not self._writes or writes is None:
            yield
            return
        with writes:
            working.writes = writes
            yield

    def _deliver(self, working: _Working, event: Event) -> None:
        match event:
            case Entities():
                working.items += event.items
                self._report()
                self._streams.put(event)
            case Advanced():
                working.said = event
                self._report()
            case Logged(record):
                log = logging.getLogger(record.name)
                if log.isEnabledFor(record.levelno):
                    with contextlib.suppress(Exception):  # handlers are the embedding program's
                        log.handle(record)
            case BatchAnnounced() | BatchSent() | BatchNotSent() | EntitiesRefused():
                if isinstance(event, BatchAnnounced):
                    working.items += event.items
                    self._report()
                if working.writes is not None:
                    working.writes.hear(event)
            case Incomplete(reason):
                self._run.port.mark_incomplete(f"shard {working.name}: {reason}")

    def _note_end(self, attempt: Attempt, outcome: ShardOutcome) -> None:
        with self._lock:
            working = self._working.pop(attempt, None)
        before = len(self._plan.failures)
        self._plan = self._plan.ended(attempt, outcome)
        name = self._names[attempt.shard]
        failed = len(self._plan.failures) > before
        if isinstance(outcome, Lost):
            admission = self._lost_log.admit()
            if admission.admitted:
                sent = 0 if working is None else working.items
                logger.warning(
                    "shard %s of handler %s lost its worker in attempt %d, after %d entities: %s; "
                    "%s%s",
                    name, self._run.handler, attempt.number, sent, outcome.reason,
                    "it has failed" if failed else "it is done again from its beginning",
                    admission.more,
                )  # fmt: skip

    # -- the end -----------------------------------------------------------------------------

    def _writing_failed(self) -> None:
        self._inbox.put(_Stop("its entities cannot be written"))

    def _stop(self, reason: str) -> None:
        if self._plan.stopped:
            return
        self._plan = self._plan.stop()
        for working in self._all_working():
            working.job.cancel(reason)
            if not working.place.taken:
                self._places.give_up(working.place)
        seconds = self._settings.abort_grace * KILL_SHARE
        self._timer = self._clock.call_later(seconds, lambda: self._inbox.put(_Kill()))

    def _kill(self) -> None:
        for working in self._all_working():
            if working.place.given_up:
                continue  # it has been killed before, or has not begun
            logger.warning(
                "shard %s of handler %s has not ended after the abort: its worker is given up",
                working.name, self._run.handler,
            )  # fmt: skip
            working.job.kill()
            self._places.give_up(working.place)

    def _end_workers(self) -> None:
        """End what still works, as this thread has failed."""
        for working in self._all_working():
            working.job.cancel("the handler has ended")
            working.job.kill()
            self._places.give_up(working.place)

    def _all_working(self) -> list[_Working]:
        with self._lock:
            return list(self._working.values())

    # -- progress ----------------------------------------------------------------------------

    def _report(self) -> None:
        plan = self._plan
        shards = tuple(
            _shown(each) for each in sorted(self._all_working(), key=lambda each: each.name)
        )
        ended = plan.completed + len(plan.failures)
        failed = f"{len(plan.failures)} failed; " if plan.failures else ""
        message = failed + ", ".join(_text(each) for each in shards)
        progress = Progress(self._run.handler, ended, plan.total, one_line(message) or None, shards)
        self._run.report(progress)


def shard_names(values: Sequence[object]) -> list[str]:
    """Returns a name for each shard: its text in one line, numbered if several have the same."""
    texts = [one_line(value, 80) or "(empty)" for value in values]
    used = set(texts)  # a numbered name may be the text of another shard
    seen: Counter[str] = Counter()
    names = []
    for text in texts:
        seen[text] += 1
        name = text
        if seen[text] > 1:
            while (name := f"{text}-{seen[text]}") in used:
                seen[text] += 1
            used.add(name)
        names.append(name)
    return names


def _shown(working: _Working) -> ShardProgress:
    said = working.said or Advanced(0)
    return ShardProgress(
        working.name, working.items, working.attempt.number,
        None if working.said is None else said.done, said.total, said.message,
    )  # fmt: skip


def _text(shard: ShardProgress) -> str:
    """Returns one shard's progress for people."""
    if shard.done is None:
        return f"{shard.name} at {shard.items} entities"
    total = "" if shard.total is None else f" of {shard.total:g}"
    message = f" ({shard.message})" if shard.message else ""
    return f"{shard.name} at {shard.done:g}{total}{message}, {shard.items} entities"
