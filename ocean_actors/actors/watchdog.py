"""Notices actors that are stuck in one message."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from itertools import islice, takewhile
from traceback import walk_stack

from ocean_actors.actors.cell import Cell
from ocean_actors.actors.clock import Clock, Timer
from ocean_actors.log import get_logger

logger = get_logger(__name__)

FRAMES = 6
LIFECYCLE = f"{__package__}.lifecycle"  # where every actor's calls begin


class Watchdog:
    """One timer that looks at every actor of a system, in the clock's thread.

    It is set for the first moment at which any actor could exceed its bound, so an actor is
    noticed at that moment. Each incident is logged once: between two looks, no actor can leave
    one message and exceed the bound in another.
    """

    def __init__(self, clock: Clock, cells: Callable[[], Iterable[Cell]]) -> None:
        self._clock = clock
        self._cells = cells
        self._timer: Timer | None = None
        self._hung: set[Cell] = set()  # at the last look
        self._stopped = False
        self._lock = threading.Lock()

    def cover(self, bound: float | None) -> None:
        """Look in time for an actor with that bound, spawned now."""
        if bound is not None:
            self._look_at(self._clock.monotonic() + bound)

    def stop(self) -> None:
        """End the looks."""
        with self._lock:
            self._stopped = True
            if self._timer is not None:
                self._timer.cancel()

    def _look_at(self, due: float) -> None:
        """Schedule a look for `due`, unless an earlier one is pending."""
        with self._lock:
            if self._stopped or (self._timer is not None and self._timer.due <= due):
                return
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._clock.call_at(due, self._look)

    def _look(self) -> None:
        with self._lock:
            self._timer = None
        now = self._clock.monotonic()
        hung: set[Cell] = set()
        next_look: float | None = None
        for cell in self._cells():
            bound = cell.actor_class.message_bound
            if bound is None or cell.abandoned:
                continue
            work = cell.work()
            due = now + bound
            if work is not None and cell.overdue(work.since, now):
                hung.add(cell)
                if cell not in self._hung:
                    logger.warning(
                        "%s has been in %s for %.1f s (bound %g s) and handles nothing else until "
                        "that ends; its thread is at %s",
                        cell.name, work.name, now - work.since, bound, position(cell.thread),
                    )  # fmt: skip
            elif work is not None:
                due = work.since + bound
            next_look = due if next_look is None else min(next_look, due)
        for cell in self._hung - hung:
            logger.info("%s has finished the message in which it hung", cell.name)
        self._hung = hung
        if next_look is not None:
            self._look_at(next_look)


def position(thread: threading.Thread) -> str:
    """Returns the innermost calls of `thread` as one line, the last first, up to the runtime's."""
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001  (its documented name)
    if frame is None:
        return "its end"
    calls = takewhile(
        lambda call: call[0].f_globals.get("__name__") != LIFECYCLE, walk_stack(frame)
    )
    lines = (f"{f.f_code.co_filename}:{line} {f.f_code.co_name}" for f, line in calls)
    return " < ".join(islice(lines, FRAMES))
