"""Starts the listeners once Port knows the integration, and is their parent."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from ocean_actors.actors import handles
from ocean_actors.context import Actor
from ocean_actors.listeners.spec import Listener
from ocean_actors.messages import IntegrationRegistered


class ListenerSupervisor(Actor):
    """Spawns the listeners when the integration is registered, and again after a restart."""

    subscribes_to = (IntegrationRegistered,)

    def __init__(self, registered: threading.Event, listeners: Mapping[str, Listener]) -> None:
        """Take the event to set on registration, and the listeners by the name of their actor."""
        super().__init__()
        self._registered = registered
        self._listeners = listeners

    def on_start(self) -> None:
        """Start the listeners of a life before this one again."""
        if self._registered.is_set():
            self._spawn_listeners()

    @handles(IntegrationRegistered)
    def on_registered(self, _event: IntegrationRegistered) -> None:
        """Start listening, the first time."""
        if not self._registered.is_set():
            self._registered.set()
            self._spawn_listeners()

    def _spawn_listeners(self) -> None:
        for name, listener in self._listeners.items():
            self.context.spawn(listener.actor, *listener.args, name=name)
