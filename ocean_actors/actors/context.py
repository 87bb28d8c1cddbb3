"""What an actor may do to the world around it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from ocean_actors.actors.actor import Actor
from ocean_actors.actors.clock import Clock, Timer
from ocean_actors.actors.message import Message
from ocean_actors.actors.ref import Ref
from ocean_actors.actors.timers import Repeat
from ocean_actors.jsonable import jsonable

if TYPE_CHECKING:
    from ocean_actors.actors.cell import Cell


class Context:
    """An actor's door to its system. For the actor's own thread only."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    @property
    def name(self) -> str:
        """The actor's name, unique in its system."""
        return self._cell.name

    @property
    def ref(self) -> Ref:
        """The actor's own address."""
        return self._cell.ref

    @property
    def clock(self) -> Clock:
        """The system's clock."""
        return self._cell.system.clock

    def jitter(self) -> float:
        """A random number in [0, 1), for jitter; from the system's own generator."""
        return self._cell.system.random.random()

    @property
    def stopping(self) -> threading.Event:
        """Set once this actor was asked to stop; what blocks for long should wait on it."""
        return self._cell.stopping

    def spawn(
        self, actor_class: type[Actor], *args: Any, name: str | None = None, **kwargs: Any
    ) -> Ref:
        """Start a child: it is stopped when this actor stops or restarts."""
        return self._cell.system.spawn_child(self._cell, actor_class, args, kwargs, name)

    def stop(self, ref: Ref | None = None) -> None:
        """Ask a child, or this actor itself, to stop; returns at once.

        Nothing for a child that has ended; raises ValueError for another's.
        """
        if ref is None:
            self._cell.stop()
        else:
            self._cell.stop_child(ref)

    def abandon(self, ref: Ref) -> None:
        """Stop a child without ever waiting for it: it may be stuck in one message."""
        self._cell.abandon(ref)

    def watch(self, ref: Ref) -> None:
        """Have this actor told `Terminated(ref, failure)` once the actor `ref` has ended.

        It is told at once if `ref` has ended already.
        """
        ref.add_watcher(self.ref)

    def schedule(self, seconds: float, message: Message) -> Timer:
        """Tell this actor `message` once, after `seconds`. Dropped when it stops or restarts.

        Raises ValueError if `seconds` is NaN.
        """
        return self._cell.schedule(seconds, message)

    def schedule_every(
        self,
        seconds: float,
        message: Message,
        *,
        first: float | None = None,
        fixed_delay: bool = False,
    ) -> Repeat:
        """Tell this actor `message` every `seconds`, first after `first` (default `seconds`).

        At a fixed rate: the phase is kept whatever the actor does meanwhile. At most one beat
        waits in its mailbox; those that fall due meanwhile are left out. With `fixed_delay`,
        `seconds` count from when the last beat was handled. Ends with `cancel`, and when the
        actor stops or restarts. Raises ValueError unless `seconds` is positive.
        """
        return self._cell.schedule_every(seconds, message, first, fixed_delay=fixed_delay)

    def show(self, **details: Any) -> None:
        """Show these facts in `snapshot()`, in the place of earlier ones; see `jsonable`."""
        self._cell.details = {name: jsonable(value) for name, value in details.items()}

    def subscribe(self, event_type: type[Message]) -> None:
        """From now on receive each `event_type` (or subclass) that is published in the system.

        Stays through restarts.
        """
        self._cell.system.events.subscribe(self.ref, event_type)

    def unsubscribe(self, event_type: type[Message]) -> None:
        """Receive no more of what was subscribed to as `event_type`."""
        self._cell.system.events.unsubscribe(self.ref, event_type)

    def publish(self, event: Message) -> None:
        """Tell `event` to whoever subscribed to its type."""
        self._cell.system.events.publish(event)

    def dead_letter(self, message: Any) -> None:
        """Count `message` as one that nobody handles; logged once per type."""
        self._cell.unhandled(message)
