"""The class that users subclass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

from ocean_actors.actors.base import ActorBase
from ocean_actors.actors.context import Context
from ocean_actors.actors.message import Message, handled_by


class Actor(ActorBase):
    """An actor with typed messages, timers and supervision.

    Mark its methods with `@handles(SomeMessage)`, or override `on_receive`. Every hook and
    handling method runs in the actor's own thread, one at a time. Only `__init__` runs in the
    thread that spawns the actor (and in the actor's own when it is restarted).

    Hooks, in the order in which they are called:
    - `on_start`: before the first message, and again after each restart. Schedule here.
    - `on_failure(type, value, traceback)`: after an exception, before the restart or the end.
    - `on_stop`: at the end, unless an exception caused the end.

    An exception, SystemExit included, ends this life of the actor only: `supervision` decides
    what follows. A restart builds the state anew from the arguments of `spawn` and keeps the
    address, the subscriptions and the messages in the mailbox. The message that failed is not
    handled again unless `supervision` says so.

    The class attributes `supervision`, `mailbox`, `message_bound` and `subscribes_to` are its
    policies; a class whose policies have wrong types is refused with a TypeError.
    """

    context: Context  # set once __init__ has returned

    _methods: ClassVar[dict[type[Message], str]] = {}
    _routes: ClassVar[dict[type, Callable[[Any, Any], Any] | None]] = {}

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls._methods = handled_by(cls)
        cls._routes = {}

    @classmethod
    def start(cls, *_args: object, **_kwargs: object) -> NoReturn:
        """Refuse pykka's way to start an actor, with TypeError: actors are spawned by a system.

        So pykka's global registry, whose `stop_all` anybody may call, never contains our actors.
        """
        raise TypeError(
            f"{cls.__name__}.start() is not supported: use spawn() of a system or of a context"
        )

    def on_receive(self, message: Message) -> object:
        """Call the method marked for the type of `message`; without one, it is a dead letter."""
        try:
            method = self._routes[type(message)]
        except KeyError:
            method = self._route(type(message))
        if method is None:
            self.context.dead_letter(message)
            return None
        return method(self, message)

    @classmethod
    def _route(cls, kind: type) -> Callable[[Any, Any], Any] | None:
        name = next((cls._methods[base] for base in kind.__mro__ if base in cls._methods), None)
        cls._routes[kind] = method = None if name is None else getattr(cls, name)
        return method
