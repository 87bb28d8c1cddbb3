"""The actors of one program part, from spawn to stop."""

from __future__ import annotations

import functools
import itertools
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from ocean_actors.actors.actor import Actor
from ocean_actors.actors.cell import Cell
from ocean_actors.actors.clock import Clock, SystemClock
from ocean_actors.actors.context import Context
from ocean_actors.actors.events import EventStream
from ocean_actors.actors.message import require_immutable
from ocean_actors.actors.ref import Ref

logger = logging.getLogger(__name__)


class DeadLetters:
    """Counts messages that reached nobody, by type, and logs the first of each type."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, message: Any, receiver: str) -> None:
        """Account for one."""
        kind = type(message).__name__
        self.counts[kind] += 1
        if self.counts[kind] == 1:
            logger.warning("%s is not handled by %s; more are only counted", kind, receiver)


class ActorSystem:
    """Actors that share a clock, an event stream and an end. Two systems share nothing.

    `on_fatal(name, error)` is called, in the failing actor's thread, when a failure escalates.
    `context` makes what actors find as `self.context`. With `debug`, every message sent is
    checked to be immutable.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        on_fatal: Callable[[str, BaseException], None] | None = None,
        context: Callable[[Cell], Context] = Context,
        debug: bool = False,
        seed: int | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.events = EventStream()
        self.dead_letters = DeadLetters()
        self.make_context = context
        self.check_message = require_immutable if debug else None
        self.random = random.Random(seed)  # noqa: S311  (jitter)
        self._on_fatal = on_fatal
        self._cells: dict[str, Cell] = {}
        self._names: set[str] = set()
        self._lock = threading.Lock()  # of the names: spawning happens in many threads

    def spawn(
        self, actor_class: type[Actor], *args: Any, name: str | None = None, **kwargs: Any
    ) -> Ref:
        """Start an actor of its own; `args` build its state, now and after each failure.

        Raises whatever its `__init__` raises.
        """
        return self.spawn_child(None, actor_class, args, kwargs, name)

    def spawn_child(
        self,
        parent: Cell | None,
        actor_class: type[Actor],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None,
    ) -> Ref:
        """Start an actor that ends with `parent`, if one is given."""
        build = functools.partial(actor_class, *args, **kwargs)
        with self._lock:
            free_name = self._free(name or actor_class.__name__)
            self._names.add(free_name)
        try:
            cell = Cell(self, parent, free_name, actor_class, build)
        except BaseException:
            self._names.discard(free_name)
            raise
        self._cells[free_name] = cell
        if parent is not None:
            parent.children[cell.ref] = cell
        cell.thread.start()
        return cell.ref

    def stop(self, timeout: float = 5.0) -> list[str]:
        """Stop all actors, the newest first; the clock is stopped by whoever made it.

        Returns the names of those that did not end within `timeout` seconds: they are stuck
        in one message, and their threads are daemons.
        """
        cells = list(reversed(self._cells.values()))
        for cell in cells:
            cell.stop()
        deadline = time.monotonic() + timeout  # threads end in real time, whatever the clock
        return [
            cell.name
            for cell in cells
            if not cell.join(0 if cell.abandoned else deadline - time.monotonic())
        ]

    def stop_actor(self, ref: Ref, timeout: float = 5.0) -> bool:
        """Stop one actor and wait for its thread; whether it ended in time."""
        cell = self._cells.get(ref.name)
        if cell is None:
            return True
        cell.stop()
        return cell.join(timeout)

    def fail(self, name: str, error: BaseException) -> None:
        """An actor's failure is the system's: tell the owner, who stops it."""
        if self._on_fatal is not None:
            self._on_fatal(name, error)

    def snapshot(self) -> list[dict[str, Any]]:
        """Every actor as plain data, the oldest first."""
        return [cell.snapshot() for cell in list(self._cells.values())]

    def forget(self, cell: Cell) -> None:
        """Let an ended actor's name be used again."""
        with self._lock:
            del self._cells[cell.name]
            self._names.discard(cell.name)

    def _free(self, name: str) -> str:
        numbered = (f"{name}-{number}" for number in itertools.count(2))
        return next(free for free in itertools.chain((name,), numbered) if free not in self._names)
