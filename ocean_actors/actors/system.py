"""The actors of one part of a program, from their start to their stop."""

from __future__ import annotations

import fnmatch
import functools
import itertools
import logging
import random
import threading
import time
from collections.abc import Callable, Collection
from typing import Any, NoReturn, ParamSpec, overload

from ocean_actors.actors import fork
from ocean_actors.actors.base import ActorBase, check_policies
from ocean_actors.actors.cell import Cell
from ocean_actors.actors.clock import Clock, SystemClock
from ocean_actors.actors.context import Context
from ocean_actors.actors.deadletters import DeadLetters
from ocean_actors.actors.events import EventStream
from ocean_actors.actors.lifecycle import Lifecycle
from ocean_actors.actors.message import require_immutable
from ocean_actors.actors.quiescence import Quiescence
from ocean_actors.actors.ref import Ref
from ocean_actors.actors.restarts import Restarts
from ocean_actors.actors.services import ActorServices
from ocean_actors.actors.watchdog import Watchdog
from ocean_actors.errors import OceanError
from ocean_actors.log import NO_CONTEXT, LogContext, get_logger

logger = get_logger(__name__)

P = ParamSpec("P")

NAMED = 10  # actors that an error names at most
FORKED = (
    "this process was forked after the actor system was started, and its actors work only in the "
    "parent: start the system in the process that uses it, after the fork"
)


class TooManyLeftBehind(OceanError, RuntimeError):
    """Ends a system that has left too many threads behind which have not ended."""


