"""The notes about the run in flight, and what `status()` and the log show of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from ocean_actors.actors import CancelToken, Repeat, Timer
from ocean_actors.messages import Progress, RunInfo, Written
from ocean_actors.resync.history import run_data, written_data
from ocean_actors.resync.progress_rate import ProgressRate
from ocean_actors.resync.run import ResyncRun, RunWriter
from ocean_actors.text import one_line
from ocean_actors.tracing import RunTrace

LONGEST_LINE = 1000  # characters of a log line that lists handlers or failures


@dataclass
class Flight:
    """The coordinator's notes about the run in flight."""

    info: RunInfo
    token: CancelToken
    writer: RunWriter
    failures: list[str] = field(default_factory=list)
    timers: list[Timer | Repeat] = field(default_factory=list)
    progress: dict[str, Progress] = field(default_factory=dict)
    rates: dict[str, ProgressRate] = field(default_factory=dict)
    parts: dict[str, ResyncRun] = field(default_factory=dict)  # by handler
    trace: RunTrace | None = None

    def note(self, progress: Progress, moment: float) -> None:
        """Note how far a handler is at `moment` (monotonic seconds)."""
        rate = self.rates.get(progress.handler, ProgressRate())
        self.rates[progress.handler] = rate.observed(moment, progress.done, progress.total)
        self.progress[progress.handler] = progress

    def not_before_start(self, now: datetime) -> datetime:
        """Returns `now`, or the start of the run if the machine's clock was set back before it."""
        return max(now, self.info.started_at)

    def seconds(self, now: datetime) -> float:
        """Returns how long the run has taken."""
        return (self.not_before_start(now) - self.info.started_at).total_seconds()

    def as_data(self, now: datetime, moment: float, working: frozenset[str]) -> dict[str, Any]:
        """Returns the run for `status()`; `moment` is `now` in monotonic seconds."""
        return {
            **run_data(self.info),
            "seconds": self.seconds(now),
            "handlers": sorted(working),
            "progress": {
                name: {
                    "done": item.done,
                    "total": item.total,
                    "message": item.message,
                    "rate": self.rates[name].rate(moment),
                    "secondsLeft": self.rates[name].seconds_left(moment),
                    **_shards_data(item),
                }
                for name, item in self.progress.items()
            },
            "waiting": {name: count for name in self.parts if (count := self._waiting(name))},
            **written_data(self.writer.written()),
        }

    def progress_text(self, working: frozenset[str]) -> str:
        """Returns how far each handler is, for the log."""
        handlers = (
            f"{name} {_progress_text(self.progress.get(name), working=name in working)}"
            f"{waiting_text(self._waiting(name))}"
            for name in sorted(self.info.handlers)
        )
        return one_line("; ".join(handlers), LONGEST_LINE)

    def _waiting(self, handler: str) -> int:
        part = self.parts.get(handler)
        return 0 if part is None else part.waits.waiting

    def scope_text(self, known: tuple[str, ...]) -> str:
        """Returns what the run is limited to, for the log; empty if it does everything."""
        kinds, parameters = self.info.kinds, self.info.parameters
        texts = [] if kinds == known else [f"kinds {', '.join(kinds)}"]
        texts += [f"parameters {', '.join(map(one_line, parameters))}"] if parameters else []
        return one_line("".join(f"; {text}" for text in texts), LONGEST_LINE)


def _shards_data(progress: Progress) -> dict[str, Any]:
    """Returns the shards at work; nothing for a handler without shards."""
    if progress.shards is None:
        return {}
    return {"shards": [asdict(each) for each in progress.shards]}


def waiting_text(calls: int) -> str:
    """Returns how many calls of a handler wait for a rate limit, for the log; empty if none."""
    return f", {calls} of its calls wait for the rate limit" if calls else ""


def written_text(written: Written) -> str:
    """Returns what a run wrote, for the log; empty if it wrote nothing."""
    counts = (
        (written.upserted, "entities sent"), (written.failed, "refused"),
        (written.deleted, "deleted"), (written.superseded, "left out, as live events wrote them"),
    )  # fmt: skip
    texts = ", ".join(f"{count} {what}" for count, what in counts if count)
    return texts and f", {texts}"


def _progress_text(progress: Progress | None, *, working: bool) -> str:
    if not working:
        return "has returned"
    if progress is None:
        return "is at work"
    total = "" if progress.total is None else f" of {progress.total}"
    message = f" ({progress.message})" if progress.message else ""
    return f"is at {progress.done}{total}{message}"
