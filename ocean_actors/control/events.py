"""The latest events of an integration as numbered lines, and which line an event makes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ocean_actors.actors import Message
from ocean_actors.messages import (
    CoordinatorStopped,
    HandlerEnded,
    IntegrationMissing,
    IntegrationRegistered,
    LiveEventFailed,
    RequestSettled,
    ResyncsPaused,
    ResyncsResumed,
    RoleChanged,
    RunEnded,
    RunProgressed,
    RunStarted,
    Status,
    Written,
)
from ocean_actors.text import one_line

KEPT = 300

Level = Literal["info", "good", "warning", "bad"]

LEVELS: Mapping[Status, Level] = {"completed": "good", "failed": "bad", "aborted": "warning"}

SHOWN: tuple[type[Message], ...] = (
    RunStarted,
    RunProgressed,
    HandlerEnded,
    RunEnded,
    RequestSettled,
    LiveEventFailed,
    RoleChanged,
    ResyncsPaused,
    ResyncsResumed,
    IntegrationRegistered,
    IntegrationMissing,
    CoordinatorStopped,
)
"""The events that `line_of` knows."""


@dataclass(frozen=True)
class EventLine:
    """What is told of one event: its type, how good it is, a sentence, and the run it is about."""

    kind: str
    level: Level
    text: str
    run: str | None = None


class EventRing:
    """The latest `kept` lines, numbered from 1 on.

    One thread adds; any thread may read. `instance` differs in each process, whose numbers begin
    anew.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self.instance = uuid.uuid4().hex[:12]
        self._kept = kept
        self._entries: tuple[dict[str, Any], ...] = ()  # replaced, so that reading needs no lock

    @property
    def latest(self) -> int:
        """The number of the newest line; 0 if there is none."""
        return self._entries[-1]["number"] if self._entries else 0

    def add(self, at: datetime, line: EventLine) -> None:
        """Keep a line, and drop the oldest if there are too many."""
        entry = {
            "number": self.latest + 1,
            "at": at.isoformat(),
            "kind": line.kind,
            "level": line.level,
            "text": line.text,
            "run": line.run,
        }
        self._entries = (*self._entries[-(self._kept - 1) :], entry)

    def after(self, number: int) -> list[dict[str, Any]]:
        """Returns the lines after `number` that are still kept, oldest first, as plain data."""
        entries = self._entries
        first = entries[0]["number"] if entries else 1
        return list(entries[max(0, number + 1 - first) :])


def line_of(event: Message) -> EventLine | None:
    """Returns the line for an event, None for one that is not shown."""
    kind = type(event).__name__
    match event:
        case RunStarted(run):
            text = f"run {run.id} started: {run.reason} ({run.trigger})"
            return _line(kind, "info", text, run.id)
        case RunProgressed(run, progress):
            total = "" if progress.total is None else f" of {progress.total}"
            more = "" if progress.message is None else f", {progress.message}"
            text = f"{progress.handler}: {progress.done}{total}{more}"
            return _line(kind, "info", text, run.id)
        case RunEnded(run, status, ended_at, failures, written):
            seconds = (ended_at - run.started_at).total_seconds()
            counts = _counted(written)
            why = f"; {failures[0]}" if failures else ""
            more_failures = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
            text = f"run {run.id} {status} after {seconds:.1f} s{counts}{why}{more_failures}"
            return _line(kind, LEVELS[status], text, run.id)
        case HandlerEnded(run, handler, status):
            level: Level = "info" if status == "completed" else LEVELS[status]
            return _line(kind, level, f"{handler}: {status}", run.id)
        case RequestSettled(request, "ignored"):
            return _line(kind, "warning", f"the request of {request.trigger} was ignored", None)
        case RequestSettled(request, outcome, run_id):
            text = f"the request of {request.trigger} was settled by run {run_id}: {outcome}"
            return _line(kind, "info", text, run_id)
        case RoleChanged(active):
            text = "this instance runs the resyncs from now on" if active else (
                "this instance stands by; another one runs the resyncs"
            )  # fmt: skip
            return _line(kind, "info", text, None)
        case LiveEventFailed(path, key, attempts, failure):
            about = f" ({key})" if key else ""
            tried = f"{attempts} attempt{'s' * (attempts > 1)}"
            text = f"live event of {path}{about} was given up after {tried}: {failure}"
            return _line(kind, "bad", text, None)
        case ResyncsPaused(owner, reason):
            return _line(kind, "warning", f"paused by {owner}: {reason}; requests wait", None)
        case ResyncsResumed(owner, reason, paused):
            text = f"the pause by {owner} is lifted: {reason}" + "; others remain" * paused
            return _line(kind, "info", text, None)
        case IntegrationRegistered():
            return _line(kind, "good", "Port was reached and knows the integration", None)
        case IntegrationMissing():
            return _line(kind, "bad", "Port does not know the integration any more", None)
        case CoordinatorStopped():
            return _line(kind, "info", "the integration stops: no more runs are started", None)
    return None


def _line(kind: str, level: Level, text: str, run: str | None) -> EventLine:
    return EventLine(kind, level, one_line(text), run)


def _counted(written: Written) -> str:
    counts = (
        (written.upserted, "sent"), (written.failed, "refused"), (written.deleted, "deleted"),
    )  # fmt: skip
    told = ", ".join(f"{count} {what}" for count, what in counts if count)
    return f", entities: {told}" if told else ""
