"""The lives of an actor: what its own thread runs, from the first hook to the end."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import pykka
from pykka.messages import _ActorStop

from ocean_actors.actors.base import ActorBase
from ocean_actors.actors.cancel import Cancelled
from ocean_actors.actors.cell import Cell
from ocean_actors.actors.context import Context
from ocean_actors.actors.mailbox import Asker, Envelope
from ocean_actors.actors.message import Message
from ocean_actors.actors.signals import ActorFailed
from ocean_actors.actors.supervision import OnFailure, Verdict, decide_after_failure
from ocean_actors.errors import OceanError
from ocean_actors.log import get_logger, owner, set_context
from ocean_actors.text import one_line

logger = get_logger(__name__)

CHILDREN_TIMEOUT = 2.0  # seconds for all of them together; less than the stop of a system takes


class Lifecycle:
    """Runs life after life of an actor, until it is asked to stop or its supervision gives up.

    Everything but `__init__` runs in the actor's own thread. A failure of the code that runs the
    actor, not of the actor itself, ends the system: the thread never just disappears.
    """

    def __init__(
        self,
        cell: Cell,
        build: Callable[[], ActorBase],
        make_context: Callable[[Cell], Context],
    ) -> None:
        """Build the first actor, in the thread of its spawner, and a thread to run it."""
        self._cell = cell
        self._services = cell.services
        self._build = build
        self._make_context = make_context
        self._failures: tuple[float, ...] = ()
        self._retry: Envelope | None = None
        self._retries = 0
        self._farewell: Asker | None = None
        self._end_cause: str | None = None
        self._actor = self._adopt(build())
        cell.thread = threading.Thread(
            target=self._run, name=cell.name, daemon=ActorBase.use_daemon_thread
        )

    def _adopt(self, actor: ActorBase) -> ActorBase:
        cell = self._cell
        actor.actor_urn = cell.ref.actor_urn
        actor.actor_inbox = cell.mailbox  # type: ignore[assignment]  # its get may return None
        actor.actor_stopped = cell.stopping
        actor._actor_ref = cell.ref  # noqa: SLF001  (pykka offers no other way)
        actor.context = self._make_context(cell)
        cell.ref.point_to(actor)
        return actor

    def _run(self) -> None:
        rebuild = False
        set_context(self._services.log_context)
        owner.set(self._services)
        try:
            while not self._cell.stopping.is_set() and self._live(rebuild=rebuild):
                rebuild = True
        except BaseException as error:  # noqa: BLE001  (no failure may end the thread silently)
            self._escalate(error)
        finally:
            self.end()

    def _live(self, *, rebuild: bool) -> bool:
        """Run one life, until the mailbox is closed or something is raised.

        Returns whether another life follows.
        """
        cell = self._cell
        actor: ActorBase | None = None
        try:
            if rebuild:
                self._begin("__init__")
                cell.renew_token()
                self._actor = self._adopt(self._build())
                self._services.events.remind(cell.ref)
            actor = self._actor
            try:
                self._begin("on_start")
                actor.on_start()
                cell.current = None
                cell.state = "running"
                self._serve(actor)
            except Cancelled:  # raised by a wait that the stop has ended
                if not cell.stopping.is_set():
                    raise
            self._begin("on_stop")
            actor.on_stop()
        except BaseException as error:  # noqa: BLE001  (SystemExit too ends this actor only)
            return self._recover(actor, error)
        finally:
            cell.current = None
        return False

    def _begin(self, hook: str) -> None:
        self._cell.current_since = self._services.clock.monotonic()
        self._cell.current = hook

    def _serve(self, actor: ActorBase) -> None:
        if self._retry is not None:
            self._handle(actor, self._retry)
        get, handle = self._cell.mailbox.get, self._handle
        while (envelope := get()) is not None:
            handle(actor, envelope)

    def _handle(self, actor: ActorBase, envelope: Envelope) -> None:
        cell = self._cell
        message = envelope.message
        cell.current_since = self._services.clock.monotonic()
        cell.current = message
        try:
            if isinstance(message, Message):
                reply = actor.on_receive(message)
            elif isinstance(message, _ActorStop):
                self._farewell = envelope.reply_to
                cell.stop()
                return
            else:
                reply = actor._handle_receive(message)  # noqa: SLF001  (pykka's proxies)
        except BaseException:
            if self._retries < cell.actor_class.supervision.retries:
                self._retry = envelope
                self._retries += 1
            else:
                self._retry, self._retries = None, 0
                if envelope.reply_to is not None:
                    envelope.reply_to.set_exception()
            raise
        finally:
            cell.current = None
            cell.handled += 1
        if envelope.reply_to is not None:
            envelope.reply_to.set(reply)
        if self._retry is not None:
            self._retry, self._retries = None, 0

    def _recover(self, actor: ActorBase | None, error: BaseException) -> bool:
        """Deal with a life that failed; returns whether another follows.

        `actor` is None if the life failed before the actor was built.
        """
        cell = self._cell
        cell.failure = one_line(error)
        cell.token.cancel("the actor failed")  # other threads may work for this life
        self._begin("on_failure")
        try:
            if actor is not None:
                actor.on_failure(type(error), error, error.__traceback__)
        except BaseException:
            logger.exception("%s: its on_failure failed as well", cell.name)
        cell.current = None
        cell.timers.drop()
        if cell.stopping.is_set():
            self._end_cause = cell.failure
            self._publish_failure(OnFailure.STOP)
            logger.error(
                "%s failed while it stopped: %s", cell.name, cell.failure, exc_info=_trace(error)
            )
            return False
        self._stop_children()
        verdict = decide_after_failure(
            cell.actor_class.supervision,
            self._failures,
            self._services.clock.monotonic(),
            self._services.random.random(),
        )
        self._failures = verdict.failures
        if verdict.action is OnFailure.RESTART:
            self._back_off(verdict.delay, error)
            return True
        self._give_up(verdict, error)
        return False

    def _back_off(self, seconds: float, error: BaseException) -> None:
        cell = self._cell
        logger.error(
            "%s failed and restarts in %.2f s: %s",
            cell.name, seconds, cell.failure, exc_info=_trace(error),
        )  # fmt: skip
        cell.state = "restarting"
        cell.restarts += 1
        self._services.restarts.add(cell.name)
        self._publish_failure(OnFailure.RESTART)
        cell.wake.clear()
        if not cell.stopping.is_set():
            self._services.clock.wait(seconds, cell.wake)

    def _give_up(self, verdict: Verdict, error: BaseException) -> None:
        """End the actor or the system. Logs last: the log may block, and must not delay the end."""
        cell = self._cell
        retry, self._retry = self._retry, None
        if retry is not None and retry.reply_to is not None:
            retry.reply_to.set_exception((type(error), error, error.__traceback__))
        self._end_cause = cell.failure
        cell.stop()
        self._publish_failure(verdict.action)
        if verdict.action is OnFailure.STOP:
            logger.error("%s failed and stops: %s", cell.name, cell.failure, exc_info=_trace(error))
            return
        self._services.fail(cell.name, error)
        times = len(verdict.failures)
        window = cell.actor_class.supervision.window
        crash_loop = f" {times} times in {window:g} s" if times > 1 else ""
        logger.error(
            "%s failed%s and ends the system: %s",
            cell.name, crash_loop, cell.failure, exc_info=_trace(error),
        )  # fmt: skip

    def _publish_failure(self, action: OnFailure) -> None:
        cell = self._cell
        event = ActorFailed(cell.name, cell.failure or "", cell.restarts, action)
        self._services.events.publish(event, excluding=cell.ref)  # else it might fail for ever

    def _escalate(self, error: BaseException) -> None:
        """End the system because of a failure of the code that runs the actor."""
        cell = self._cell
        self._end_cause = cell.failure = one_line(error)
        cell.stop()
        self._services.fail(cell.name, error)
        with contextlib.suppress(BaseException):
            logger.critical(
                "%s cannot go on and ends the system: %s",
                cell.name,
                cell.failure,
                exc_info=_trace(error),
            )

    def end(self) -> None:
        """Release everything. A step that fails does not keep the others from being run."""
        cell = self._cell
        cell.state = "stopping"
        steps: tuple[Callable[[], object], ...] = (
            cell.mailbox.close,
            lambda: self._services.events.unsubscribe(cell.ref),
            cell.timers.drop,
            self._stop_children,
            self._return_messages,
            self._bid_farewell,
            self._leave_parent,
            lambda: cell.host.release_name(cell.name),  # a watcher may spawn its successor
            lambda: cell.tell_watchers(self._end_cause),
            lambda: cell.host.forget(cell),
        )
        for step in steps:
            try:
                step()
            except BaseException as error:  # noqa: BLE001  (no failure may end the thread silently)
                self._escalate(error)

    def _return_messages(self) -> None:
        """Account for the messages that will not be handled, and answer those that were asked."""
        waiting = self._cell.mailbox.drain()
        for envelope in waiting if self._retry is None else [self._retry, *waiting]:
            if envelope.reply_to is None:
                self._cell.dead_letter(envelope.message)
            elif isinstance(envelope.message, _ActorStop):
                envelope.reply_to.set(None)
            else:
                error = pykka.ActorDeadError(f"{self._cell.name} stopped before it answered")
                envelope.reply_to.set_exception((pykka.ActorDeadError, error, None))

    def _bid_farewell(self) -> None:
        """Answer the `ref.stop()` that ended this actor."""
        if self._farewell is not None:
            self._farewell.set(None)

    def _leave_parent(self) -> None:
        cell = self._cell
        cell.state = "stopped"
        if cell.parent is not None:
            cell.parent.children.pop(cell.ref, None)

    def _stop_children(self) -> None:
        cell = self._cell
        children = list(cell.children.values())
        for child in children:
            child.stop()
        deadline = time.monotonic() + CHILDREN_TIMEOUT
        for child in children:
            if not child.join(deadline - time.monotonic()):
                child.leave_behind()
                logger.warning(
                    "%s did not end within %g s; %s goes on without it",
                    child.name, CHILDREN_TIMEOUT, cell.name,
                )  # fmt: skip
        cell.children.clear()


def _trace(error: BaseException) -> BaseException | None:
    """Returns the error whose traceback is logged; None if its text says all."""
    return None if isinstance(error, OceanError) and error.explained is True else error
