"""The live lines: the state and the last outcome, and below them a bar for each handler.

With several integrations, each has a line with its state and last outcome.
"""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ocean_actors.text import one_line

FOLLOW_SECONDS = 0.5
NARROWEST = 20  # columns; there are no live lines in less
BAR_COLUMNS = 12
HANDLER_COLUMNS = 40  # for a handler's name, bar and numbers
MOST_INTEGRATIONS = 8  # that have a line; the others are counted
COLOURS = {"running": "cyan", "completed": "green", "failed": "red"}  # others are yellow


class LiveLines:
    """Renders the newest status of each system of the process."""

    def __init__(self, encoding: str) -> None:
        """`encoding` is the terminal's; without Unicode the bars are drawn in ASCII."""
        self.statuses: tuple[Mapping[str, Any], ...] = ()
        """What each `OceanSystem.status()` returned last; none before the start and at the end."""
        self._encoding = encoding

    @contextlib.contextmanager
    def following(self, *statuses: Callable[[], Mapping[str, Any]]) -> Iterator[None]:
        """Ask for each status again and again, in a thread, while the `with` block runs."""
        done = threading.Event()

        def follow() -> None:
            while not done.is_set():
                self.statuses = tuple(status() for status in statuses)
                done.wait(FOLLOW_SECONDS)
            self.statuses = ()

        thread = threading.Thread(target=follow, name="live-lines", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(2.0)  # a status waits a second at most

    def render(self, width: int) -> list[str]:
        """Returns the lines, with their colours; each is shorter than `width`."""
        statuses = self.statuses
        if not statuses or width < NARROWEST:
            return []
        console = Console(
            file=_Buffer(self._encoding), force_terminal=True, color_system="standard",
            width=width - 1, legacy_windows=False, _environ={},
        )  # fmt: skip
        lines = []
        for part in live_lines(statuses, datetime.now(timezone.utc), console.width):
            with console.capture() as capture:
                console.print(part, no_wrap=True, overflow="ellipsis", end="")
            drawn = capture.get().rstrip("\n")
            lines.append(drawn.encode(self._encoding, "replace").decode(self._encoding))
        return lines


class _Buffer(io.StringIO):
    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]  # rich asks for it
        return self._encoding


def live_lines(
    statuses: Sequence[Mapping[str, Any]], now: datetime, width: int
) -> Sequence[Text | Table]:
    """Returns the lines for what each `status()` returned, at `now`, for `width` columns."""
    if len(statuses) == 1:
        return _lines_of_one(statuses[0], now, width)
    shown = statuses[:MOST_INTEGRATIONS]
    lines = [_named_line(status, now) for status in shown]
    if len(shown) < len(statuses):
        lines.append(Text(f"and {len(statuses) - len(shown)} more integrations", "dim"))
    return lines


def _named_line(status: Mapping[str, Any], now: datetime) -> Text:
    resync: Mapping[str, Any] = status.get("resync") or {}
    name = Text(one_line(status.get("integration"), 30), "bold")
    if status.get("stopped"):
        cause = status.get("cause")
        ended = Text(f"failed: {one_line(cause)}", "red") if cause else Text("stopped", "dim")
        return Text(" | ").join([name, ended])
    return Text(" | ").join([name, _state_line(resync, resync.get("run"), now)])


def _lines_of_one(status: Mapping[str, Any], now: datetime, width: int) -> list[Text | Table]:
    resync: Mapping[str, Any] = status.get("resync") or {}
    run = resync.get("run")
    lines: list[Text | Table] = [_state_line(resync, run, now)]
    if run:
        names = sorted(resync.get("kinds") or {})
        lines.append(_bars(names, run, max(1, width // HANDLER_COLUMNS)))
    return lines


def _state_line(resync: Mapping[str, Any], run: Mapping[str, Any] | None, now: datetime) -> Text:
    state = resync.get("state") or "stopping"
    parts = [Text(state, f"bold {COLOURS.get(state, 'yellow' if run else 'dim')}")]
    if run:
        seconds = (now - datetime.fromisoformat(run["startedAt"])).total_seconds()
        parts.append(Text(f"run {run['id']} by {run['trigger']} for {max(0.0, seconds):.0f} s"))
    reasons = [one_line(pause.get("reason"), 40) for pause in resync.get("pauses") or ()]
    if reasons:
        parts.append(Text(f"paused: {', '.join(reasons)}", "yellow"))
    if waiting := len(resync.get("pending") or ()):
        parts.append(Text(f"{waiting} waiting"))
    runs = resync.get("runs")
    if runs:
        parts.append(_outcome(runs[-1]))
    return Text(" | ").join(parts)


def _outcome(run: Mapping[str, Any]) -> Text:
    status = run["status"]
    text = Text(f"last run {run['id']} ")
    text.append(status, COLOURS.get(status, "yellow"))
    text.append(f" after {run['seconds']:.1f} s")
    if run["entities"]:
        text.append(f", {run['entities']} entities")
    if status == "failed" and run["failures"]:
        text.append(f": {one_line('; '.join(run['failures']))}")
    return text


def _bars(names: list[str], run: Mapping[str, Any], places: int) -> Table:
    shown = names if len(names) <= places else names[: max(1, places - 1)]
    table = Table.grid(padding=(0, 1))
    cells: list[Text | ProgressBar] = []
    for name in shown:
        progress = (run.get("progress") or {}).get(name) or {}
        cells += _bar(name, progress, working=name in run["handlers"])
        if calls := (run.get("waiting") or {}).get(name):
            cells.append(Text(f"{calls} rate-limited", "yellow"))
    if len(shown) < len(names):
        cells.append(Text(f"+{len(names) - len(shown)} more"))
    for _ in cells:
        table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_row(*cells)
    return table


def _bar(name: str, progress: Mapping[str, Any], *, working: bool) -> list[Text | ProgressBar]:
    done, total = progress.get("done"), progress.get("total")
    label = Text(one_line(name, 20), "bold")
    if not working:
        return [label, ProgressBar(1, 1, width=BAR_COLUMNS), Text("done", "green")]
    if done is None:
        return [label, ProgressBar(1, 0, width=BAR_COLUMNS), Text("at work")]
    if not total or total < 0:
        return [label, ProgressBar(1, 0, width=BAR_COLUMNS), Text(f"{done:g}")]
    share = min(max(done / total, 0.0), 1.0)
    figures = f"{done:g}/{total:g}{_shards_text(progress)}"
    return [label, ProgressBar(1, share, width=BAR_COLUMNS), Text(figures)]


def _shards_text(progress: Mapping[str, Any]) -> str:
    """Returns how many entities each running shard has yielded; nothing without shards."""
    shards = progress.get("shards") or ()
    return "".join(f" {one_line(each['name'], 20)}:{each['items']}" for each in shards)
