"""What an actor may use of its system."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, ParamSpec, overload

from ocean_actors.actors.base import ActorBase
from ocean_actors.actors.cancel import CancelToken
from ocean_actors.actors.cell import Cell
from ocean_actors.actors.clock import Clock, Timer
from ocean_actors.actors.message import Message
from ocean_actors.actors.ref import Ref
from ocean_actors.actors.timers import Repeat
from ocean_actors.jsonable import jsonable

P = ParamSpec("P")


class Context:
    """An actor's access to its system. For the actor's own thread only."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._token = cell.token  # of this life: the cell gets another at a restart

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
        return self._cell.services.clock

    def jitter(self) -> float:
        """Returns a random number in [0, 1), for jitter, from the system's own generator."""
        return self._cell.services.random.random()

    @property
    def stopping(self) -> threading.Event:
        """Set once this actor was asked to stop; code that blocks for long should wait for it."""
        return self._cell.stopping

    @property
    def token(self) -> CancelToken:
        """Cancelled once this actor is asked to stop or has failed; each life has its own.

        `token.check()` and `token.sleep(seconds, clock)` raise `Cancelled` then: let it pass.
        """
        return self._token

    @overload
    def spawn(
        self, actor_class: Callable[P, ActorBase], *args: P.args, **kwargs: P.kwargs
    ) -> Ref: ...

    @overload
    def spawn(
        self, actor_class: type[ActorBase], *args: Any, name: str | None, **kwargs: Any
    ) -> Ref: ...

    def spawn(self, actor_class: Any, *args: Any, **kwargs: Any) -> Ref:
        """Start a child: it is stopped when this actor stops or restarts.

        Raises what its `__init__` raises. If no thread can be started any more, raises
        RuntimeError and ends the system. mypy checks the arguments unless `name` is given.
        """
        name = kwargs.pop("name", None)
        return self._cell.host.spawn_child(self._cell, actor_class, args, kwargs, name)

    def stop(self, ref: Ref | None = None) -> None:
        """Ask a child, or this actor itself, to stop; returns at once.

        No effect on a child that has ended. Raises ValueError for an actor that is not a child.
        """
        if ref is None:
            self._cell.stop()
        elif (child := self._child(ref)) is not None:
            child.stop()

    def abandon(self, ref: Ref) -> None:
        """Stop a child, and never wait for its thread: it may be stuck in one message.

        Ends a `watch` of it. Raises ValueError for an actor that is not a child. The system
        fails if too many threads are left behind; see `ActorSystem`.
        """
        if (child := self._child(ref)) is not None:
            child.leave_behind()
            child.stop()

    def watch(self, ref: Ref) -> None:
        """Have this actor told `Terminated(ref, failure)` once the actor `ref` has ended.

        It is told at once if `ref` has ended already, and also if a child ends because this
        actor stops it or restarts. The watch stays through restarts.
        """
        ref.add_watcher(self.ref)

    def unwatch(self, ref: Ref) -> None:
        """End a `watch`; a `Terminated` that waits in the mailbox is still handled."""
        ref.remove_watcher(self.ref)

    def schedule(self, seconds: float, message: Message) -> Timer:
        """Tell this actor `message` once, after `seconds`. Dropped when it stops or restarts.

        Raises ValueError if `seconds` is NaN.
        """
        self._check(message)
        return self._cell.timers.once(self.clock.monotonic() + seconds, message)

    def schedule_every(
        self,
        seconds: float,
        message: Message,
        *,
        first: float | None = None,
        fixed_delay: bool = False,
    ) -> Repeat:
        """Tell this actor `message` every `seconds`, first after `first` (default `seconds`).

        At a fixed rate: the phase is kept whatever the actor does meanwhile. At most one such
        message waits in its mailbox; those that fall due meanwhile are skipped. With
        `fixed_delay`, `seconds` count from when the last one was handled. Ends with `cancel`,
        and when the actor stops or restarts. Raises ValueError unless `seconds` is positive.
        """
        self._check(message)
        due = self.clock.monotonic() + (seconds if first is None else first)
        return self._cell.timers.every(due, seconds, message, fixed_delay=fixed_delay)

    def show(self, **details: object) -> None:
        """Show these facts in `snapshot()`, instead of earlier ones, as `jsonable` makes them."""
        self._cell.details = {name: jsonable(value) for name, value in details.items()}

    def subscribe(self, event_type: type[Message]) -> None:
        """Receive each `event_type` (or subclass) that is published in the system from now on.

        Stays through restarts.
        """
        self._cell.services.events.subscribe(self.ref, event_type)

    def unsubscribe(self, event_type: type[Message]) -> None:
        """End the subscription to `event_type`."""
        self._cell.services.events.unsubscribe(self.ref, event_type)

    def publish(self, event: Message) -> None:
        """Tell `event` to all actors that subscribed to its type."""
        self._cell.services.events.publish(event)

    def dead_letter(self, message: object) -> None:
        """Count `message` as one that this actor does not handle; logged once per type."""
        self._cell.unhandled(message)

    def _child(self, ref: Ref) -> Cell | None:
        child = self._cell.children.get(ref)
        if child is None and ref.is_alive():
            raise ValueError(f"{ref} is not a child of {self.name}")
        return child

    def _check(self, message: Message) -> None:
        if self._cell.services.check_message is not None:
            self._cell.services.check_message(message)