class ActorSystem:
    """Actors that share a clock, an event stream and an end. Two systems share nothing.

    `on_fatal(name, error)` is called, in the failing actor's thread, when a failure escalates.
    Without it, or if it raises, every actor is asked to stop. `context` makes what actors find as
    `self.context`. With `debug`, every message sent is checked to be immutable. `seed` makes the
    jitter repeatable. `log_context` is what the lines of the actors are about. A `clock` that is
    given is not closed at the stop. If more than `max_left_behind` abandoned actors have not ended,
    the system fails: their threads, each of which costs memory, can only be ended with the process.

    In a process that is forked while the system exists, the copy does nothing: `forked` is True
    there, sending, publishing and spawning raise RuntimeError, and `stop` returns at once.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        on_fatal: Callable[[str, BaseException], None] | None = None,
        context: Callable[[Cell], Context] = Context,
        debug: bool = False,
        seed: int | None = None,
        log_context: LogContext = NO_CONTEXT,
        max_left_behind: int = 100,
    ) -> None:
        self.clock = clock or SystemClock()
        self.events = EventStream(require_immutable if debug else None)
        self.dead_letters = DeadLetters()
        self.restarts = Restarts()
        self.cause: BaseException | None = None
        """The first failure that escalated."""
        self.forked = False
        """Whether this process is a forked child of the one in which the actors live."""
        self._services = ActorServices(
            clock=self.clock,
            random=random.Random(seed),  # noqa: S311  (jitter, no secret)
            events=self.events,
            dead_letters=self.dead_letters,
            restarts=self.restarts,
            quiescence=Quiescence(self.clock),
            check_message=require_immutable if debug else None,
            log_context=log_context,
            fail=self.fail,
        )
        self._make_context = context
        self._on_fatal = on_fatal
        self._own_clock = clock is None
        self._max_left_behind = max_left_behind
        self._watchdog = Watchdog(self.clock, self._present)
        self._cells: dict[Ref, Cell] = {}
        self._reserved: set[str] = set()
        self._numbers: dict[str, itertools.count[int]] = {}
        self._stopped = False
        self._refusal_logged = False
        self._lock = threading.Lock()  # of the names: any thread may spawn
        self.clock.on_failure.add(self._on_clock_failure)
        fork.register(self)

    @overload
    def spawn(
        self, actor_class: Callable[P, ActorBase], *args: P.args, **kwargs: P.kwargs
    ) -> Ref: ...

    @overload
    def spawn(
        self, actor_class: type[ActorBase], *args: Any, name: str | None, **kwargs: Any
    ) -> Ref: ...

    def spawn(self, actor_class: Any, *args: Any, **kwargs: Any) -> Ref:
        """Start an actor without a parent; `args` build its state, now and after each failure.

        Its name is `name` or that of its class, with a number if that is taken. mypy checks the
        arguments unless `name` is given. Raises what its `__init__` raises, TypeError for what is
        not an actor class, and RuntimeError if the system was stopped or no thread can be
        started any more.
        """
        name = kwargs.pop("name", None)
        return self.spawn_child(None, actor_class, args, kwargs, name)

    def spawn_child(
        self,
        parent: Cell | None,
        actor_class: type[ActorBase],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None,
    ) -> Ref:
        """Start an actor that ends with `parent`, if one is given; see `spawn`."""
        if self.forked:
            self._refuse()
        if not (isinstance(actor_class, type) and issubclass(actor_class, ActorBase)):
            raise TypeError(f"spawn: expected a subclass of Actor, not {actor_class!r}")
        if parent is None and self._stopped:
            raise RuntimeError(f"{actor_class.__name__} cannot start: its actor system is stopped")
        check_policies(actor_class)  # its attributes may have been assigned since
        build = functools.partial(actor_class, *args, **kwargs)
        free_name = self._reserve(name or actor_class.__name__)
        try:
            cell = Cell(self._services, self, parent, free_name, actor_class)
            lifecycle = Lifecycle(cell, build, self._make_context)
        except BaseException:
            self.release_name(free_name)
            raise
        self._cells[cell.ref] = cell
        for event_type in actor_class.subscribes_to:
            self.events.subscribe(cell.ref, event_type)
        if parent is not None:
            parent.children[cell.ref] = cell
        if self._stopped:  # `stop` sees this cell unless it began before
            cell.stop()
        try:
            self._watchdog.cover(actor_class.message_bound)
            cell.thread.start()
        except Exception as error:
            cell.stop()
            lifecycle.end()
            failure = RuntimeError(f"{free_name} cannot start: {error}")
            if parent is not None:  # its parent might restart for ever without ever succeeding
                self.fail(free_name, failure)
            raise failure from error
        except BaseException:  # a signal's, while the thread begins: it ends by itself
            cell.stop()
            raise
        return cell.ref

    def stop(self, timeout: float = 5.0, wake: Callable[[], object] = lambda: None) -> list[str]:
        """Stop all actors, the newest first.

        `wake` is called once all are asked to stop, to end what they wait for. Returns the names
        of those that did not end within `timeout` seconds: each is stuck in one message, and its
        thread is a daemon. An actor that calls this itself ends once it returns. Logs nothing,
        so that a log which nobody reads cannot delay the stop.
        """
        if self.forked:
            return []
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
        self.clock.on_failure.discard(self._on_clock_failure)
        if self._own_clock:
            self.clock.close()
        return stuck

    def stop_actor(self, ref: Ref, timeout: float = 5.0) -> bool:
        """Stop one actor and wait `timeout` seconds for its thread; returns whether it ended."""
        cell = self._cells.get(ref)
        if cell is None:
            return True
        cell.stop()
        return cell.join(timeout)

    def fail(self, name: str, error: BaseException) -> None:
        """End the system because of a failure of the actor `name`: tell the owner, who stops it.

        Never raises. Logs only what `on_fatal` raises.
        """
        if self.forked:
            return
        if self.cause is None:
            self.cause = error
        if self._on_fatal is not None:
            try:
                self._on_fatal(name, error)
            except BaseException as failure:
                self._stop_all()
                logger.critical(
                    "on_fatal failed when told of the failure of %s; all actors are stopped",
                    name, exc_info=failure,
                )  # fmt: skip
            return
        self._stop_all()

    def left_behind(self) -> list[str]:
        """Returns the names of abandoned actors whose threads have not ended, oldest first."""
        return [cell.name for cell in self._present() if cell.abandoned]

    def snapshot(self) -> list[dict[str, Any]]:
        """Returns every actor as plain data, the oldest first."""
        return [cell.snapshot() for cell in self._present()]

    def log_state(self, level: int = logging.INFO) -> None:
        """Log a line for each actor."""
        for actor in self.snapshot():
            logger.log(level, "%s", describe(actor))

    def wait_idle(
        self,
        timeout: float = 5.0,
        *,
        parked: str | None = None,
        among: Collection[str] | None = None,
    ) -> list[str]:
        """Wait until no actor has a message waiting or is handling one.

        Actors that sleep by a clock which stands still are idle. Those whose name matches the
        pattern `parked` (see `fnmatch`) are left out, as are abandoned ones, and with `among` all
        but the actors of these names and what they have spawned. Returns the names of those that
        still work after `timeout` seconds of real time.
        """

        def watched() -> list[Cell]:
            return [
                cell
                for cell in self._present()
                if not cell.abandoned
                and (parked is None or not fnmatch.fnmatchcase(cell.name, parked))
                and (among is None or cell.belongs_to(among))
            ]

        return [cell.name for cell in self._services.quiescence.wait(watched, timeout)]

    # -- for its cells -----------------------------------------------------------------------

    def release_name(self, name: str) -> None:
        """See `Host.release_name`."""
        with self._lock:
            self._reserved.discard(name)

    def forget(self, cell: Cell) -> None:
        """See `Host.forget`."""
        self._cells.pop(cell.ref, None)
        self._services.quiescence.notify()

    def count_left_behind(self, cell: Cell) -> None:
        """Fail if more threads than allowed were left behind and have not ended."""
        names = self.left_behind()
        if len(names) > self._max_left_behind and not self._stopped:
            shown = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
            self.fail(
                cell.name,
                TooManyLeftBehind(
                    f"{len(names)} abandoned actors have not ended and occupy a thread each "
                    f"(at most {self._max_left_behind} may): {shown}"
                ),
            )

    def after_fork(self) -> None:
        """See `Forkable.after_fork`. Takes no lock: a thread of the parent may have held it."""
        self.forked = True
        for cell in self._cells.values():
            cell.ref.redirect(self._refuse)

    def _refuse(self, _envelope: object = None) -> NoReturn:
        if not self._refusal_logged:
            self._refusal_logged = True
            logger.error("%s", FORKED)
        raise RuntimeError(FORKED)

    def _on_clock_failure(self, error: BaseException) -> None:
        self.fail("timers", error)

    def _stop_all(self) -> None:
        for cell in self._present():
            cell.stop()

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
    """Returns one line about an actor, from its snapshot."""
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
