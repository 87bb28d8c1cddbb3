"""The steps of the demo, and their output."""

from __future__ import annotations

import functools
import math
import queue
import time
from collections.abc import Callable
from importlib.metadata import distributions
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from ocean_actors import Actor, OceanSystem, RunEnded, RunProgressed, RunStarted, Settings, handles
from ocean_actors.demo.environment import Environment, open_environment
from ocean_actors.demo.python_packages import BLUEPRINT, PythonPackages

RUN_SECONDS = 2.0  # of a full resync; the sandbox answers slowly on purpose
MAX_SECONDS = 60.0  # of the demo, which takes less than 20 unless the machine is busy
NEW_CONFIG = {"resources": [{"kind": BLUEPRINT, "selector": {"names": "[a-p]*"}}]}
COLOURS = {"completed": "green", "aborted": "yellow", "failed": "red"}

RunEvent = RunStarted | RunProgressed | RunEnded


class EventForwarder(Actor):
    """Passes the events of runs to the thread that draws."""

    subscribes_to = (RunStarted, RunProgressed, RunEnded)

    def __init__(self, events: queue.Queue[RunEvent]) -> None:
        super().__init__()
        self.events = events

    @handles(RunStarted)
    def on_started(self, event: RunStarted) -> None:
        """Pass it on."""
        self.events.put(event)

    @handles(RunProgressed)
    def on_progressed(self, event: RunProgressed) -> None:
        """Pass it on."""
        self.events.put(event)

    @handles(RunEnded)
    def on_ended(self, event: RunEnded) -> None:
        """Pass it on."""
        self.events.put(event)


class Screen:
    """Draws the events of runs."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self.events: queue.Queue[RunEvent] = queue.Queue()
        self.ended: list[RunEnded] = []
        self._console = console
        self._progress = progress
        self._task: TaskID | None = None
        self._deadline = time.monotonic() + MAX_SECONDS

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text)

    def follow(self, until: Callable[[RunEvent], bool]) -> None:
        """Draw events up to the first for which `until` holds. Raises TimeoutError."""
        while True:
            try:
                event = self.events.get(timeout=max(0.0, self._deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"the demo did not end within {MAX_SECONDS:g} s") from None
            self._draw(event)
            if until(event):
                return

    def _draw(self, event: RunEvent) -> None:
        match event:
            case RunStarted(run):
                self.say(f"run {run.id} starts: [bold]{escape(run.reason)}[/] ({run.trigger})")
                self._task = self._progress.add_task(run.id, total=None)
            case RunProgressed(_, progress) if self._task is not None:
                self._progress.update(self._task, completed=progress.done, total=progress.total)
            case RunEnded(run, status) if self._task is not None:
                self.ended.append(event)
                self._progress.remove_task(self._task)
                why = f": {escape('; '.join(event.failures))}" if event.failures else ""
                self.say(f"run {run.id} [{COLOURS[status]}]{status}[/]{why}")


def show(listener: str) -> int:
    """Run the demo; returns the exit code."""
    console = Console()
    bar = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        open_environment(listener) as environment,
        Progress(*bar, console=console, transient=True) as progress,
    ):
        screen = Screen(console, progress)
        settings = Settings.from_dict(environment.settings, env={})
        forwarder = functools.partial(EventForwarder, screen.events)
        screen.say(
            f"Port's sandbox serves at {environment.sandbox.url}; "
            f"the integration listens by {listener}"
        )
        prepare(environment)
        with OceanSystem(settings, [PythonPackages], actors=[forwarder]) as system:
            try:
                play(screen, environment, system)
            except TimeoutError as error:
                console.print(f"[red]{error}[/]; the cause: {escape(str(system.cause))}")
                return 1
    console.print(table(screen.ended))
    return 0


def prepare(environment: Environment) -> None:
    """Make the sandbox slow enough to watch."""
    calls = math.ceil(sum(1 for _ in distributions()) / 20)
    environment.sandbox.fail(
        "delay", times=None, path="/entities/bulk$", seconds=RUN_SECONDS / calls
    )


def play(screen: Screen, environment: Environment, system: OceanSystem) -> None:
    """Run the steps: a first resync, one that a new config aborts, one more."""
    identifier = system.settings.integration.identifier
    if not environment.starts_by_itself:
        system.request_resync("first resync")
    screen.follow(completed)
    screen.say("[cyan]» a resync is requested in Port[/]")
    environment.sandbox.request_resync(identifier)
    screen.follow(at_work)
    screen.say("[cyan]» the configuration is changed in Port while the resync runs[/]")
    environment.sandbox.set_config(identifier, NEW_CONFIG)
    screen.follow(completed)
    screen.say("[cyan]» one more resync is requested in Port[/]")
    environment.sandbox.request_resync(identifier)
    screen.follow(completed)


def completed(event: RunEvent) -> bool:
    """Returns whether a run has completed."""
    return isinstance(event, RunEnded) and event.status == "completed"


def at_work(event: RunEvent) -> bool:
    """Returns whether a run is at work."""
    return isinstance(event, RunProgressed)


def table(runs: list[RunEnded]) -> Table:
    """Returns a table with a row for each run."""
    drawn = Table("run", "trigger", "status", "seconds", "entities", "deleted")
    for event in runs:
        seconds = (event.ended_at - event.run.started_at).total_seconds()
        cells: tuple[Any, ...] = (seconds, event.written.upserted, event.written.deleted)
        drawn.add_row(
            event.run.id,
            event.run.trigger,
            f"[{COLOURS[event.status]}]{event.status}[/]",
            f"{cells[0]:.1f}", str(cells[1]), str(cells[2]),
        )  # fmt: skip
    return drawn
