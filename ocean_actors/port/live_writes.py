"""Who gives way when live events and a run write the same entities.

    a live write: marks its entities ──▶ waits for batches of runs that hold them ──▶ calls Port
    a run: leaves out what is marked, marks the rest as in flight ──▶ calls Port

A mark that was answered lasts until the run ends, as what the run has read may be older. If the
live write fails, its mark is withdrawn. Nothing is kept while no run is open.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from ocean_actors.actors import CancelToken, Clock
from ocean_actors.errors import OceanError
from ocean_actors.port.sent_entities import fingerprint

WAIT_SECONDS = 30.0

Name = tuple[str, str]
"""An entity's blueprint and identifier."""

Prints = tuple[int, ...]
"""The fingerprints by which an entity is marked."""


class StillInFlight(OceanError):
    """A batch of a run with the same entity was not answered in time; nothing was written."""


def prints_of(name: Name) -> Prints:
    """Returns what marks an entity that is written."""
    return (fingerprint(*name),)


def prints_with_relations(name: Name) -> Prints:
    """Returns what marks an entity that is deleted: also as the target of others' relations."""
    return fingerprint(*name), fingerprint(name[1])


class LiveMark:
    """The entities of one live write that Port has not answered yet."""

    def __init__(self, prints: Iterable[int]) -> None:
        self.prints = set(prints)


class LiveWrites:
    """Keeps live writes and runs apart. One for a system; safe to use from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # handlers and live handlers write at the same time
        self._marks: set[LiveMark] = set()
        self._runs: set[RunWrites] = set()

    @property
    def run_open(self) -> bool:
        """Whether a run is in flight."""
        return bool(self._runs)

    def open_run(self) -> RunWrites:
        """Begin a run; it also gives way to the live writes that are in flight already."""
        run = RunWrites(self)
        with self._changed:
            self._runs.add(run)
        return run

    @contextmanager
    def writing(
        self, prints: Iterable[int], token: CancelToken, clock: Clock, seconds: float = WAIT_SECONDS
    ) -> Iterator[LiveMark]:
        """Mark entities, and wait until no batch of a run holds them, while the block calls Port.

        If the block raises, the mark is withdrawn; the block may withdraw parts of it by taking
        them out of `LiveMark.prints`. Raises StillInFlight after `seconds`, and the token's error
        if that is cancelled.
        """
        mark = LiveMark(prints)
        with self._changed:
            self._marks.add(mark)
            held = self._holds(mark)
        try:
            if held:
                self._wait(mark, token, clock, seconds)
            yield mark
        except BaseException:
            with self._changed:
                self._marks.discard(mark)
            raise
        with self._changed:
            self._marks.discard(mark)
            for run in self._runs:
                run.touched |= mark.prints

    def _wait(self, mark: LiveMark, token: CancelToken, clock: Clock, seconds: float) -> None:
        overdue = threading.Event()

        def expire() -> None:
            overdue.set()
            self._wake()

        timer = clock.call_later(seconds, expire)
        forget = token.on_cancel(self._wake)
        try:
            with self._changed:  # ended by the batch's answer, the timer or the token
                self._changed.wait_for(
                    lambda: token.cancelled or overdue.is_set() or not self._holds(mark)
                )
                held = self._holds(mark)
        finally:
            forget()
            timer.cancel()
        token.check()
        if held:
            raise StillInFlight(
                f"a run has been sending the same entity for {seconds:g} s, and Port has not "
                "answered; nothing was written"
            )

    def _holds(self, mark: LiveMark) -> bool:
        return any(not mark.prints.isdisjoint(run.in_flight) for run in self._runs)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # -- for its runs ------------------------------------------------------------------------

    def is_touched(self, run: RunWrites, prints: Prints) -> bool:
        """Returns whether live events have written an entity during the run, or are about to."""
        with self._changed:
            return self._is_touched(run, prints)

    def claim(self, run: RunWrites, groups: Sequence[Prints]) -> list[bool]:
        """Mark as in flight what live events have not touched; returns which entities that is."""
        with self._changed:
            free = [not self._is_touched(run, prints) for prints in groups]
            for prints, is_free in zip(groups, free, strict=True):
                if is_free:
                    run.in_flight.update(prints)
        return free

    def answered(self, run: RunWrites, prints: Iterable[int]) -> None:
        """End marks of `claim`."""
        with self._changed:
            run.in_flight.subtract(prints)
            run.in_flight = +run.in_flight  # without zeros
            self._forget(run)
            self._changed.notify_all()

    def close(self, run: RunWrites) -> None:
        """End a run; batches that it has in flight are still waited for."""
        with self._changed:
            run.closed = True
            run.touched.clear()
            self._forget(run)

    def _is_touched(self, run: RunWrites, prints: Prints) -> bool:
        return not run.touched.isdisjoint(prints) or any(
            not mark.prints.isdisjoint(prints) for mark in self._marks
        )

    def _forget(self, run: RunWrites) -> None:
        if run.closed and not run.in_flight:
            self._runs.discard(run)


class RunWrites:
    """One run's part in `LiveWrites`, whose lock protects the fields."""

    def __init__(self, live: LiveWrites) -> None:
        self._live = live
        self.touched: set[int] = set()  # by live events that Port has answered
        self.in_flight: Counter[int] = Counter()
        self.closed = False

    def touched_live(self, name: Name) -> bool:
        """Returns whether a live event has written or deleted an entity during this run."""
        return self._live.is_touched(self, prints_of(name))

    @contextmanager
    def sending(self, groups: Sequence[Prints]) -> Iterator[list[bool]]:
        """Yields for each entity whether the run may send it, which the block then does."""
        free = self._live.claim(self, groups)
        claimed = [
            each for prints, is_free in zip(groups, free, strict=True) if is_free for each in prints
        ]
        try:
            yield free
        finally:
            self._live.answered(self, claimed)

    def close(self) -> None:
        """Say that the run is over."""
        self._live.close(self)
