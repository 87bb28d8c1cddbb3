"""An actor's place in its system: what stays while the actor's state is rebuilt."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pykka
from pykka.messages import _ActorStop

from ocean_actors.actors.actor import Actor
from ocean_actors.actors.cancel import Cancelled
from ocean_actors.actors.clock import Timer
from ocean_actors.actors.mailbox import Envelope, Mailbox
from ocean_actors.actors.message import Message
from ocean_actors.actors.ref import Ref
from ocean_actors.actors.supervision import OnFailure, judge

if TYPE_CHECKING:
    from ocean_actors.actors.system import ActorSystem

logger = logging.getLogger(__name__)

JOIN_TIMEOUT = 5.0


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
        self.mailbox = Mailbox()
        self.stopping = threading.Event()
        self._wake = threading.Event()
        self.children: dict[Ref, Cell] = {}
        self.abandoned = False
        self.details: Mapping[str, Any] = {}
        self.state = "starting"
        self.handled = 0
        self.restarts = 0
        self.failure: str | None = None
        self.current: str | None = None
        self.current_since = 0.0
        self._build = build
        self._timers: set[Timer] = set()
        self._failures: tuple[float, ...] = ()
        self._actor = build()
        self.ref = Ref(self._actor, self)
        self._adopt(self._actor)
        self.thread = threading.Thread(target=self._main, name=name, daemon=Actor.use_daemon_thread)

    # -- from any thread ---------------------------------------------------------------------

    def stop(self) -> None:
        """Ask the actor to end before its next message."""
        self.stopping.set()
        self._wake.set()
        self.mailbox.close()

    def join(self, timeout: float) -> bool:
        """Wait for the thread to end; whether it has."""
        if self.thread.ident is not None:
            self.thread.join(max(0.0, timeout))
        return not self.thread.is_alive()

    def dead_letter(self, message: Any) -> None:
        """Account for a message that this actor cannot or will not handle."""
        self.system.dead_letters.add(message, self.name)

    def snapshot(self) -> dict[str, Any]:
        """What an operator wants to know about the actor, as plain data."""
        return {
            "name": self.name,
            "type": self.actor_class.__name__,
            "state": "abandoned" if self.abandoned else self.state,
            "mailbox": len(self.mailbox),
            "handled": self.handled,
            "restarts": self.restarts,
            "failure": self.failure,
            "message": self.current,
            "details": dict(self.details),
        }

    # -- for the actor's thread ---------------------------------------------------------------

    def call_at(self, due: float, message: Message) -> Timer:
        """Put `message` into the own mailbox when the clock shows `due`."""

        def fire() -> None:
            timers.discard(timer)
            self.ref.tell(message)

        timers = self._timers
        timer = self.system.clock.call_at(due, fire)
        timers.add(timer)
        return timer

    def call_every(self, due: float, seconds: float, message: Message) -> None:
        """Put `message` into the own mailbox at `due` and every `seconds` from then on."""

        def fire() -> None:
            timers.discard(timer)
            if timers is self._timers:  # else the life that asked for it has ended
                self.call_every(due + seconds, seconds, message)
                self.ref.tell(message)

        timers = self._timers
        timer = self.system.clock.call_at(due, fire)
        timers.add(timer)

    def stop_child(self, ref: Ref) -> None:
        """Ask one child to stop."""
        self.children[ref].stop()

    def abandon(self, ref: Ref) -> None:
        """Stop a child and forget it, so that nobody waits for its thread."""
        child = self.children.pop(ref)
        child.abandoned = True
        child.stop()

    # -- the actor's life --------------------------------------------------------------------

    def _adopt(self, actor: Actor) -> None:
        actor.actor_urn = self.ref.actor_urn
        actor.actor_inbox = self.mailbox  # type: ignore[assignment]  # ours may answer None: closed
        actor.actor_stopped = self.stopping
        actor._actor_ref = self.ref  # noqa: SLF001  (pykka offers no other way in)
        actor.context = self.system.make_context(self)
        self._actor = actor

    def _main(self) -> None:
        first = True
        while not self.stopping.is_set():
            error = self._live(rebuild=not first)
            if error is None or not self._recover(error):
                break
            first = False
        self._end()

    def _live(self, *, rebuild: bool) -> BaseException | None:
        """One life: until the mailbox is closed (None) or something is raised (that)."""
        try:
            if rebuild:
                self._adopt(self._build())
            self._actor.on_start()
            self.state = "running"
            while (envelope := self.mailbox.get()) is not None:
                self._handle(envelope)
            self._actor.on_stop()
        except Cancelled as error:
            return None if self.stopping.is_set() else error
        except BaseException as error:  # noqa: BLE001  (even SystemExit is this actor's own affair)
            return error
        return None

    def _handle(self, envelope: Envelope) -> None:
        message = envelope.message
        self.current_since = self.system.clock.monotonic()
        self.current = type(message).__name__
        try:
            if isinstance(message, Message):
                reply = self._actor.on_receive(message)
            elif isinstance(message, _ActorStop):
                reply = None
                self.stop()
            else:
                reply = self._actor._handle_receive(message)  # noqa: SLF001  (pykka's proxies)
        except BaseException:
            if envelope.reply_to is not None:
                envelope.reply_to.set_exception()
            raise
        finally:
            self.current = None
            self.handled += 1
        if envelope.reply_to is not None:
            envelope.reply_to.set(reply)

    def _recover(self, error: BaseException) -> bool:
        """Deal with a failed life: whether there is to be another one."""
        self.failure = f"{type(error).__name__}: {error}"
        try:
            self._actor.on_failure(type(error), error, error.__traceback__)
        except BaseException:
            logger.exception("%s: its on_failure failed too", self.name)
        if self.stopping.is_set():
            logger.error("%s failed while it stopped: %s", self.name, self.failure, exc_info=error)
            return False
        self._drop_timers()
        self._stop_children()
        verdict = judge(
            self._actor.supervision,
            self._failures,
            self.system.clock.monotonic(),
            self.system.random.random(),
        )
        self._failures = verdict.failures
        if verdict.action is OnFailure.RESTART:
            logger.error(
                "%s failed and restarts in %.1f s: %s",
                self.name, verdict.delay, self.failure, exc_info=error,
            )  # fmt: skip
            self.state = "restarting"
            self.restarts += 1
            self._pause(verdict.delay)
            return True
        logger.error("%s failed and stops: %s", self.name, self.failure, exc_info=error)
        self.stop()
        if verdict.action is OnFailure.ESCALATE:
            self.system.fail(self.name, error)
        return False

    def _pause(self, seconds: float) -> None:
        """Wait for the backoff by the system's clock, or until asked to stop."""
        self._wake.clear()
        timer = self.system.clock.call_later(seconds, self._wake.set)
        if not self.stopping.is_set():
            self._wake.wait()  # bounded: by the timer, or by stop()
        timer.cancel()

    def _end(self) -> None:
        self.state = "stopping"
        self.mailbox.close()
        self.system.events.unsubscribe(self.ref)
        self._drop_timers()
        self._stop_children()
        for envelope in self.mailbox.drain():
            if envelope.reply_to is not None:
                error = pykka.ActorDeadError(f"{self.name} stopped before it answered")
                envelope.reply_to.set_exception((pykka.ActorDeadError, error, None))
            else:
                self.dead_letter(envelope.message)
        self.state = "stopped"
        self.system.forget(self)

    def _drop_timers(self) -> None:
        timers, self._timers = self._timers, set()
        for timer in list(timers):
            timer.cancel()

    def _stop_children(self) -> None:
        children = list(self.children.values())
        for child in children:
            child.stop()
        for child in children:
            if not child.join(JOIN_TIMEOUT):
                logger.warning("%s is stuck and left behind by %s", child.name, self.name)
        self.children.clear()
