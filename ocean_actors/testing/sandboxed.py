"""A system under test that runs against the sandbox."""

from __future__ import annotations

import functools
import queue
import time
from collections.abc import Mapping, Sequence
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from ocean_actors.actors import Clock, Message
from ocean_actors.blueprints import Declaration
from ocean_actors.context import Actor, ActorSpec
from ocean_actors.live.handler import LiveHandlerFactory
from ocean_actors.resync.handlers import HandlerFactory
from ocean_actors.sandbox import Sandbox
from ocean_actors.settings import Settings
from ocean_actors.system import OceanSystem

if TYPE_CHECKING:
    from typing_extensions import Self

MessageT = TypeVar("MessageT", bound=Message)

IDENTIFIER = "under-test"


class SandboxedSystem:
    """An `OceanSystem` with a sandbox as its Port; a context manager.

    `settings` are shaped like the YAML file; `port` gets the address of the sandbox. By default the
    integration is called `under-test` and polls ten times a second. `debug` is on: mutable
    messages are refused. A given `sandbox` is used and not stopped at the end. Without one,
    `blueprints` and `mapping` seed the sandbox that is made: see `Sandbox`.

        with SandboxedSystem([MyHandler], resync={"onNewRequest": "queue"}) as rig:
            assert rig.expect(RunEnded).status == "completed"
            rig.sandbox.request_resync(rig.identifier)
            assert rig.expect(RunEnded).run.reason == "resync requested"
    """

    def __init__(
        self,
        handlers: Sequence[HandlerFactory | LiveHandlerFactory],
        actors: Sequence[ActorSpec] = (),
        *,
        clock: Clock | None = None,
        sandbox: Sandbox | None = None,
        blueprints: Declaration = (),
        mapping: Mapping[str, Any] | str | PathLike[str] | None = None,
        **settings: Any,
    ) -> None:
        if sandbox is not None and (blueprints or mapping is not None):
            raise TypeError("blueprints, mapping: give them to the Sandbox that is passed")
        self.sandbox = sandbox or Sandbox(blueprints=blueprints, mapping=mapping)
        self._own_sandbox = sandbox is None
        self._events: queue.Queue[Message] = queue.Queue()
        self._handlers = handlers
        self._actors: list[ActorSpec] = [
            *actors,
            functools.partial(EventRecorder, self._events),
        ]
        self._clock = clock
        self._settings: dict[str, Any] = {
            "integration": {"identifier": IDENTIFIER},
            "eventListener": {"type": "POLLING", "interval": 0.1},
            **settings,
        }

    def __enter__(self) -> Self:
        """Start the sandbox, then the system."""
        if self._own_sandbox:
            self.sandbox.start()
        try:
            port = {**self._settings.get("port", {}), **port_of(self.sandbox)}
            settings = Settings.from_dict({**self._settings, "port": port}, {})
            self.identifier = settings.integration.identifier
            self.system = OceanSystem(
                settings, self._handlers, self._actors, clock=self._clock, debug=True
            )
            self.system.start()
        except BaseException:
            self._stop_sandbox()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop both."""
        try:
            self.system.stop()
        finally:
            self._stop_sandbox()

    def expect(self, event_type: type[MessageT], within: float = 30.0) -> MessageT:
        """Returns the next event of a type on the system's event stream; others are skipped.

        Raises AssertionError after `within` seconds.
        """
        until = time.monotonic() + within
        while True:
            try:
                event = self._events.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {event_type.__name__} within {within:g} s") from None
            if isinstance(event, event_type):
                return event

    def statuses(self) -> list[str | None]:
        """Returns the statuses that were reported to the sandbox: running, completed, …"""
        return self.sandbox.statuses(self.identifier)

    def _stop_sandbox(self) -> None:
        if self._own_sandbox:
            self.sandbox.stop()


class EventRecorder(Actor):
    """Puts every event of its system into a queue."""

    subscribes_to = (Message,)

    def __init__(self, events: queue.Queue[Message]) -> None:
        super().__init__()
        self._events = events

    def on_receive(self, message: Message) -> None:
        """Put the event into the queue."""
        self._events.put(message)


def port_of(sandbox: Sandbox) -> dict[str, str]:
    """Returns the section `port` of the settings for a sandbox."""
    return {
        "clientId": sandbox.client_id,
        "clientSecret": sandbox.client_secret,
        "baseUrl": sandbox.url,
    }
