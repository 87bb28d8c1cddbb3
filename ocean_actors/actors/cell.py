"""An actor's place in its system: what stays while the actor's state is rebuilt."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pykka
from pykka.messages import _ActorStop

from ocean_actors.actors.actor import Actor
from ocean_actors.actors.cancel import Cancelled
from ocean_actors.actors.clock import Timer
from ocean_actors.actors.mailbox import Asker, Envelope, MailboxFull, open_mailbox
from ocean_actors.actors.message import Message
from ocean_actors.actors.quiescence import Rest
from ocean_actors.actors.ref import Ref
from ocean_actors.actors.signals import Terminated
from ocean_actors.actors.supervision import OnFailure, judge
from ocean_actors.actors.timers import ActorTimers, Repeat
from ocean_actors.text import one_line

if TYPE_CHECKING:
    from ocean_actors.actors.system import ActorSystem

logger = logging.getLogger(__name__)

CHILDREN_TIMEOUT = 2.0  # seconds for all of them together, well within a system's stop


@dataclass(frozen=True)
class Work:
    """What an actor is in the middle of, a message or a hook, and since when by its clock."""

    name: str
    since: float


class Cell:
    """Owns the mailbox, the thread, the timers and the children of one actor.

    The thread runs life after life of the actor until it is asked to stop or its supervision
    gives up. Fields without a lock are written by that thread alone.
    """

    def __init__(
        self,
        system: ActorSystem,
        parent: Cell | None,
        name: str,
        actor_class: type[Actor],
        build: Callable[[], Actor],
    ) -> None:
        self.system = system
        self.parent = parent
        self.name = name
        self.actor_class = actor_class
        self.mailbox = open_mailbox(name, actor_class.mailbox, system.quiescence.notify)
        self.stopping = threading.Event()
        self.ref = Ref(
            actor_class,
            name,
            self.mailbox,
            self.stopping,
            self.dead_letter,
            self.refused,
            system.check_message,
        )
        self.ref.add_watcher = self.watch
        self.children: dict[Ref, Cell] = {}
        self._watchers: set[Ref] = set()
        self._terminated: Terminated | None = None
        self._watching = threading.Lock()  # watchers come from other threads
        self.abandoned = False
        self.details: Mapping[str, Any] = {}  # what the actor shows of itself
        self.state = "starting"
        self.handled = 0
        self.restarts = 0
        self.failure: str | None = None
        self._current: object = None
        self._current_since = 0.0
        self._told_refusal = False
        self._build = build
        self._wake = threading.Event()
        self._timers = ActorTimers(system.clock, self._deliver)
        self._failures: tuple[float, ...] = ()
        self._retry: Envelope | None = None
        self._retries = 0
        self._farewell: Asker | None = None
        self._actor = self._adopt(build())
        self.thread = threading.Thread(target=self._main, name=name, daemon=Actor.use_daemon_thread)

    # -- from any thread ---------------------------------------------------------------------

    def stop(self) -> None:
        """Ask the actor to end before its next message."""
        self.stopping.set()
        self._wake.set()
        self.mailbox.close()

    def join(self, timeout: float) -> bool:
        """Wait for the thread to end: whether it has. An actor never waits for itself."""
        if self.thread is threading.current_thread():
            return True
        if self.thread.ident is not None:  # else it is about to start, and to end at once
            self.thread.join(max(0.0, timeout))
        return not self.thread.is_alive()

    def watch(self, watcher: Ref) -> None:
        """Tell `watcher` `Terminated` once this actor has ended, at once if it already has."""
        with self._watching:
            terminated = self._terminated
            if terminated is None:
                self._watchers.add(watcher)
                return
        watcher.actor_inbox.put(Envelope(terminated))  # type: ignore[arg-type]

    def dead_letter(self, message: Any) -> None:
        """Account for a message that came too late."""
        self.system.dead_letters.add(message, f"{self.name} has stopped")

    def unhandled(self, message: Any) -> None:
        """Account for a message that this actor has no method for."""
        self.system.dead_letters.add(message, f"{self.name} does not handle it")

    def refused(self, error: MailboxFull) -> None:
        """Account for a message that the mailbox refused and whose sender cannot be told."""
        if not self._told_refusal:
            self._told_refusal = True
            logger.warning("%s; more are only counted", error)

    def work(self) -> Work | None:
        """What the actor is in the middle of, if anything."""
        current, since = self._current, self._current_since
        if current is None:
            return None
        return Work(current if isinstance(current, str) else type(current).__name__, since)

    def overdue(self, since: float, now: float) -> bool:
        """Whether what began at `since` takes longer than the actor's bound."""
        bound = self.actor_class.message_bound
        return bound is not None and now >= since + bound - 1e-6  # a microsecond is rounding

    def rest(self) -> Rest | None:
        """See `quiescence.Quiescent`."""
        handled = self.handled
        if self.mailbox.idle:
            return handled, None
        clock = self.system.clock
        wake = None if clock.runs else clock.sleeping(self.thread.ident)
        return None if wake is None else (handled, wake)

    def snapshot(self) -> dict[str, Any]:
        """What an operator wants to know about the actor, as plain data. Times are seconds."""
        now = self.system.clock.monotonic()
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

    # -- for the actor's thread ---------------------------------------------------------------

    def schedule(self, seconds: float, message: Message) -> Timer:
        """See `Context.schedule`."""
        self._check(message)
        return self._timers.once(self.system.clock.monotonic() + seconds, message)

    def schedule_every(
        self, seconds: float, message: Message, first: float | None, *, fixed_delay: bool
    ) -> Repeat:
        """See `Context.schedule_every`."""
        self._check(message)
        due = self.system.clock.monotonic() + (seconds if first is None else first)
        return self._timers.every(due, seconds, message, fixed_delay=fixed_delay)

    def stop_child(self, ref: Ref) -> None:
        """Ask one child to stop, if it has not ended."""
        child = self._child(ref)
        if child is not None:
            child.stop()

    def abandon(self, ref: Ref) -> None:
        """Stop a child and forget it, so that nobody waits for its thread."""
        child = self._child(ref)
        if child is not None:
            self._leave_behind(child)
            child.stop()

    def _child(self, ref: Ref) -> Cell | None:
        child = self.children.get(ref)
        if child is None and ref.is_alive():
            raise ValueError(f"{ref} is no child of {self.name}")
        return child

    def _check(self, message: Message) -> None:
        if self.system.check_message is not None:
            self.system.check_message(message)

    # -- the actor's life --------------------------------------------------------------------

    def _adopt(self, actor: Actor) -> Actor:
        actor.actor_urn = self.ref.actor_urn
        actor.actor_inbox = self.mailbox  # type: ignore[assignment]  # ours may answer None: closed
        actor.actor_stopped = self.stopping
        actor._actor_ref = self.ref  # noqa: SLF001  (pykka offers no other way in)
        actor.context = self.system.make_context(self)
        self.ref.point_to(actor)
        return actor

    def _main(self) -> None:
        rebuild = False
        try:
            while not self.stopping.is_set() and self._live(rebuild=rebuild):
                rebuild = True
        finally:
            self.end()

    def _live(self, *, rebuild: bool) -> bool:
        """One life, until the mailbox is closed or something is raised: whether another follows."""
        actor: Actor | None = None
        try:
            if rebuild:
                self._begin("__init__")
                self._actor = self._adopt(self._build())
            actor = self._actor
            try:
                self._begin("on_start")
                actor.on_start()
                self._current = None
                self.state = "running"
                self._serve(actor)
            except Cancelled:  # out of a wait that the stop has ended
                if not self.stopping.is_set():
                    raise
            self._begin("on_stop")
            actor.on_stop()
        except BaseException as error:  # noqa: BLE001  (even SystemExit is this actor's own affair)
            return self._recover(actor, error)
        finally:
            self._current = None
        return False

    def _begin(self, hook: str) -> None:
        self._current_since = self.system.clock.monotonic()
        self._current = hook

    def _serve(self, actor: Actor) -> None:
        if self._retry is not None:
            self._handle(actor, self._retry)
        get, handle = self.mailbox.get, self._handle
        while (envelope := get()) is not None:
            handle(actor, envelope)

    def _handle(self, actor: Actor, envelope: Envelope) -> None:
        message = envelope.message
        self._current_since = self.system.clock.monotonic()
        self._current = message
        try:
            if isinstance(message, Message):
                reply = actor.on_receive(message)
            elif isinstance(message, _ActorStop):
                self._farewell = envelope.reply_to
                self.stop()
                return
            else:
                reply = actor._handle_receive(message)  # noqa: SLF001  (pykka's proxies)
        except BaseException:
            if self._retries < actor.supervision.retries:
                self._retry = envelope
                self._retries += 1
            else:
                self._retry, self._retries = None, 0
                if envelope.reply_to is not None:
                    envelope.reply_to.set_exception()
            raise
        finally:
            self._current = None
            self.handled += 1
        if envelope.reply_to is not None:
            envelope.reply_to.set(reply)
        if self._retry is not None:
            self._retry, self._retries = None, 0

    def _recover(self, actor: Actor | None, error: BaseException) -> bool:
        """Deal with a failed life: whether there is to be another one. `actor` is None if it
        was not even built.
        """
        self.failure = one_line(error)
        self._begin("on_failure")
        try:
            if actor is not None:
                actor.on_failure(type(error), error, error.__traceback__)
        except BaseException:
            logger.exception("%s: its on_failure failed too", self.name)
        self._current = None
        self._timers.drop()
        if self.stopping.is_set():
            logger.error("%s failed while it stopped: %s", self.name, self.failure, exc_info=error)
            return False
        self._stop_children()
        policy = self._actor.supervision
        clock = self.system.clock
        verdict = judge(policy, self._failures, clock.monotonic(), self.system.random.random())
        self._failures = verdict.failures
        if verdict.action is OnFailure.RESTART:
            logger.error(
                "%s failed and restarts in %.2f s: %s",
                self.name, verdict.delay, self.failure, exc_info=error,
            )  # fmt: skip
            self.state = "restarting"
            self.restarts += 1
            self._timers = ActorTimers(clock, self._deliver)
            self._pause(verdict.delay)
            return True
        self._give_up(error)
        if verdict.action is OnFailure.STOP:
            logger.error("%s failed and stops: %s", self.name, self.failure, exc_info=error)
            self.stop()
            return False
        times = len(verdict.failures)
        crash_loop = f" {times} times in {policy.window:g} s" if times > 1 else ""
        logger.error(
            "%s failed%s and ends the system: %s",
            self.name, crash_loop, self.failure, exc_info=error,
        )  # fmt: skip
        self.stop()
        self.system.fail(self.name, error)
        return False

    def _give_up(self, error: BaseException) -> None:
        """Answer for a message that was to be handled again and will not be."""
        retry, self._retry = self._retry, None
        if retry is not None and retry.reply_to is not None:
            retry.reply_to.set_exception((type(error), error, error.__traceback__))

    def _pause(self, seconds: float) -> None:
        """Wait for the backoff by the system's clock, or until asked to stop."""
        self._wake.clear()
        if not self.stopping.is_set():
            self.system.clock.wait(seconds, self._wake)

    def end(self) -> None:
        """Give back everything; the last that the thread does."""
        self.state = "stopping"
        self.mailbox.close()
        self.system.events.unsubscribe(self.ref)
        self._timers.drop()
        self._stop_children()
        left = self.mailbox.drain()
        for envelope in left if self._retry is None else [self._retry, *left]:
            self._return(envelope)
        if self._farewell is not None:
            self._farewell.set(None)
        self.state = "stopped"
        if self.parent is not None:
            self.parent.children.pop(self.ref, None)
        self.system.forget(self)
        with self._watching:
            self._terminated = Terminated(self.ref, self.failure)
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher.actor_inbox.put(Envelope(self._terminated))  # type: ignore[arg-type]

    def _return(self, envelope: Envelope) -> None:
        """Give a letter back that will not be handled."""
        if envelope.reply_to is None:
            self.dead_letter(envelope.message)
        elif isinstance(envelope.message, _ActorStop):
            envelope.reply_to.set(None)
        else:
            error = pykka.ActorDeadError(f"{self.name} stopped before it answered")
            envelope.reply_to.set_exception((pykka.ActorDeadError, error, None))

    def _deliver(self, envelope: Envelope) -> bool:
        """Put a timer's letter into the mailbox: whether it is in."""
        try:
            return self.mailbox.put(envelope)
        except MailboxFull as error:
            self.refused(error)
            return False

    def _stop_children(self) -> None:
        children = list(self.children.values())
        for child in children:
            child.stop()
        deadline = time.monotonic() + CHILDREN_TIMEOUT
        for child in children:
            if not child.join(deadline - time.monotonic()):
                logger.warning("%s is stuck and left behind by %s", child.name, self.name)
                self._leave_behind(child)
        self.children.clear()

    def _leave_behind(self, child: Cell) -> None:
        self.children.pop(child.ref, None)
        child.abandoned = True
        self.system.quiescence.notify()
