"""Starts the listeners once Port knows the integration, and is their parent."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from ocean_actors.actors import Cancelled, Ref, Terminated, handles
from ocean_actors.context import Actor
from ocean_actors.errors import OceanError
from ocean_actors.listeners.spec import Listener
from ocean_actors.messages import IntegrationRegistered, RoleChanged
from ocean_actors.user_code import raised


class ListenerError(OceanError):
    """A listener cannot be spawned; one readable line that names it, and says why."""


class ListenerSupervisor(Actor):
    """Spawns the listeners when the integration is registered, and again after a restart.

    If this instance may lead or stand by, they run only while it leads: each time they begin as
    after a restart of the process, and so find what the previous instance still owes.
    """

    subscribes_to = (IntegrationRegistered, RoleChanged)

    def __init__(
        self,
        registered: threading.Event,
        listeners: Mapping[str, Listener],
        *,
        only_active: bool = False,
    ) -> None:
        """Take the event to set on registration, and the listeners by the name of their actor.

        `only_active`: they are stopped while this instance stands by.
        """
        super().__init__()
        self._registered = registered
        self._listeners = listeners
        self._only_active = only_active
        self._active = not only_active
        self._spawned: set[Ref] = set()
        self._ending: set[Ref] = set()  # of an earlier turn; their names are not free yet

    def on_start(self) -> None:
        """Start the listeners of a life before this one again."""
        self._spawn_listeners()

    @handles(IntegrationRegistered)
    def on_registered(self, _event: IntegrationRegistered) -> None:
        """Start listening, the first time."""
        if self._active:
            self._registered.set()
            self._spawn_listeners()

    @handles(RoleChanged)
    def on_role_changed(self, event: RoleChanged) -> None:
        """Stop listening on standby; the integration is registered again at the next turn."""
        if not self._only_active:
            return
        self._active = event.active
        if event.active:
            self._spawn_listeners()
            return
        self._registered.clear()
        for listener in self._spawned:
            self.context.watch(listener)
            self.context.stop(listener)
        self._ending |= self._spawned
        self._spawned = set()

    @handles(Terminated)
    def on_terminated(self, event: Terminated) -> None:
        """Start the listeners of this turn if those of an earlier one have ended only now."""
        self._ending.discard(event.ref)
        self._spawn_listeners()

    def _spawn_listeners(self) -> None:
        if self._active and self._registered.is_set() and not (self._spawned or self._ending):
            self._spawned = {
                self._spawn(name, listener) for name, listener in self._listeners.items()
            }

    def _spawn(self, name: str, listener: Listener) -> Ref:
        try:
            return self.context.spawn(listener.actor, *listener.args, name=name)
        except Cancelled:  # this actor is stopped
            raise
        except BaseException as error:  # of its `__init__`, above all; `exit()` is one, too
            raise ListenerError(f"the listener {name} cannot be made: {raised(error)}") from error
