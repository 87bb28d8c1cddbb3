"""Ends the spans of runs: an actor, as a tracer's exporter may take as long as it likes."""

from __future__ import annotations

from dataclasses import dataclass

import pykka

from ocean_actors.actors import Actor, AtLimit, MailboxPolicy, Message, handles
from ocean_actors.messages import RunEnded, RunInfo
from ocean_actors.text import one_line
from ocean_actors.tracing import RunTrace


@dataclass(frozen=True)
class EndTrace(Message):
    """End the span of a run that is over."""

    trace: RunTrace
    event: RunEnded


@dataclass(frozen=True)
class FlushTraces(Message):
    """The process is about to end: set `flushed` once the spans told before have ended."""

    flushed: pykka.Future[None]


class Traces(Actor):
    """Ends the spans of runs, one after the other."""

    message_bound = None  # a hanging exporter is no reason to restart the process
    mailbox = MailboxPolicy(limit=1_000, at_limit={EndTrace: AtLimit.DROP_OLDEST})

    @handles(EndTrace)
    def on_end_trace(self, command: EndTrace) -> None:
        """End the span, which may export it."""
        event, written = command.event, command.event.written
        command.trace.end(
            event.ended_at,
            event.status,
            one_line("; ".join(event.failures)),
            {
                "ocean.entities.upserted": written.upserted,
                "ocean.entities.failed": written.failed,
                "ocean.entities.deleted": written.deleted,
            },
        )

    @handles(FlushTraces)
    def on_flush(self, command: FlushTraces) -> None:
        """Say that everything before was handled."""
        command.flushed.set(None)


def trace_of(info: RunInfo) -> RunTrace:
    """Returns the trace of a run that starts."""
    return RunTrace(
        info.started_at,
        {
            "ocean.run.id": info.id,
            "ocean.run.trigger": info.trigger,
            "ocean.run.reason": info.reason,
        },
    )
