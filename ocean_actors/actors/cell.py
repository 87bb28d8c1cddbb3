"""An actor's place in its system: what stays while the actor's state is rebuilt.

This is what Akka calls `ActorCell`. `lifecycle.py` has the part that only the actor's own thread
runs.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ocean_actors.actors.base import ActorBase
from ocean_actors.actors.cancel import CancelToken
from ocean_actors.actors.mailbox import Envelope, MailboxFull, open_mailbox
from ocean_actors.actors.quiescence import Rest
from ocean_actors.actors.ref import Ref
from ocean_actors.actors.services import ActorServices
from ocean_actors.actors.signals import Terminated
from ocean_actors.actors.timers import ActorTimers
from ocean_actors.log import get_logger

logger = get_logger(__name__)

STOPPED = "the actor was asked to stop"


class Host(Protocol):
    """What a cell needs of the system that it is in."""

    def spawn_child(
        self,
        parent: Cell | None,
        actor_class: type[ActorBase],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None,
    ) -> Ref:
        """See `ActorSystem.spawn_child`."""

    def release_name(self, name: str) -> None:
        """Let the name of an actor that has ended be used again."""

    def forget(self, cell: Cell) -> None:
        """Drop an actor that has ended and told its watchers."""

    def count_left_behind(self, cell: Cell) -> None:
        """Count the thread of `cell`, which nobody waits for any more."""


@dataclass(frozen=True)
class Work:
    """The message or hook that an actor works on, and since when, in seconds of its clock."""

    name: str
    since: float


class Cell:
    """The mailbox, the thread, the timers, the children and the watchers of one actor.

    Any thread may call its methods. Fields without a lock are written by the actor's thread
    alone, except `abandoned`, which the parent sets.
    """

    thread: threading.Thread
    """Runs the lifecycle, which sets it."""

    def __init__(
        self,
        services: ActorServices,
        host: Host,
        parent: Cell | None,
        name: str,
        actor_class: type[ActorBase],
    ) -> None:
        self.services = services
        self.host = host
        self.parent = parent
        self.name = name
        self.actor_class = actor_class
        self.mailbox = open_mailbox(name, actor_class.mailbox, services.quiescence.notify)
        self.stopping = threading.Event()
        self.wake = threading.Event()
        """Ends the wait of a backoff."""
        self.token = CancelToken()
        """Ends the work of the present life."""
        self.ref = Ref(actor_class, self, services.check_message)
        self.timers = ActorTimers(services.clock, self.deliver)
        self.children: dict[Ref, Cell] = {}
        self.abandoned = False
        self.details: Mapping[str, Any] = {}  # what the actor shows about itself
        self.state = "starting"
        self.handled = 0
        self.restarts = 0
        self.failure: str | None = None
        self.current: object = None
        """The message that is handled, or the name of the hook that runs."""
        self.current_since = 0.0
        self._refusal_logged = False
        self._terminated: Terminated | None = None
        self._watchers: set[Ref] = set()
        self._lock = threading.Lock()  # of the last two

    def stop(self) -> None:
        """Ask the actor to end before its next message."""
        self.stopping.set()
        self.wake.set()
        self.mailbox.close()
        self.token.cancel(STOPPED)

    def renew_token(self) -> None:
        """Give the next life a token of its own. Called by the actor's thread."""
        self.token = CancelToken()
        if self.stopping.is_set():  # `stop` may have cancelled only the previous token
            self.token.cancel(STOPPED)

    def join(self, timeout: float) -> bool:
        """Wait for the thread to end; returns whether it has.

        Returns True at once in the actor's own thread, which cannot wait for itself.
        """
        if self.thread is threading.current_thread():
            return True
        if self.thread.ident is not None:  # otherwise it is about to start, and ends at once
            self.thread.join(max(0.0, timeout))
        return not self.thread.is_alive()

    def leave_behind(self) -> None:
        """Detach this actor from its parent: nobody waits for its thread any more."""
        if self.parent is not None:
            self.parent.children.pop(self.ref, None)
            self.unwatch(self.parent.ref)
        self.abandoned = True
        self.services.quiescence.notify()
        self.host.count_left_behind(self)

    def deliver(self, envelope: Envelope) -> bool:
        """Put in an envelope whose sender cannot be told of a refusal: a timer's, an event.

        Returns whether it was taken. A refusal is counted, and the first is logged.
        """
        try:
            return self.mailbox.put(envelope)
        except MailboxFull as error:
            if not self._refusal_logged:
                self._refusal_logged = True
                logger.warning("%s; further refusals are only counted", error)
            return False

    def dead_letter(self, message: object) -> None:
        """Account for a message that came after the actor had stopped."""
        self.services.dead_letters.add(message, f"{self.name} has stopped")

    def unhandled(self, message: object) -> None:
        """Account for a message that this actor has no method for."""
        self.services.dead_letters.add(message, f"{self.name} does not handle it")

    def watch(self, watcher: Ref) -> None:
        """Tell `watcher` `Terminated` once this actor has ended, at once if it already has."""
        with self._lock:
            terminated = self._terminated
            if terminated is None:
                self._watchers.add(watcher)
        if terminated is not None:
            watcher.deliver(terminated)

    def unwatch(self, watcher: Ref) -> None:
        """Do not tell `watcher` of the end."""
        with self._lock:
            self._watchers.discard(watcher)

    def tell_watchers(self, failure: str | None) -> None:
        """Tell the watchers that the actor has ended, because of `failure` unless that is None."""
        terminated = Terminated(self.ref, failure)
        with self._lock:
            self._terminated = terminated
            watchers, self._watchers = self._watchers, set()
        for watcher in watchers:
            watcher.deliver(terminated)

    def work(self) -> Work | None:
        """Returns what the actor is doing, None if nothing."""
        current, since = self.current, self.current_since
        if current is None:
            return None
        return Work(current if isinstance(current, str) else type(current).__name__, since)

    def overdue(self, since: float, now: float) -> bool:
        """Returns whether work that began at `since` has taken longer than the actor's bound."""
        bound = self.actor_class.message_bound
        return bound is not None and now >= since + bound - 1e-6  # a microsecond for rounding

    def belongs_to(self, names: Collection[str]) -> bool:
        """Returns whether this actor or one above it has one of these names."""
        return self.name in names or (self.parent is not None and self.parent.belongs_to(names))

    def rest(self) -> Rest | None:
        """See `quiescence.Quiescent`."""
        handled = self.handled
        if self.mailbox.idle:
            return handled, None
        clock = self.services.clock
        wake = None if clock.runs else clock.sleeping(self.thread.ident)
        return None if wake is None else (handled, wake)

    def snapshot(self) -> dict[str, Any]:
        """Returns what an operator wants to know, as plain data. Times are in seconds."""
        now = self.services.clock.monotonic()
        work = self.work()
        return {
            "name": self.name,
            "type": self.actor_class.__name__,
            "parent": None if self.parent is None else self.parent.name,
            "state": "abandoned" if self.abandoned else self.state,
            "mailbox": len(self.mailbox),
            "handled": self.handled,
            "refused": self.mailbox.refused,
            "dropped": self.mailbox.dropped,
            "coalesced": self.mailbox.coalesced,
            "restarts": self.restarts,
            "failure": self.failure,
            "message": None if work is None else work.name,
            "message_seconds": None if work is None else max(0.0, now - work.since),
            "hung": work is not None and self.overdue(work.since, now),
            "details": dict(self.details),
        }
