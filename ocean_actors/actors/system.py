"""The actors of one program part, from spawn to stop."""

from __future__ import annotations

import fnmatch
import functools
import itertools
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from ocean_actors.actors.actor import Actor
from ocean_actors.actors.cell import Cell
from ocean_actors.actors.clock import Clock, SystemClock
from ocean_actors.actors.context import Context
from ocean_actors.actors.deadletters import DeadLetters
from ocean_actors.actors.events import EventStream
from ocean_actors.actors.message import require_immutable
from ocean_actors.actors.quiescence import Quiescence
from ocean_actors.actors.ref import Ref
from ocean_actors.actors.watchdog import Watchdog

logger = logging.getLogger(__name__)


class ActorSystem:
    """Actors that share a clock, an event stream and an end. Two systems share nothing.

    `on_fatal(name, error)` is called, in the failing actor's thread, when a failure escalates;
    without it every actor is asked to stop. `context` makes what actors find as `self.context`.
    With `debug`, every message sent is checked to be immutable. `seed` fixes the jitter.
    A `clock` that is given is closed by whoever made it.
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
        self.check_message = require_immutable if debug else None
        self.events = EventStream(self.check_message)
        self.dead_letters = DeadLetters()
        self.quiescence = Quiescence(self.clock)
        self.make_context = context
        self.random = random.Random(seed)  # noqa: S311  (jitter)
        self.cause: BaseException | None = None
        """The first failure that escalated."""
        self._on_fatal = on_fatal
        self._own_clock = clock is None
        self._watchdog = Watchdog(self.clock, self._present)
        self._cells: dict[str, Cell] = {}
        self._reserved: set[str] = set()
        self._numbers: dict[str, itertools.count[int]] = {}
        self._stopped = False
        self._lock = threading.Lock()  # of the names: spawning happens in many threads

    def spawn(
        self, actor_class: type[Actor], *args: Any, name: str | None = None, **kwargs: Any
    ) -> Ref:
        """Start an actor of its own; `args` build its state, now and after each failure.

        Its name is `name` or that of its class, with a number if that is taken. Raises
        whatever its `__init__` raises, and RuntimeError once the system was stopped.
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
        """Start an actor that ends with `parent`, if one is given; else see `spawn`."""
        if parent is None and self._stopped:
            raise RuntimeError(f"{actor_class.__name__} cannot start: its actor system is stopped")
        build = functools.partial(actor_class, *args, **kwargs)
        free_name = self._reserve(name or actor_class.__name__)
        try:
            cell = Cell(self, parent, free_name, actor_class, build)
        except BaseException:
            self._release(free_name)
            raise
        self._cells[free_name] = cell
        for event_type in actor_class.subscribes_to:
            self.events.subscribe(cell.ref, event_type)
        if parent is not None:
            parent.children[cell.ref] = cell
        try:
            cell.thread.start()
        except Exception:  # no more threads are to be had
            cell.stop()
            cell.end()
            raise
        except BaseException:  # a signal's, while the thread begins: it ends by itself
            cell.stop()
            raise
        self._watchdog.cover(actor_class.message_bound)
        if self._stopped:  # meanwhile, and perhaps without having seen this one
            cell.stop()
        return cell.ref

    def stop(self, timeout: float = 5.0, wake: Callable[[], object] = lambda: None) -> list[str]:
        """Stop all actors, the newest first.

        `wake` is called once all are asked to, to end what they wait in.
        Returns the names of those that did not end within `timeout` seconds: they are stuck
        in one message, and their threads are daemons. An actor that calls this itself ends
        once it returns.
        """
        self._stopped = True
        self.dead_letters.silence()
        self._watchdog.stop()
        cells = self._present()[::-1]
        for cell in cells:
            cell.stop()
        wake()
        deadline = time.monotonic() + timeout  # threads end in real time, whatever the clock
        stuck = [
            cell.name
            for cell in cells
            if not cell.join(0 if cell.abandoned else deadline - time.monotonic())
        ]
        if self._own_clock:
            self.clock.close()
        return stuck

    def stop_actor(self, ref: Ref, timeout: float = 5.0) -> bool:
        """Stop one actor and wait for its thread; whether it ended in time."""
        cell = self._cells.get(ref.name)
        if cell is None or cell.ref is not ref:
            return True
        cell.stop()
        return cell.join(timeout)

    def fail(self, name: str, error: BaseException) -> None:
        """An actor's failure is the system's: tell the owner, who stops it."""
        if self.cause is None:
            self.cause = error
        if self._on_fatal is None:
            for cell in self._present():
                cell.stop()
            return
        try:
            self._on_fatal(name, error)
        except BaseException:
            logger.exception("on_fatal failed when told of %s", name)

    def snapshot(self) -> list[dict[str, Any]]:
        """Every actor as plain data, the oldest first."""
        return [cell.snapshot() for cell in self._present()]

    def log_state(self, level: int = logging.INFO) -> None:
        """Log a line for each actor."""
        for actor in self.snapshot():
            logger.log(level, "%s", describe(actor))

    def wait_still(self, timeout: float = 5.0, *, parked: str | None = None) -> list[str]:
        """Wait until no actor has a letter or is in a message, except one that waits by a clock
        that stands still.

        Those whose name matches the pattern `parked` (see `fnmatch`) are left out, as are
        abandoned ones. Returns the names of those that still move after `timeout` seconds of
        real time. For tests.
        """

        def watched() -> list[Cell]:
            return [
                cell
                for cell in self._present()
                if not cell.abandoned
                and (parked is None or not fnmatch.fnmatchcase(cell.name, parked))
            ]

        return [cell.name for cell in self.quiescence.wait(watched, timeout)]

    def forget(self, cell: Cell) -> None:
        """Let an ended actor's name be used again."""
        del self._cells[cell.name]
        self._release(cell.name)
        self.quiescence.notify()

    def _release(self, name: str) -> None:
        with self._lock:
            self._reserved.discard(name)

    def _present(self) -> list[Cell]:
        return list(self._cells.values())

    def _reserve(self, name: str) -> str:
        with self._lock:
            free = name
            if free in self._reserved:
                numbers = self._numbers.setdefault(name, itertools.count(2))
                while free in self._reserved:
                    free = f"{name}-{next(numbers)}"
            self._reserved.add(free)
            return free


def describe(actor: dict[str, Any]) -> str:
    """One line about an actor, from its snapshot."""
    parts = [
        f"{actor['name']} ({actor['type']}) is {actor['state']}",
        f"{actor['mailbox']} waiting",
        f"{actor['handled']} handled",
        f"{actor['restarts']} restarts",
    ]
    if actor["message"] is not None:
        hung = "hung " if actor["hung"] else ""
        parts.append(f"{hung}in {actor['message']} for {actor['message_seconds']:.1f} s")
    if actor["failure"] is not None:
        parts.append(f"last failure {actor['failure']}")
    return ", ".join(parts)
